"""What a policy holds against serving a version, in words that keep apart what asks for different things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.facts import (
    Completeness,
    Detection,
    Extraction,
    Finding,
    ModelFacts,
    ModelType,
    Note,
    Problem,
    Severity,
    State,
)
from detectors.scan import EXIT_STATUS, Coverage, Model, Scan, Verdict, judge, scan
from detectors.tree import MemoryTree
from tests.builders import onnx
from worker import policy
from worker.policy import MOST_CAUSES, objection, released, stands
from worker.records import Held, Objection, Policy, Released

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
CLEAN = scan(MemoryTree({"m.onnx": onnx.model()}))
RULES = ("tf-file-write", "tf-asset-outside", "onnx-over-2gib", "link-outside", "odd-name")


def model(root: str, state: State = State.COMPLETE) -> Model:
    problems = () if state is State.COMPLETE else (Problem(f"{root}/part", "what is wrong"),)
    extraction = Extraction(ModelFacts(), Completeness(state, problems))
    return Model(Detection("onnx", ModelType.ONNX, root, root, (), (root,)), extraction, primary=False)


def seen(
    states: Iterable[State] = (State.COMPLETE,), findings: Iterable[Finding] = (), unread: Iterable[tuple[str, str]] = ()
) -> Scan:
    models = tuple(model(f"m{at}", state) for at, state in enumerate(states))
    coverage = Coverage(1, (), tuple(Note(*one) for one in unread))
    findings = tuple(findings)
    return replace(CLEAN, models=models, findings=findings, coverage=coverage, verdict=judge(models, findings, coverage))


def finding(rule: str = "tf-file-write", severity: Severity = Severity.HIGH, place: str = "node a") -> Finding:
    return Finding(rule, severity, "saved_model.pb", place, "writes a file")


scans = st.builds(
    seen,
    st.lists(st.sampled_from(State), min_size=1, max_size=3),
    st.lists(st.builds(finding, st.sampled_from(RULES), st.sampled_from(Severity)), max_size=4),
    st.lists(st.tuples(st.sampled_from("ab"), st.just("denied")), max_size=3, unique=True),
)


@given(scans, st.sampled_from([Policy.WARN, Policy.QUARANTINE]))
def test_what_is_not_clean_is_objected_to_and_what_is_clean_is_not(found: Scan, wanted: Policy) -> None:
    """What is not clean is objected to, and what is clean is not."""
    said = objection(wanted, found)
    assert (said is not None) == (EXIT_STATUS[found.verdict] != 0)
    if said is not None:
        assert said.is_quarantined == (wanted is Policy.QUARANTINE)
        assert said.why
        assert said.causes
    assert objection(Policy.RECORD, found) is None


@given(scans)
def test_malicious_corrupt_incomplete_and_unread_are_told_apart(found: Scan) -> None:
    """Malicious, corrupt, incomplete and unread are told apart."""
    said = objection(Policy.QUARANTINE, found)
    clauses = [] if said is None else said.why.split("; ")
    serious = any(one.severity in policy.SERIOUS for one in found.findings)
    states = {one.extraction.completeness.state for one in found.models}
    expected = [serious, State.CORRUPT in states, State.INCOMPLETE in states, bool(found.coverage.inconclusive)]
    told = [sum(word in clause for clause in clauses) for word in (" finding", " corrupt:", " incomplete:", "not fully read: ")]
    assert told == [int(one) for one in expected]
    assert len(clauses) == sum(expected)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (seen(findings=[finding()]), "1 high finding (tf-file-write)"),
        (
            seen(findings=[finding(rule, Severity.CRITICAL) for rule in RULES] + [finding(place="b")]),
            "5 critical and 1 high findings (tf-file-write, tf-asset-outside, onnx-over-2gib and 2 more)",
        ),
        (seen([State.CORRUPT]), "the model is corrupt: m0/part: what is wrong"),
        (
            seen([State.COMPLETE, State.CORRUPT, State.INCOMPLETE, State.INCOMPLETE]),
            "1 of 4 models is corrupt: m1/part: what is wrong; 2 of 4 models are incomplete: m2/part: what is wrong",
        ),
        (seen(unread=[("m.bin", "denied"), ("n", "gone")]), "not fully read: m.bin: denied and 1 more"),
        (
            seen([State.INCOMPLETE], [finding()], [("a\udcff", "denied")]),
            "1 high finding (tf-file-write); the model is incomplete: m0/part: what is wrong; not fully read: a\\xff: denied",
        ),
    ],
)
def test_why_is_a_sentence_that_names_the_worst_first(found: Scan, why: str) -> None:
    said = objection(Policy.WARN, found)
    assert said is not None
    assert said.why == why


def test_findings_that_matter_little_and_what_is_no_model_are_held_against_nothing() -> None:
    assert objection(Policy.QUARANTINE, seen(findings=[finding(severity=Severity.MEDIUM)])) is None
    nothing = scan(MemoryTree({"notes.txt": b"x"}))
    assert nothing.verdict is Verdict.NOTHING
    assert objection(Policy.QUARANTINE, nothing) is None


def causes(found: Scan) -> tuple[str, ...]:
    said = objection(Policy.QUARANTINE, found)
    assert said is not None
    return said.causes


def test_a_finding_elsewhere_in_the_file_is_another_cause_and_the_same_one_is_none() -> None:
    one, two = finding(), finding(place="node b")
    assert causes(seen(findings=[one])) == causes(seen(findings=[replace(one, message="in other words")]))
    assert set(causes(seen(findings=[one]))) < set(causes(seen(findings=[one, two])))
    assert set(causes(seen(findings=[one]))).isdisjoint(causes(seen(findings=[replace(one, severity=Severity.CRITICAL)])))
    assert causes(seen([State.CORRUPT, State.INCOMPLETE], unread=[("a", "b")])) == ("corrupt", "incomplete", "unread")


def test_many_findings_are_kept_in_bounds_and_one_more_is_noticed() -> None:
    many = [finding(place=f"node {number}") for number in range(MOST_CAUSES + 50)]
    assert len(causes(seen(findings=many))) == MOST_CAUSES + 1
    assert not set(causes(seen(findings=[*many, finding(place="one more")]))) <= set(causes(seen(findings=many)))


HELD = Held(NOON, "before", ("a", "b"))
FREE = replace(HELD, released=Released(LATER, "ann", "looked at"))
SAID = [
    None,
    Objection(False, "warned", ("c",)),
    Objection(True, "the same", ("a", "b")),
    Objection(True, "less", ("a",)),
    Objection(True, "more", ("a", "b", "c")),
    Objection(True, "other", ("c",)),
]


@pytest.mark.parametrize("said", SAID)
def test_what_a_person_released_stays_released_until_something_new_is_found(said: Objection | None) -> None:
    """What a person released stays released until something new is found."""
    after = stands(FREE, said, LATER)
    if said is not None and said.is_quarantined and "c" in said.causes:
        assert after == Held(LATER, said.why, said.causes)
        assert policy.is_put(FREE, after)
    else:
        assert after == FREE
        assert not policy.is_put(FREE, after)


@pytest.mark.parametrize("said", SAID)
def test_only_a_person_lets_a_version_go(said: Objection | None) -> None:
    """Only a person lets a version go."""
    after = stands(HELD, said, LATER)
    assert after is not None
    assert (after.since, after.released) == (NOON, None)
    assert not policy.is_put(HELD, after)
    free = released(after, LATER, "bob", "fine")
    assert free.released == Released(LATER, "bob", "fine")
    assert released(free, LATER + timedelta(1), "eve", "me") == free


@pytest.mark.parametrize("said", SAID)
def test_what_was_never_held_is_held_where_the_policy_says_so(said: Objection | None) -> None:
    after = stands(None, said, NOON)
    assert (after is not None) == (said is not None and said.is_quarantined)
    assert policy.is_put(None, after) == (after is not None)
