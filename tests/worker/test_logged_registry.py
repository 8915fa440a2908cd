"""What a worker writes into its log while it works off the queue: lines of a real run on the registry in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.builders import onnx
from tests.worker.test_ingest import make_borders
from worker.ingest import Borders
from worker.logged_registry import logged
from worker.records import CompletionEvent, Trigger
from worker.registry.memory import MemoryRegistry
from worker.runner import Runner
from worker.storage.memory import MemoryStore


@pytest.fixture
def borders() -> Borders:
    return logged(make_borders(MemoryRegistry(), MemoryStore()))


def said_of(path: Path, borders: Borders, attempts: int = 1, id: str = "1") -> list[dict[str, Any]]:
    """Return what is logged while the completion of a run at *path* is worked on, that many times."""
    event = CompletionEvent("test", id, str(path), experiment="e7", trigger=Trigger.COMPLETION)
    ingestion, _ = borders.registry.submit(event, borders.clock.now())
    with capture_logs(processors=[merge_contextvars]) as said:
        assert Runner(borders, "w").work_off(attempts) == attempts
    assert {line.pop("ingestion") for line in said} == {ingestion.id}
    assert {line.pop("team") for line in said} == {"default"}
    assert {line.pop("attempt") for line in said} == {1}
    (owner,) = {line.pop("owner") for line in said}
    assert owner.startswith("w.")
    return [dict(line) for line in said]


def test_a_claim_and_the_version_that_it_ends_in_are_a_line_each(borders: Borders, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx.model())
    claimed, ended = said_of(tmp_path, borders)
    assert claimed == {
        "event": "claimed",
        "log_level": "info",
        "experiment": "e7",
        "path": str(tmp_path),
    }
    assert (ended["event"], ended["state"], ended["model"], ended["completeness"]) == (
        "ended",
        "registered",
        "e7@1",
        "complete",
    )


def test_what_is_unchanged_ends_once(borders: Borders, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx.model())
    said_of(tmp_path, borders)
    again = said_of(tmp_path, borders, id="2")
    assert [(line["event"], line.get("state")) for line in again] == [("claimed", None), ("ended", "unchanged")]


def test_a_wait_says_for_how_long_and_why(borders: Borders, tmp_path: Path) -> None:
    missing = tmp_path / "late"
    _, waits = said_of(missing, borders)
    assert (waits["event"], waits["reason"]) == ("waits", "not-settled")
    assert waits["why"] == f"{missing}: there is nothing at this path"
    assert waits["seconds"] >= 0
