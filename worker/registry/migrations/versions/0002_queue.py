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
