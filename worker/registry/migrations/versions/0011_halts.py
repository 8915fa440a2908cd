"""Let people pause the queue: make the table that each claim looks at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of what is paused, which is nothing."""
    op.create_table(
        "queue_halts",
        sa.Column("team", sa.Text(), primary_key=True),
        sa.Column("since", sa.String(27), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
    )
