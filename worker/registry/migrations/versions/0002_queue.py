"""Make the ingestions a queue: turns, leases, pauses, and what an event says beyond a path."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.String(27)
"""ISO 8601 in UTC with microseconds."""

FIRST_DAY = "2026-01-01T00:00:00.000000Z"
"""When the team `default` is said to have begun: it was there before anybody wrote it down."""

CLAIMABLE = sa.text("state IN ('received', 'waiting')")


def upgrade() -> None:
    """Add the columns and indexes that claims need."""
    with op.batch_alter_table("ingestions") as table:
        table.add_column(sa.Column("details", sa.Text(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("event_digest", sa.Text()))
        table.add_column(sa.Column("turn", sa.BigInteger(), nullable=False, server_default="1"))
        table.add_column(sa.Column("failed_tries", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("changes", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("waited_seconds", sa.Double(), nullable=False, server_default="0"))
        table.add_column(sa.Column("rest", sa.Text()))
        table.add_column(sa.Column("run_after", MOMENT))
        table.add_column(sa.Column("lease_until", MOMENT))
        table.drop_index("ix_ingestions_state")
    op.create_index("ix_ingestions_state", "ingestions", ["state", "team"])
    for name, columns in (("claimable", ["turn", "sequence"]), ("team_turn", ["team", "turn"])):
        op.create_index(f"ix_ingestions_{name}", "ingestions", columns, sqlite_where=CLAIMABLE, postgresql_where=CLAIMABLE)
    op.create_table(
        "workers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started", MOMENT, nullable=False),
        sa.Column("seen", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    _create_teams()


def _create_teams() -> None:
    """Make the tables of teams, projects and tokens, with the team `default` and the projects that are in use."""
    teams = op.create_table(
        "teams",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_folded", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_teams")),
        sa.UniqueConstraint("name_folded", name=op.f("uq_teams_name_folded")),
    )
    op.create_table(
        "projects",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("team", "name", name=op.f("pk_projects")),
    )
    op.create_table(
        "tokens",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("expires", MOMENT),
        sa.Column("revoked", MOMENT),
        sa.Column("last_used", MOMENT),
        sa.ForeignKeyConstraint(["team"], ["teams.name"], name=op.f("fk_tokens_team")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_tokens")),
        sa.UniqueConstraint("id", name=op.f("uq_tokens_id")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_index(op.f("ix_tokens_team"), "tokens", ["team"])
    op.bulk_insert(teams, [{"name": "default", "name_folded": "default", "created": FIRST_DAY}])
    op.execute("INSERT INTO projects (team, name, created) SELECT team, project, min(created) FROM ingestions GROUP BY 1, 2")
