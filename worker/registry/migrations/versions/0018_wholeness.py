"""Keep with each version how whole its primary model is, so that a list need not read reports to tell what was not checked.

The column may be empty: workers of the release before write none, and what they registered is told by its state alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column."""
    op.add_column("model_versions", sa.Column("wholeness", sa.Text()))
