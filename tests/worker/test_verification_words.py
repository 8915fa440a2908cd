"""What a load check came to, in sentences."""

from __future__ import annotations

from typing import Any

from worker.verification_words import Line, Mark, lines

RUN = {"name": "serve", "runs": True, "seconds": 0.0124, "filled": "inputs of 0", "error": ""}
TRIED = [{"what": "read", "target": "/etc/passwd", "count": 2}, {"what": "call", "target": "fork", "count": 1}]
VERIFIED: dict[str, Any] = {
    "root": "m",
    "format": "onnx",
    "outcome": "verified",
    "why": "",
    "sandbox": "landlock",
    "framework": "onnxruntime 1.20.1",
    "loads": True,
    "loadSeconds": 0.21,
    "runs": [RUN],
    "mismatches": [],
    "seconds": 1.34,
    "peakBytes": 61_900_000,
    "ended": "answered",
    "begun": True,
    "watched": True,
    "tried": [],
    "withheld": [],
}


def test_what_a_verified_model_does_comes_first_and_what_it_took_last() -> None:
    assert lines(VERIFIED) == [
        Line(Mark.GOOD, "loads in 0.2 s by onnxruntime 1.20.1"),
        Line(Mark.GOOD, "runs serve in 0.012 s, inputs of 0"),
        Line(Mark.GOOD, "outputs are those that its signatures declare"),
        Line(Mark.NOTE, "1.3 s in all, memory 62 MB at most, in landlock"),
        Line(Mark.NOTE, "blocked: nothing, it tried nothing"),
    ]


def test_every_signature_that_does_not_run_is_named_once() -> None:
    runs = [RUN | {"name": name, "runs": False, "seconds": None, "error": f"no {name}"} for name in ("any", "serve")]
    failed = VERIFIED | {"outcome": "failed", "why": "signature any does not run: no any", "runs": runs}
    assert [line.text for line in lines(failed) if line.mark is Mark.BAD] == [
        "signature any does not run: no any",
        "signature serve does not run: no serve",
    ]


def test_every_mismatch_is_told_once() -> None:
    failed = VERIFIED | {"outcome": "failed", "why": "no y", "mismatches": ["no y", "no z"]}
    assert [line.text for line in lines(failed) if line.mark is Mark.BAD] == ["no y", "no z"]


def test_what_was_blocked_is_told_with_how_often() -> None:
    assert lines(VERIFIED | {"tried": TRIED})[-1] == Line(Mark.NOTE, "blocked: read /etc/passwd × 2; call fork")


def test_a_system_that_does_not_tell_what_a_model_tried_is_told() -> None:
    said = Line(Mark.NOTE, "what it tried is not known: this system does not let us listen")
    assert lines(VERIFIED | {"watched": False})[-1] == said
    older = {key: value for key, value in VERIFIED.items() if key != "begun"}
    assert lines(older | {"watched": False})[-1] == said


def test_of_a_model_that_was_never_begun_nothing_is_said_to_be_tried() -> None:
    ended = {"outcome": "not-verified", "why": "too little memory", "framework": None, "loads": None, "runs": []}
    assert lines(VERIFIED | ended | {"begun": False, "watched": False, "peakBytes": 18_000_000, "seconds": 0.1}) == [
        Line(Mark.UNKNOWN, "too little memory"),
        Line(Mark.NOTE, "0.1 s in all, memory 18 MB at most, in landlock"),
    ]


def test_what_was_withheld_is_told_and_where_nothing_ran_nothing_else() -> None:
    withheld = [{"path": "w.bin", "reason": "it is a hard link"}]
    nothing = {"outcome": "not-verified", "why": "all withheld", "loads": None, "runs": [], "seconds": None, "begun": False}
    assert lines(VERIFIED | nothing | {"withheld": withheld}) == [
        Line(Mark.UNKNOWN, "all withheld"),
        Line(Mark.NOTE, "withheld w.bin: it is a hard link"),
    ]
