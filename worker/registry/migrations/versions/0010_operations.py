"""Index what operators look at every few seconds: what has failed by reason, what finished last, and lists of ingestions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FAILED = "state = 'failed'"
FINISHED = "state IN ('registered', 'unchanged', 'nothing_found', 'failed')"


def upgrade() -> None:
    """Make the indexes; the one of states gets the order of lists."""
    op.drop_index("ix_ingestions_state", table_name="ingestions")
    for name, columns, where in (
        ("state", ["state", "team", "sequence"], None),
        ("team", ["team", "sequence"], None),
        ("failed", ["team", "reason", "sequence"], FAILED),
        ("finished", ["team", "updated", "state"], FINISHED),
        ("experiment", ["team", "experiment", "sequence"], "experiment IS NOT NULL"),
    ):
        only = None if where is None else sa.text(where)
        op.create_index(op.f(f"ix_ingestions_{name}"), "ingestions", columns, sqlite_where=only, postgresql_where=only)
