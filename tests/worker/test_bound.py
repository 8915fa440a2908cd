"""What stands in every line while something is worked on, and in none after it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from tests.builders import onnx
from tests.worker.test_ingest import make_borders
from worker import bound, logs
from worker.errands import Errands
from worker.ingest import Borders
from worker.logged_registry import logged
from worker.records import CompletionEvent, Trigger
from worker.registry.memory import MemoryRegistry
from worker.runner import Runner
from worker.storage.memory import MemoryStore

log = structlog.get_logger("test")


@pytest.fixture
def borders() -> Borders:
    return logged(make_borders(MemoryRegistry(), MemoryStore()))


def submit(borders: Borders, path: Path, *ids: str) -> list[str]:
    """Return the ingestions of runs at *path*, one for each of *ids*."""
    path.mkdir(exist_ok=True)
    (path / "model.onnx").write_bytes(onnx.model())
    events = [CompletionEvent("test", one, str(path), experiment=one, trigger=Trigger.COMPLETION) for one in ids]
    return [borders.registry.submit(event, borders.clock.now())[0].id for event in events]


def test_what_one_attempt_is_bound_to_stands_in_no_line_of_another(borders: Borders, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    watching = replace(borders, step=lambda name: seen.append(get_contextvars()))
    ids = submit(borders, tmp_path / "run", "a", "b", "c")
    assert Runner(watching, "w").work_off(3) == 3
    assert list(dict.fromkeys(one["ingestion"] for one in seen)) == ids
    assert {(one["team"], one["attempt"]) for one in seen} == {("default", 1)}
    assert len({(one["ingestion"], one["owner"]) for one in seen}) == 3
    assert get_contextvars() == {}


def test_a_library_in_the_thread_of_the_attempt_is_bound_too(
    borders: Borders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    try:
        talks = replace(borders, step=lambda name: logging.getLogger("boto3").warning("step %s", name))
        (only,) = submit(borders, tmp_path / "run", "a")
        assert Runner(talks, "w").work_off(1) == 1
        logging.getLogger("boto3").warning("after it")
        *during, after = [line for line in capsys.readouterr().err.splitlines() if "logger='boto3'" in line]
        assert len(during) > 3
        assert all(f"ingestion='{only}'" in line for line in during)
        assert "ingestion=" not in after
    finally:
        structlog.reset_defaults()


def test_what_raises_unforeseen_is_bound_and_lets_go(borders: Borders, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    ids = submit(borders, tmp_path / "run", "a")
    with capture_logs(processors=[merge_contextvars]) as said:
        Runner(replace(borders, inspect=fail), "w").work_off(1)
    assert [(line["event"], line["ingestion"]) for line in said] == [
        ("claimed", ids[0]),
        ("ended", ids[0]),
        ("unforeseen", ids[0]),
    ]
    assert get_contextvars() == {}


def test_an_errand_is_bound_to_what_its_sender_was(borders: Borders) -> None:
    def errand() -> bool:
        log.info("done")
        return True

    errands = Errands()
    with capture_logs(processors=[merge_contextvars]) as said:
        for name in ("in1", "in2"):
            with structlog.contextvars.bound_contextvars(ingestion=name):
                errands.send(errand)
        errands.send(errand)
        errands.wait(5)
    assert [line.get("ingestion") for line in said] == ["in1", "in2", None]


def in_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_a_thread_is_bound_only_where_it_is_started_so() -> None:
    seen: list[dict[str, Any]] = []
    with bound.to_request("r1"):
        in_thread(bound.here(lambda: seen.append(get_contextvars())))
        in_thread(lambda: seen.append(get_contextvars()))
    assert seen == [{"request": "r1"}, {}]
