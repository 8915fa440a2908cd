"""Make lists quick: narrow rows with an index for each order, the value of each metric, tallies, tags with their team. Let
models be published.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

BYTE_ORDERED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

LISTED = """
    INSERT INTO listed_versions (
        sequence, version_id, model, team, project, name, name_folded, experiment, experiment_folded, model_type, digest,
        size_bytes, look, is_latest, is_published, lives
    )
    SELECT
        v.sequence, v.id, v.model, v.team, m.project, m.name, m.name_folded, v.experiment, v.experiment_folded, v.model_type,
        v.digest, v.size_bytes,
        CASE WHEN v.completeness <> 'complete' THEN 1 ELSE 0 END
            + CASE WHEN EXISTS (
                SELECT 1 FROM version_findings f WHERE f.version_id = v.id AND f.severity IN ('critical', 'high')
            ) THEN 2 ELSE 0 END
            + CASE WHEN v.verdict = 'inconclusive' THEN 4 ELSE 0 END,
        v.deleted IS NULL AND l.number IS NOT NULL, :no, v.deleted IS NULL
    FROM model_versions v
    JOIN registered_models m ON m.sequence = v.model
    LEFT JOIN (SELECT model, max(number) AS number FROM model_versions WHERE deleted IS NULL GROUP BY model) l
        ON l.model = v.model AND l.number = v.number
"""

TALLIES = """
    INSERT INTO version_tallies (team, look, is_latest, shard, amount)
    SELECT team, look, is_latest, 0, count(*) FROM listed_versions WHERE lives GROUP BY team, look, is_latest
"""

TAGS = """
    UPDATE version_tags SET
        team = (SELECT v.team FROM model_versions v WHERE v.id = version_tags.version_id),
        lives = (SELECT v.deleted IS NULL FROM model_versions v WHERE v.id = version_tags.version_id)
"""

METRICS = """
    SELECT v.sequence, v.team, v.deleted, x.name, x.value, x.session
    FROM model_versions v JOIN version_metrics x ON x.version_id = v.id
    WHERE v.sequence > :begin AND v.sequence <= :until AND x.value IS NOT NULL
    ORDER BY v.sequence, x.position
