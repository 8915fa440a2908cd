"""The contract of what a registry keeps of gates and of the version before: what comes back, and when it changes.

A registry joins by subclassing `RegistryContract`, which makes it, and `GatesContract`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from detectors.facts import Metadata
from tests.contracts.registry import LATER, claimed, event, judged, new_version, register
from worker.gates import evaluate, parse_gates
from worker.ports import Registry
from worker.records import Attention, GateResult, ModelVersion, NewVersion, VersionQuery

GATES = parse_gates(
    {
        "tensorflow:loss": {"target": "0.0..0.50", "aggregate": "mean", "precision": 3, "round": "up"},
        "custom:f1": {"target": "1E-7..", "aggregate": "/a~1b/\u00e9", "if-not-found": "success"},
    }
)
ARRIVAL = {
    "with": "mo1",
    "number": 1,
    "says": "against @1: signature the same",
    "metrics": [],
    "odd": ["zero \0 character", "emoji 🦆", 0.1],
}


def results(loss: float = 0.4) -> tuple[GateResult, ...]:
    return evaluate(GATES, {"loss": {"result": {"mean": loss}}}, Metadata())


def gated(registry: Registry, id: str, digest: str, **changes: Any) -> ModelVersion:
    ingestion = claimed(registry, id)
    registration = registry.register(ingestion.id, "me", new_version(ingestion, digest, **changes), LATER)
    assert registration is not None
    return registration.version


def planned(registry: Registry, id: str, **changes: Any) -> NewVersion:
    """Return the version that a new event may register."""
    return new_version(claimed(registry, id, **changes), id)


class GatesContract:
    """The laws of what any registry keeps of gates and of the version before."""

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError("the contract of the registry makes one")

    def test_an_event_keeps_its_gates(self, registry: Registry) -> None:
        ingestion, _ = registry.submit(event(gates=GATES), LATER)
        assert ingestion.event.gates == GATES
        again, known = registry.submit(event(gates=GATES), LATER)
        assert (known, again.id) == (True, ingestion.id)
        standing = registry.ingestion("default", ingestion.id)
        assert standing is not None
        assert standing.event == event(gates=GATES)

    def test_a_version_keeps_what_became_of_its_gates_and_what_it_arrived_with(self, registry: Registry) -> None:
        version = gated(registry, "1", "d1", gates=results(), arrival=ARRIVAL)
        assert (version.gates, version.arrival) == (results(), ARRIVAL)
        assert registry.version("default", version.id) == version
        assert [one.passes_if_not_found for one in GATES] == [False, True]

    def test_a_brief_list_has_the_gates_and_not_the_arrival(self, registry: Registry) -> None:
        gated(registry, "1", "d1", gates=results(), arrival=ARRIVAL)
        [brief], [whole] = (registry.versions(VersionQuery(is_brief=is_brief)) for is_brief in (True, False))
        assert (brief.gates, brief.arrival) == (results(), None)
        assert (whole.gates, whole.arrival) == (results(), ARRIVAL)

    def test_equal_content_with_gates_takes_over_what_became_of_them_and_without_gates_it_does_not(
        self, registry: Registry
    ) -> None:
        first = gated(registry, "1", "d1", gates=results(), arrival=ARRIVAL)
        stricter = gated(registry, "2", "d1", gates=results(0.9), arrival={"with": "another"})
        assert (stricter.id, stricter.gates, stricter.arrival) == (first.id, results(0.9), ARRIVAL)
        assert gated(registry, "3", "d1").gates == results(0.9)

    def test_gates_may_be_noted_later_and_nothing_else_changes(self, registry: Registry) -> None:
        version = register(registry).version
        registry.note_gates(version, results(), "in1", LATER)
        assert registry.version("default", version.id) == replace(version, gates=results())
        registry.note_gates(version, (), "in1", LATER)
        assert registry.version("default", version.id) == version
        registry.note_gates(replace(version, id="mo?"), results(), "in1", LATER)

    def test_a_gate_that_was_not_passed_is_a_reason_to_look_until_it_is(self, registry: Registry) -> None:
        def counted() -> tuple[int, int, int]:
            overview = registry.overview("default").attention
            listed = registry.versions(VersionQuery(attention=Attention.GATE_FAILED))
            return len(listed), overview[Attention.GATE_FAILED], overview[Attention.NEEDS_LOOK]

        version = gated(registry, "1", "d1", gates=results(0.9), findings=())
        assert counted() == (1, 1, 1)
        registry.note_gates(version, results(), "in1", LATER)
        assert counted() == (0, 0, 0)
        registry.note_gates(version, results(0.9), "in2", LATER)
        assert counted() == (1, 1, 1)
        gated(registry, "2", "d1", findings=())
        assert counted() == (1, 1, 1), "a run without gates says nothing of them"
        gated(registry, "3", "d1", gates=results(), findings=())
        assert counted() == (0, 0, 0)
        gated(registry, "4", "d1", gates=results(0.9), findings=())
        assert registry.care.judge(version, judged(new_version(claimed(registry, "5"), "d1", findings=())), LATER)
        assert counted() == (1, 1, 1), "newer rules do not ask the gates again"
        registry.delete("default", version.id, LATER)
        registry.note_gates(version, results(), "in3", LATER)
        assert counted() == (0, 0, 0)
        assert registry.overview("default").versions == 0

    def test_the_first_of_its_name_follows_none(self, registry: Registry) -> None:
        register(registry, "1", "d1", experiment="other")
        register(registry, "2", "d2", project="other")
        register(registry, "3", "d3", team="other")
        assert registry.predecessor(planned(registry, "4")) is None

    def test_a_version_follows_the_newest_living_one_of_its_model(self, registry: Registry) -> None:
        first, second, third = (register(registry, id, id).version for id in ("d1", "d2", "d3"))
        assert registry.predecessor(planned(registry, "4")) == third
        registry.delete("default", third.id, LATER)
        assert registry.predecessor(planned(registry, "5")) == second
        for version in (first, second):
            registry.delete("default", version.id, LATER)
        assert registry.predecessor(planned(registry, "6")) is None

    def test_a_named_version_follows_the_one_of_its_name_whatever_left_it(self, registry: Registry) -> None:
        named = register(registry, "1", "d1", name="digits", experiment="a").version
        register(registry, "2", "d2", name="letters", experiment="b")
        assert registry.predecessor(planned(registry, "3", name="digits", experiment="b")) == named

    def test_an_unnamed_version_follows_those_of_its_experiment_also_when_they_are_called_otherwise(
        self, registry: Registry
    ) -> None:
        first = register(registry, "1", "d1").version
        renamed = registry.rename("default", first.id, "digits", LATER)
        elsewhere = register(registry, "2", "d2", name="mnist", experiment="other").version
        assert registry.predecessor(planned(registry, "3")) == renamed
        assert registry.predecessor(planned(registry, "4", name="mnist")) == elsewhere

    def test_the_newest_of_the_model_is_followed_though_another_experiment_left_it(self, registry: Registry) -> None:
        register(registry, "1", "d1", name="digits")
        newest = register(registry, "2", "d2", name="digits", experiment="other").version
        assert registry.predecessor(planned(registry, "3")) == newest
