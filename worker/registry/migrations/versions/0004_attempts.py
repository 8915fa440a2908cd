"""Note with each attempt the id that it may register; of attempts before this nobody knows it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and what finds an id in it."""
    op.add_column("ingestion_history", sa.Column("version_id", sa.Text()))
    is_known = sa.text("version_id IS NOT NULL")
    op.create_index(
        "ix_ingestion_history_version_id", "ingestion_history", ["version_id"], sqlite_where=is_known, postgresql_where=is_known
    )
