"""Keep what format was found, and where an error came from that nobody foresaw; index both that and when things failed.

What was answered with a version before gets the format of that version in 0014, which keeps nobody waiting.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

FAILED = sa.text("state = 'failed'")
KNOWN = sa.text("format IS NOT NULL")


def upgrade() -> None:
    """Make the columns and the indexes."""
    op.add_column("ingestions", sa.Column("format", sa.Text()))
    op.add_column("ingestion_history", sa.Column("backtrace", sa.Text()))
    op.drop_index("ix_ingestions_failed", table_name="ingestions")
    for name, columns, where in (
        ("failed", ["team", "reason", "sequence", "updated"], FAILED),
        ("format", ["team", "format", "sequence", "state"], KNOWN),
    ):
        op.create_index(op.f(f"ix_ingestions_{name}"), "ingestions", columns, sqlite_where=where, postgresql_where=where)
