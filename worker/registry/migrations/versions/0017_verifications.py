"""Keep of each version what its load check came to: a table of its own, written long after registration and by others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, which is empty: nothing was verified."""
    op.create_table(
        "verifications",
        sa.Column("version_id", sa.Text(), sa.ForeignKey("model_versions.id"), primary_key=True),
        sa.Column("outcome", sa.Text()),
        sa.Column("report", sa.Text()),
        sa.Column("at", sa.String(27)),
        sa.Column("owner", sa.Text()),
        sa.Column("lease_until", sa.String(27)),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
    )
