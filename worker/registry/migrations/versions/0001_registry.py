"""Lay the tables of the registry. What each is for is said in `worker.registry.tables`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Counts rows: 64 bits, but SQLite counts by itself only in a column called INTEGER."""

MOMENT = sa.String(27)
"""ISO 8601 in UTC with microseconds."""


def upgrade() -> None:
    """Make the tables of ingestions, models and versions."""
    op.create_table(
        "ingestions",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("model_path", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Text()),
        sa.Column("declared_type", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("answered_version", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("location", sa.Text()),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_ingestions")),
        sa.UniqueConstraint("event_key", name=op.f("uq_ingestions_event_key")),
        sa.UniqueConstraint("id", name=op.f("uq_ingestions_id")),
        sa.UniqueConstraint("version_id", name=op.f("uq_ingestions_version_id")),
    )
    op.create_index("ix_ingestions_state", "ingestions", ["state"])

    op.create_table(
        "registered_models",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_folded", sa.Text(), nullable=False),
        sa.Column("is_generated", sa.Boolean(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_registered_models")),
        sa.UniqueConstraint("team", "project", "name", name=op.f("uq_registered_models_team_project_name")),
    )

    op.create_table(
        "ingestion_history",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.ForeignKeyConstraint(["ingestion_id"], ["ingestions.id"], name=op.f("fk_ingestion_history_ingestion_id")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_ingestion_history")),
    )
    op.create_index(op.f("ix_ingestion_history_ingestion_id"), "ingestion_history", ["ingestion_id"])

    op.create_table(
        "model_versions",
        sa.Column("sequence", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", SEQUENCE, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Text()),
        sa.Column("experiment_folded", sa.Text()),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("model_type", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("listing_key", sa.Text(), nullable=False),
        sa.Column("rules_version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("oms_digest", sa.Text(), nullable=False),
        sa.Column("duplicate_of", sa.Text()),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("completeness", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("metadata_raw", sa.LargeBinary()),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("deleted", MOMENT),
        sa.ForeignKeyConstraint(["duplicate_of"], ["model_versions.id"], name=op.f("fk_model_versions_duplicate_of")),
        sa.ForeignKeyConstraint(["ingestion_id"], ["ingestions.id"], name=op.f("fk_model_versions_ingestion_id")),
        sa.ForeignKeyConstraint(["model"], ["registered_models.sequence"], name=op.f("fk_model_versions_model")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("id", name=op.f("uq_model_versions_id")),
        sa.UniqueConstraint("ingestion_id", name=op.f("uq_model_versions_ingestion_id")),
        sa.UniqueConstraint("model", "number", name=op.f("uq_model_versions_model_number")),
    )
    op.create_index("ix_model_versions_content", "model_versions", ["team", "digest"])
    op.create_index("ix_model_versions_listing", "model_versions", ["scope", "listing_key"])
    op.create_index(
        "uq_model_versions_living_content",
        "model_versions",
        ["scope", "digest"],
        unique=True,
        sqlite_where=sa.text("deleted IS NULL"),
        postgresql_where=sa.text("deleted IS NULL"),
    )

    op.create_table(
        "version_files",
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("path_raw", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name=op.f("fk_version_files_version_id")),
        sa.PrimaryKeyConstraint("version_id", "position", name=op.f("pk_version_files")),
    )

    op.create_table(
        "version_findings",
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name=op.f("fk_version_findings_version_id")),
        sa.PrimaryKeyConstraint("version_id", "position", name=op.f("pk_version_findings")),
    )

    op.create_table(
        "version_metrics",
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("step", sa.BigInteger()),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("wall_time", sa.Double()),
        sa.Column("exact", sa.Text()),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name=op.f("fk_version_metrics_version_id")),
        sa.PrimaryKeyConstraint("version_id", "position", name=op.f("pk_version_metrics")),
    )

    op.create_table(
        "version_tags",
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name=op.f("fk_version_tags_version_id")),
        sa.PrimaryKeyConstraint("version_id", "tag", name=op.f("pk_version_tags")),
    )
    op.create_index("ix_version_tags_tag", "version_tags", ["tag"])
