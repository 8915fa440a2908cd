"""Promise ids to models whose files are still to come, and keep what people say of a version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.String(27)
"""ISO 8601 in UTC with microseconds."""


def upgrade() -> None:
    """Make the table, and the columns of versions."""
    op.create_table(
        "uploads",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("declared_type", sa.Text()),
        sa.Column("summary", sa.Text()),
        sa.Column("notes", sa.Text()),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("writer", sa.Text()),
        sa.Column("writer_until", MOMENT),
        sa.Column("sealed", MOMENT),
        sa.Column("ended", MOMENT),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_uploads")),
        sa.UniqueConstraint("id", name=op.f("uq_uploads_id")),
    )
    op.add_column("model_versions", sa.Column("notes", sa.Text()))
    op.add_column("model_versions", sa.Column("said_summary", sa.Text()))
