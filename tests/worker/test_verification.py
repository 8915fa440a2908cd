"""What a caged child may claim, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.facts import Signature, TensorSpec
from worker.verification import (
    MAX_ANSWER_BYTES,
    BadClaims,
    Claims,
    Ending,
    LoadCheck,
    Outcome,
    Run,
    Rung,
    Seen,
    fits,
    judge,
    parse_claims,
    verification_json,
    worst,
)

RUN = {"name": "serve", "runs": True, "seconds": 0.25, "filled": "zeros", "error": "", "outputs": []}
OUTPUT = {"name": "y", "dtype": "float32", "shape": [1, 10]}
ANSWER = {"framework": "f 1", "loads": True, "load_seconds": 1, "error": "", "signatures": [RUN | {"outputs": [OUTPUT]}]}


def parsed(value: Any) -> Claims:
    return parse_claims(json.dumps(value).encode())


def test_an_answer_of_the_right_shape_is_taken() -> None:
    run = Run("serve", True, 0.25, "zeros", "", (TensorSpec("y", "float32", (1, 10)),))
    assert parsed(ANSWER) == Claims("", "f 1", True, 1.0, "", (run,))
    assert parsed({"lacks": "No module named 'tensorflow'"}).lacks == "No module named 'tensorflow'"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        json.dumps(ANSWER | {"load_seconds": float("nan")}).encode(),
        json.dumps(ANSWER | {"load_seconds": float("inf")}).encode(),
        json.dumps(ANSWER | {"load_seconds": -1}).encode(),
        json.dumps(ANSWER | {"load_seconds": True}).encode(),
        json.dumps(ANSWER | {"load_seconds": "1"}).encode(),
        json.dumps(ANSWER | {"loads": 1}).encode(),
        json.dumps(ANSWER | {"error": None}).encode(),
        json.dumps(ANSWER | {"more": 1}).encode(),
        json.dumps(ANSWER | {"signatures": {}}).encode(),
        json.dumps(ANSWER | {"signatures": [RUN] * 201}).encode(),
        json.dumps(ANSWER | {"signatures": [RUN | {"outputs": [OUTPUT | {"shape": [-1]}]}]}).encode(),
        json.dumps(ANSWER | {"signatures": [RUN | {"outputs": [OUTPUT | {"shape": [True]}]}]}).encode(),
        json.dumps(ANSWER | {"signatures": [RUN | {"outputs": [OUTPUT | {"shape": [1] * 65}]}]}).encode(),
        json.dumps(ANSWER).encode()[:-1] + b', "loads": false}',
        json.dumps(ANSWER).encode() + b"x",
        b"[" * 100_000,
        b" " * (MAX_ANSWER_BYTES + 1),
    ],
)
def test_another_answer_is_refused(body: bytes) -> None:
    with pytest.raises(BadClaims):
        parse_claims(body)


@settings(max_examples=50)
@given(st.binary(max_size=50) | st.recursive(st.none() | st.text(), st.lists).map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_claims_or_are_refused_with_a_reason(body: bytes) -> None:
    try:
        reason: object = parse_claims(body)
    except BadClaims as exc:
        reason = exc
    assert str(reason)


@settings(max_examples=50)
@given(st.text(max_size=50))
def test_no_text_of_a_claim_holds_a_control_character(text: str) -> None:
    claims = parsed(ANSWER | {"error": text, "framework": text, "signatures": [RUN | {"name": text, "error": text}]})
    for said in (claims.error, claims.framework, claims.runs[0].name, claims.runs[0].error):
        assert said.isprintable()


def test_escapes_of_a_terminal_are_shown_as_text() -> None:
    assert parsed(ANSWER | {"error": "\x1b[2J\r\n\u202eevil"}).error == "\\x1b[2J\\r\\n\\u202eevil"


def seen(ending: Ending = Ending.ANSWERED, claims: Claims | None = None, detail: str = "") -> Seen:
    return Seen(Rung.LANDLOCK, ending, detail, 1.0, 1, True, (), claims)


def declared(dtype: str = "float32", shape: tuple[int | str | None, ...] | None = (None, 10)) -> list[Signature]:
    return [Signature("serve", "", (), (TensorSpec("y", dtype, shape),))]


def outcome(signatures: list[Signature], value: Any = ANSWER) -> tuple[Outcome, str]:
    check = judge("m", "onnx", signatures, seen(claims=parsed(value)), "verify")
    return check.outcome, check.why


def test_a_model_that_keeps_its_word_is_verified() -> None:
    assert outcome(declared()) == (Outcome.VERIFIED, "")


def test_what_differs_is_named() -> None:
    assert outcome(declared(dtype="int64")) == (
        Outcome.FAILED,
        "output y of signature serve: declared as int64, float32 came out",
    )
    assert outcome(declared(shape=(None, 9)))[1].endswith("declared with shape [?, 9], [1, 10] came out")
    other = Signature("other", "", (), ())
    assert outcome([*declared(), other])[1] == "signature other is declared, and the loaded model does not have it"
    missing = [Signature("serve", "", (), (TensorSpec("z", "float32", None),))]
    assert outcome(missing)[1] == "output z of signature serve is declared, and did not come out"


def test_a_lone_signature_is_compared_whatever_it_is_called() -> None:
    assert outcome(declared(), ANSWER | {"signatures": [RUN | {"name": "", "outputs": [OUTPUT]}]})[0] is Outcome.VERIFIED


def test_what_does_not_load_or_run_has_failed() -> None:
    broken = ANSWER | {"signatures": [RUN | {"runs": False, "error": "no"}]}
    assert outcome(declared(), broken) == (Outcome.FAILED, "signature serve does not run: no")
    unloaded = ANSWER | {"loads": False, "error": "bad op", "signatures": []}
    assert outcome(declared(), unloaded) == (Outcome.FAILED, "it does not load: bad op")


def test_what_could_not_be_tried_is_not_verified() -> None:
    assert outcome([], ANSWER | {"signatures": []})[0] is Outcome.NOT_VERIFIED
    lacking = outcome(declared(), {"lacks": "ModuleNotFoundError: No module named 'onnxruntime'\n"})
    assert lacking[0] is Outcome.NOT_VERIFIED
    assert lacking[1].endswith("No module named 'onnxruntime'\\n; pip install 'modelport[verify]' brings it")
    for ending in (Ending.TIME, Ending.MEMORY, Ending.DISK, Ending.NOT_CONFINED):
        assert judge("m", "onnx", [], seen(ending), "verify").outcome is Outcome.NOT_VERIFIED
    for ending in (Ending.CRASHED, Ending.NONSENSE):
        assert judge("m", "onnx", [], seen(ending), "verify").outcome is Outcome.FAILED


@pytest.mark.parametrize("ending", [Ending.TIME, Ending.MEMORY, Ending.CRASHED, Ending.NONSENSE])
def test_what_ends_before_the_model_was_opened_says_nothing_of_the_model(ending: Ending) -> None:
    check = judge("m", "onnx", [], replace(seen(ending, detail="SIGKILL"), is_begun=False), "verify")
    assert check.outcome is Outcome.NOT_VERIFIED
    assert check.why.endswith(", and nothing of the model was opened: SIGKILL")
    assert verification_json("m", [check])["models"][0]["begun"] is False


@pytest.mark.parametrize(
    ("wanted", "found", "is_fit"),
    [
        (None, (1, 2), True),
        ((None, "batch"), (3, 4), True),
        ((1,), (2,), False),
        ((1,), (1, 1), False),
        ((), (), True),
        ((5,), None, True),
    ],
)
def test_shapes_fit_what_is_known_of_them(wanted: Any, found: Any, is_fit: bool) -> None:
    assert fits(wanted, found) is is_fit


def test_the_worst_of_several_models_counts() -> None:
    def check(outcome: Outcome) -> LoadCheck:
        return LoadCheck("", "onnx", outcome, "")

    assert worst([]) is Outcome.NOTHING
    assert worst([check(Outcome.VERIFIED)]) is Outcome.VERIFIED
    assert worst([check(Outcome.VERIFIED), check(Outcome.NOT_VERIFIED)]) is Outcome.NOT_VERIFIED
    assert worst([check(Outcome.NOT_VERIFIED), check(Outcome.FAILED)]) is Outcome.FAILED


def test_the_report_is_json_that_every_reader_takes() -> None:
    check = judge("m\x1b", "onnx", declared(), seen(claims=parsed(ANSWER)), "verify")
    report = verification_json("run\ns", [check])
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert (report["outcome"], report["path"], report["models"][0]["root"]) == ("verified", "run\\ns", "m\\x1b")
