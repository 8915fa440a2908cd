"""Note how the files of versions are found, and let what is old and led to nothing be removed without forgetting its event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = sa.String(27)
FRUITLESS = "state IN ('unchanged', 'nothing_found', 'discarded', 'ignored')"


def upgrade() -> None:
    """Make the columns, the table and the indexes. All columns may be empty: workers of the release before write none."""
    for name, kind in (
        ("condition", sa.Text()),
        ("says", sa.Text()),
        ("at", MOMENT),
        ("looked", MOMENT),
        ("trouble", sa.Text()),
        ("mark", sa.Text()),
    ):
        op.add_column("model_versions", sa.Column(f"files_{name}", kind))
    op.create_table(
        "past_events",
        sa.Column("event_key", sa.Text(), primary_key=True),
        sa.Column("event_digest", sa.Text()),
        sa.Column("ingestion_id", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("answered_version", sa.Text()),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
    )
    for name, table, columns, where in (
        ("looked", "model_versions", ["files_looked", "sequence"], "deleted IS NULL"),
        ("rules", "model_versions", ["rules_version", "sequence"], "deleted IS NULL"),
        ("fruitless", "ingestions", ["updated", "sequence"], FRUITLESS),
        ("delivered", "deliveries", ["delivered"], "delivered IS NOT NULL"),
        ("ingestion_id", "deliveries", ["ingestion_id"], None),
    ):
        only = None if where is None else sa.text(where)
        op.create_index(op.f(f"ix_{table}_{name}"), table, columns, sqlite_where=only, postgresql_where=only)
