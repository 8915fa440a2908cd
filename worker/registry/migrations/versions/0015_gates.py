"""Keep with a version what became of the gates, and what differed from the one before it when it came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("model_versions", sa.Column("gates", sa.Text()))
    op.add_column("model_versions", sa.Column("arrival", sa.Text()))
