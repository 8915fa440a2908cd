"""Count what happens; what happened before is counted as the rows of now tell it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REASONS = frozenset(
    "broken changed discarded experiment-canceled experiment-error experiment-failed incomplete inspector-lost interrupted"
    " kept-changing new-content not-settled nothing-found nothing-there registry-unavailable rejected-event rejected-location"
    " same-content same-listing source-unavailable storage-hangs store-unavailable tree-limit unforeseen unreadable"
    " worker-lost".split()
)
FORMATS = frozenset(
    "coreml custom gguf git_lfs_pointer huggingface keras mlflow onnx openvino ort pickle pytorch safetensors"
    " tensorflow_checkpoint tensorflow_graphdef tensorflow_savedmodel tflite".split()
)

STANDING = """
    SELECT i.state, i.reason, i.trigger, v.format, count(*) AS number, sum(v.size_bytes) AS bytes
    FROM ingestions i LEFT JOIN model_versions v ON v.ingestion_id = i.id GROUP BY 1, 2, 3, 4
"""
"""At most one version has an ingestion's id, so no row is counted twice."""

IN_FLIGHT = ("received", "waiting", "running")


def upgrade() -> None:
    """Make the table of counters, and begin with what the rows tell: no retry, and no end that a later one followed."""
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", "shard", name=op.f("pk_counters")),
    )
    counted: Counter[tuple[str, str]] = Counter()
    for name, labels, value in _so_far():
        counted[name, json.dumps(labels, sort_keys=True, separators=(",", ":"))] += value
    rows = [{"name": name, "labels": labels, "shard": 0, "value": value} for (name, labels), value in counted.items() if value]
    op.bulk_insert(counters, rows)


def _so_far() -> Iterator[tuple[str, dict[str, str], int]]:
    """Yield names, labels and amounts; the same ones more than once."""
    for row in op.get_bind().execute(sa.text(STANDING)):
        yield "accepted", {"trigger": row.trigger}, row.number
        if row.state not in IN_FLIGHT:
            yield "ended", _labels_of_end(row), row.number
        yield "bytes", {"outcome": "registered"}, int(row.bytes or 0)


def _labels_of_end(row: Any) -> dict[str, str]:
    format = "none" if row.format is None else _word(row.format, FORMATS)
    return {"format": format, "outcome": row.state, "reason": _word(row.reason, REASONS), "trigger": row.trigger}


def _word(word: str | None, known: frozenset[str]) -> str:
    return word if word in known else "other"
