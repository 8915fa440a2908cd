"""Say of what was answered with a version which format was found: that of the version. Of the rest nobody knows it any more.

It is a revision, and so a transaction, of its own, because it takes long where many have ended: beside 0012, which alters the
table, nobody could read it meanwhile. So only rows are held that have ended, and wait for nobody.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

OF_VERSIONS = """
    UPDATE ingestions SET format = (SELECT format FROM model_versions WHERE model_versions.id = ingestions.answered_version)
    WHERE answered_version IS NOT NULL AND format IS NULL
"""


def upgrade() -> None:
    """Fill the column."""
    op.execute(OF_VERSIONS)
