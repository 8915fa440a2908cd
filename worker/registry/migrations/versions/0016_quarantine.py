"""Note what a policy holds against serving a version, and who released it from quarantine, when and why.

All columns may be empty: workers of the release before write none, and what they register is in no quarantine.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

MOMENT = sa.String(27)


def upgrade() -> None:
    """Make the columns."""
    for name, kind in (
        ("held_since", MOMENT),
        ("held_why", sa.Text()),
        ("held_causes", sa.Text()),
        ("released", MOMENT),
        ("released_by", sa.Text()),
        ("released_reason", sa.Text()),
        ("warning", sa.Text()),
    ):
        op.add_column("model_versions", sa.Column(name, kind))
