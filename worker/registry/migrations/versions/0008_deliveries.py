"""Keep what is to be told to others until they have taken it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.String(27)


def upgrade() -> None:
    """Make the table and its indexes."""
    op.create_table(
        "deliveries",
        sa.Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("ingestion_id", sa.Text(), sa.ForeignKey("ingestions.id", name="fk_deliveries_ingestion_id")),
        sa.Column("version_id", sa.Text(), sa.ForeignKey("model_versions.id", name="fk_deliveries_version_id")),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("due", MOMENT),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("delivered", MOMENT),
        sa.UniqueConstraint("id", name="uq_deliveries_id"),
    )
    is_due = sa.text("due IS NOT NULL")
    op.create_index(
        "ix_deliveries_due", "deliveries", ["destination", "due", "sequence"], sqlite_where=is_due, postgresql_where=is_due
    )
    op.create_index("ix_deliveries_team", "deliveries", ["team"])
    op.create_index("ix_deliveries_version_id", "deliveries", ["version_id"])