"""

CHUNK = 1000
"""Versions whose metrics are in memory at once."""

PIECES = """
    CREATE FUNCTION modelport_pieces(name text, experiment text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT pg_catalog.array_agg(DISTINCT pg_catalog.substr(whole, place, chars))
        FROM (SELECT name || E'\\n' || coalesce(experiment, '') AS whole) AS words,
            pg_catalog.generate_series(1, pg_catalog.length(whole)) AS place,
            pg_catalog.generate_series(1, 3) AS chars
    $$
"""
"""Every text of up to three characters in a name and an experiment. What holds a text holds its pieces, and PostgreSQL has an
index for that without any extension."""

INDEX_OF_PIECES = """
    CREATE INDEX ix_listed_versions_pieces ON listed_versions USING gin (modelport_pieces(name_folded, experiment_folded))
    WHERE lives IS true
"""


def upgrade() -> None:
    """Make the tables, fill them from the versions that are there, and index them."""
    is_published: sa.Column[bool] = sa.Column("is_published", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("registered_models", is_published)  # no batch: SQLite would drop the table, which others name
    _make_tables()
    connection = op.get_bind()
    connection.execute(sa.text(LISTED), {"no": False})
    connection.execute(sa.text(TALLIES))
    _fill_metrics(connection)
    _fill_tags(connection)
    _make_indexes()
    if connection.dialect.name == "postgresql":
        op.execute(PIECES)
        op.execute(INDEX_OF_PIECES)
        op.execute("ANALYZE listed_versions, headline_metrics, version_tags")


def _make_tables() -> None:
    op.create_table(
        "listed_versions",
        sa.Column("sequence", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("model", SEQUENCE, nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_folded", BYTE_ORDERED, nullable=False),
        sa.Column("experiment", sa.Text()),
        sa.Column("experiment_folded", sa.Text()),
        sa.Column("model_type", sa.Text(), nullable=False),
        sa.Column("digest", BYTE_ORDERED, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("is_latest", sa.Boolean(), nullable=False),
        sa.Column("is_published", sa.Boolean(), nullable=False),
        sa.Column("lives", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_listed_versions")),
        sa.UniqueConstraint("version_id", name=op.f("uq_listed_versions_version_id")),
        sa.ForeignKeyConstraint(["sequence"], ["model_versions.sequence"], name=op.f("fk_listed_versions_sequence")),
        sa.ForeignKeyConstraint(["model"], ["registered_models.sequence"], name=op.f("fk_listed_versions_model")),
    )
    op.create_table(
        "headline_metrics",
        sa.Column("sequence", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("lives", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", "name", name=op.f("pk_headline_metrics")),
        sa.ForeignKeyConstraint(["sequence"], ["model_versions.sequence"], name=op.f("fk_headline_metrics_sequence")),
    )
    op.create_table(
        "version_tallies",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("look", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("is_latest", sa.Boolean(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team", "look", "is_latest", "shard", name=op.f("pk_version_tallies")),
    )


def _make_indexes() -> None:
    lives = "lives IS true"
    for name, columns, more in (
        ("sequence", ["team", "sequence"], ""),
        ("latest_sequence", ["team", "sequence"], " AND is_latest IS true"),
        ("name", ["team", "name_folded", "sequence"], ""),
        ("latest_name", ["team", "name_folded", "sequence"], " AND is_latest IS true"),
        ("size", ["team", "size_bytes", "sequence"], ""),
        ("latest_size", ["team", "size_bytes", "sequence"], " AND is_latest IS true"),
        ("project", ["team", "project", "sequence"], ""),
        ("experiment", ["team", "experiment", "sequence"], ""),
        ("digest", ["team", "digest"], ""),
        ("look", ["team", "sequence"], " AND look > 0"),
        ("published", ["sequence"], " AND is_published IS true"),
        ("model", ["model", "sequence"], ""),
    ):
        _make_index(f"ix_listed_versions_{name}", "listed_versions", columns, lives + more)
    _make_index("ix_version_tags_team", "version_tags", ["team", "tag"], lives)
    _make_index("ix_headline_metrics_value", "headline_metrics", ["team", "name", "value", "sequence"], lives)


def _make_index(name: str, table: str, columns: list[str], where: str) -> None:
    on_sqlite = where.replace(" IS true", " IS 1")
    op.create_index(op.f(name), table, columns, sqlite_where=sa.text(on_sqlite), postgresql_where=sa.text(where))


def _fill_metrics(connection: sa.Connection) -> None:
    table = sa.table("headline_metrics", *map(sa.column, ("sequence", "name", "team", "value", "lives")))
    last = connection.execute(sa.text("SELECT max(sequence) FROM model_versions")).scalar_one() or 0
    for begin in range(0, last, CHUNK):
        found = connection.execute(sa.text(METRICS), {"begin": begin, "until": begin + CHUNK})
        values = list(_headlines(found))
        if values:
            connection.execute(sa.insert(table), values)


def _fill_tags(connection: sa.Connection) -> None:
    """Tell for each tag whose it is and whether its version lives. Nothing refers to the table, so SQLite may copy it."""
    with op.batch_alter_table("version_tags") as tags:
        tags.add_column(sa.Column("team", sa.Text(), nullable=True))
        tags.add_column(sa.Column("lives", sa.Boolean(), nullable=True))
    connection.execute(sa.text(TAGS))
    with op.batch_alter_table("version_tags") as tags:
        tags.alter_column("team", existing_type=sa.Text(), nullable=False)
        tags.alter_column("lives", existing_type=sa.Boolean(), nullable=False)


def _headlines(found: Any) -> Iterator[dict[str, Any]]:
    """Yield the row of each metric of each version: the last value of the session that speaks for the run."""
    sessions: dict[tuple[int, str], dict[str, Any]] = {}
    for row in found:
        if math.isfinite(row.value):
            sessions.setdefault((row.sequence, row.name), {})[row.session] = row
    for (sequence, name), rows in sessions.items():
        row = rows[min(rows, key=_rank)]
        yield {"sequence": sequence, "name": name, "team": row.team, "value": row.value, "lives": row.deleted is None}


def _rank(session: str) -> tuple[int, int, str]:
    name = session.rpartition("/")[2]
    order = ("eval", "eval_*", "validation", "val", "test", "train", "")
    kind = "eval_*" if name.startswith("eval_") else name
    return order.index(kind) if kind in order else len(order), session.count("/"), session
