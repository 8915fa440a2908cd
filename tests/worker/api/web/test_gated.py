"""What the page of a version says of its gates, and of the version before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.facts import Metadata
from tests.worker.api.conftest import Door
from tests.worker.api.web.run import digits, ingest
from tests.worker.api.web.shelf import put
from tests.worker.api.web.test_version_pages import headings, words
from tests.worker.api.web.visitor import Visitor
from worker.api.app import make_app
from worker.gates import evaluate, parse_gates
from worker.records import GateResult, IngestionQuery, ModelVersion, Trigger

ARRIVAL = {"number": 1, "says": "against @1: signature compatible, accuracy 0.91 → 0.93, +1 finding", "signature": "compatible"}


def judged(accuracy: float) -> tuple[GateResult, ...]:
    gates = {
        "custom:<f1>": {"target": "0..", "aggregate": "/f1", "if-not-found": "success"},
        "tensorflow:accuracy": {"target": "0.9..", "aggregate": "mean"},
    }
    return evaluate(parse_gates(gates), {"accuracy": {"result": {"mean": accuracy}}}, Metadata())


@pytest.fixture
def version(room: Door, tmp_path: Path) -> ModelVersion:
    return ingest(room, digits(tmp_path / "run"), "digits", experiment="e7")


def test_a_version_without_gates_says_nothing_of_them(reader: Visitor, version: ModelVersion) -> None:
    page = reader.get(f"/versions/{version.id}")
    assert "Gates" not in headings(page)
    assert "when it came" not in words(page)


def test_gates_that_passed_stand_in_a_table_and_change_nothing_else(room: Door, reader: Visitor, version: ModelVersion) -> None:
    room.registry.note_gates(version, judged(0.945), "in1", version.created)
    page = reader.get(f"/versions/{version.id}")
    assert "Gates" in headings(page)
    said = words(page)
    assert "digits v1 Complete No findings It can be used: nothing speaks against it." in said
    missing = "there are no custom metadata to look at (no gradient-model-metadata.json); the gate passes then"
    assert f"custom:<f1> /f1 0.. Not found, passes {missing}" in said
    assert (
        "tensorflow:accuracy mean of the values at the last step 0.9.. Passed 0.945 rounded down is 0.94, which lies in 0.9.."
        in said
    )


def test_a_gate_that_failed_stands_first_and_at_the_top(room: Door, reader: Visitor, version: ModelVersion) -> None:
    room.registry.note_gates(version, judged(0.5), "in1", version.created)
    said = words(reader.get(f"/versions/{version.id}"))
    assert "digits v1 A gate failed Complete No findings Look at its gates before you use it." in said
    assert "tensorflow:accuracy mean of the values at the last step 0.9.. Failed 0.5 is not above 0.9" in said
    assert said.index("tensorflow:accuracy mean") < said.index("custom:<f1> /f1")


def test_what_differed_when_it_came_is_a_line_that_leads_to_both(room: Door, reader: Visitor) -> None:
    first = put(room, "net")
    second = put(room, "net", arrival=ARRIVAL | {"with": first.id})
    page = reader.get(f"/versions/{second.id}")
    assert "Against v1 when it came: signature compatible, accuracy 0.91 → 0.93, +1 finding. Compare" in words(page)
    assert f'<a href="/compare?a={first.id}&amp;b={second.id}">Compare</a>' in page.text
    room.registry.delete("default", first.id, room.clock.now())
    page = reader.get(f"/versions/{second.id}")
    assert "Against v1 when it came: signature compatible" in words(page)
    assert "/compare?" not in page.text


def test_who_has_a_path_scanned_again_asks_with_the_gates_of_its_run(room: Door, tmp_path: Path) -> None:
    gates = parse_gates({"onnx:accuracy": {"target": "0.9..", "aggregate": "mean"}})
    version = ingest(room, digits(tmp_path / "run"), "digits", experiment="e7", gates=gates)
    editor = Visitor(make_app(room.service))
    assert editor.sign_in(room.token("model:read", "model:write")).status_code == 303
    assert editor.post(f"/versions/{version.id}/rescan", {"csrf": editor.csrf()}).status_code == 303
    newest, *_ = room.registry.ingestions(IngestionQuery())
    assert (newest.event.trigger, newest.event.gates) == (Trigger.RESCAN, gates)
