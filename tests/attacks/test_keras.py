"""What configurations of Keras make a loader do, told without loading them."""

from __future__ import annotations

import pytest

from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from tests.attacks.keras import IDEAS, WEIGHTS, attacks, files_of, hdf5_at, header, stored_weights, two_in_one, weights_of
from tests.builders import onnx

PLACES = {"model.keras": "config.json", "model.h5": "model_config", "keras_metadata.pb": "node 0", "model.json": ""}


@pytest.mark.parametrize("idea", IDEAS)
def test_each_trap_is_found_in_every_format(idea: str) -> None:
    inner, rule, severity = IDEAS[idea]
    for name, data in files_of(inner):
        found = scan(MemoryTree({name: data}))
        assert (rule, severity) in [(finding.rule, finding.severity) for finding in found.findings], name
        assert {finding.place for finding in found.findings} == {PLACES[name]}


@pytest.mark.parametrize("idea", WEIGHTS)
def test_weights_in_other_files_are_found_wherever_keras_keeps_them(idea: str) -> None:
    weights, severity = WEIGHTS[idea]
    for name, data in weights_of(weights):
        found = scan(MemoryTree({name: data}))
        assert [(one.rule, one.severity) for one in found.findings] == [("hdf5-data-outside", severity)], name
        assert [one.path for one in found.coverage.inconclusive] == [name]
        inside = "" if name.endswith(".h5") else "model.weights.h5"
        assert found.findings[0].place == f"{inside}/d"


def test_a_file_that_two_readers_see_differently_is_never_clean() -> None:
    for name, data in weights_of(two_in_one(stored_weights("/etc/passwd"), hdf5_at(header()))):
        found = scan(MemoryTree({name: data}))
        assert found.verdict == (Verdict.FINDINGS if name.endswith(".h5") else Verdict.INCONCLUSIVE), name
        assert name.endswith(".h5") or "expected the base address 0" in found.coverage.inconclusive[0].reason


def test_no_trap_is_ever_clean() -> None:
    found = {name: scan(MemoryTree({**HONEST, **files})).verdict for name, files in attacks()}
    assert not [name for name, verdict in found.items() if verdict not in (Verdict.FINDINGS, Verdict.INCONCLUSIVE)]


HONEST = {"whole.onnx": onnx.model()}


def test_ten_advisories_are_played() -> None:
    assert len({idea.partition(",")[0] for idea in IDEAS if idea.startswith("CVE-")}) == 10
