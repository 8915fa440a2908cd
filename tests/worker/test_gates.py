"""Gates: the grammar case by case, the numbers at the edges, and what becomes of what is not there."""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.facts import Metadata
from detectors.metrics.gradient import statistics_of
from worker.errors import RejectedEvent
from worker.gates import (
    AGGREGATES,
    MAX_GATES,
    MAX_PRECISION,
    StandingGates,
    declared,
    evaluate,
    exact,
    failed,
    gates_json,
    is_any_failed,
    parse_gates,
    parse_standing,
    results_of,
    rounded,
)
from worker.records import Gate, GateOutcome, GateResult

NO_METADATA = Metadata()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
WORDS = st.sampled_from(
    ["tensorflow:loss", "custom:f1", "defaults", "checks", "projects", "workflows", "steps", "target", "aggregate", "round"]
)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["0.7..", "..1", "mean", "/f1", "up"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def gate(target: Any, aggregate: str = "mean", name: str = "tensorflow:accuracy", **options: Any) -> Gate:
    [found] = parse_gates({name: {"target": target, "aggregate": aggregate, **options}})
    return found


def summary(value: Any, name: str = "accuracy", aggregate: str = "mean") -> dict[str, Any]:
    return {name: {"scalar": name, "result": {aggregate: value}}}


def met(value: Any, target: str, **options: Any) -> GateResult:
    [result] = evaluate([gate(target, **options)], summary(value), NO_METADATA)
    return result


def of_metadata(pointer: str, value: Any, target: str = "0.5..") -> GateResult:
    [result] = evaluate([gate(target, pointer, "custom:f1")], {}, Metadata(value, "metadata.json", used=True))
    return result


@pytest.mark.parametrize(
    ("target", "above", "below"),
    [
        ("0.7", "0.7", None),
        ("0.7..", "0.7", None),
        (0.7, "0.7", None),
        (1, "1", None),
        (-1, "-1", None),
        (0, "0", None),
        ("..0.025", None, "0.025"),
        ("0.0..0.5", "0.0", "0.5"),
        ("0.99..1.00", "0.99", "1.00"),
        (" 0.99 .. 1.00 ", "0.99", "1.00"),
        ("-1..-0.5", "-1", "-0.5"),
        ("-1..1", "-1", "1"),
        ("+1..+2", "1", "2"),
        ("..-3", None, "-3"),
        (".5..1", "0.5", "1"),
        ("0...5", "0", "0.5"),
        ("...5", None, "0.5"),
        ("1e-3..1E+2", "0.001", "100"),
        (1e-7, "0.0000001", None),
        ("1e400..", "1e400", None),
        ("0.1..0.10000000000000000000001", "0.1", "0.10000000000000000000001"),
    ],
)
def test_a_range_has_bounds(target: Any, above: str | None, below: str | None) -> None:
    found = gate(target)
    assert (found.above, found.below) == tuple(None if one is None else Decimal(one) for one in (above, below))


@pytest.mark.parametrize(
    "target",
    [
        None, True, [], {}, "", " ", "..", "...", "....", "a", "0.7...", "0,7..", "1..2..3", "0.7.", "1.2.3", "1 2", "--1..",
        "1-2", "1e", "1e5000..", "-1e401..", "nan", "NaN..", "inf..", "..Infinity", math.nan, math.inf, 10**500, "1..1",
        "1.0..1.00", "2..1",
        "٣..", "１..２", "1_0..", "0x1..", "1" * 65, "1" * 500 + "..", "0.5\n..1",
    ],
)  # fmt: skip
def test_what_is_no_range_is_refused_with_its_place(target: Any) -> None:
    with pytest.raises(RejectedEvent, match=r"^gates\.tensorflow:accuracy\.target: expected .*, found "):
        gate(target)


@pytest.mark.parametrize(
    ("value", "target", "outcome"),
    [
        (0.9911, "0.99..1.00", "failed"),
        (0.9999, "0.99..1.00", "failed"),
        (1.0, "0.99..1.00", "failed"),
        (0.71, "0.7..", "passed"),
        (0.7, "0.7..", "failed"),
        (0.709, "0.7..", "failed"),
        (0.71, "0.7", "passed"),
        (0.7, "0.7", "failed"),
        (0.0249, "..0.025", "passed"),
        (0.025, "..0.025", "passed"),
        (0.03, "..0.03", "failed"),
        (0.0299, "..0.03", "passed"),
        (0.25, "0.0..0.5", "passed"),
        (0.009, "0.0..0.5", "failed"),
        (0.01, "0.0..0.5", "passed"),
        (0.4999, "0.0..0.5", "passed"),
        (0.5, "0.0..0.5", "failed"),
        (-0.001, "-0.01..0.5", "failed"),
        (-0.001, "-0.02..0", "passed"),
        (-1.239, "-1.24..-1.23", "failed"),
        (-1.239, "..-1.23", "passed"),
        (0.29, "0.28..0.30", "passed"),
        (0.57, "0.56..0.58", "passed"),
        (1.1 + 2.2, "3.29..3.31", "passed"),
        (-0.0, "-1..0", "failed"),
        (-0.0, "-1..0.01", "passed"),
        (1e300, "1e299..1e301", "passed"),
        (5e-324, "..0.01", "passed"),
        (5e-324, "0..", "failed"),
        (10**400, "1e399..", "passed"),
        (3, "2..4", "passed"),
        (4, "2..4", "failed"),
        (2**53 + 1, "9007199254740992..9007199254740994", "passed"),
    ],
)
def test_ends_are_excluded_and_rounding_comes_first(value: float, target: str, outcome: str) -> None:
    assert met(value, target).outcome.value == outcome


@pytest.mark.parametrize(
    ("value", "precision", "way", "shown"),
    [
        (0.9911, 2, "down", "0.99"),
        (0.9911, 2, "up", "1.00"),
        (0.9911, 3, "down", "0.991"),
        (0.9911, 0, "down", "0"),
        (0.9911, 0, "up", "1"),
        (0.99, 2, "up", "0.99"),
        (0.99, 20, "up", "0.99"),
        (-0.9911, 2, "down", "-1.00"),
        (-0.9911, 2, "up", "-0.99"),
        (-0.001, 2, "up", "0.00"),
        (-0.001, 2, "down", "-0.01"),
        (0.001, 2, "up", "0.01"),
        (12345.678, 0, "down", "12345"),
        (12345, 2, "down", "12345"),
        (0.1 + 0.2, 17, "down", "0.30000000000000004"),
        (1e-300, 20, "up", "1E-20"),
    ],
)
def test_down_is_towards_minus_infinity_and_up_towards_plus_infinity(
    value: float, precision: int, way: str, shown: str
) -> None:
    assert met(value, "..1e9", precision=precision, round=way).rounded == shown


@pytest.mark.parametrize(
    ("value", "meant"),
    [(0.7, "0.7"), (0.1, "0.1"), (0.99, "0.99"), (0.9899999, "0.9899999"), (1e-10, "1E-10"), (3.4e38, "3.4e38"), (0.5, "0.5")],
)
def test_a_float_of_an_event_file_means_the_shortest_decimal_of_its_32_bits(value: float, meant: str) -> None:
    (narrow,) = struct.unpack("<f", struct.pack("<f", value))
    found = exact(narrow)
    assert found == (Decimal(meant) if value < 2**24 else int(narrow))


def test_whole_numbers_are_exact_also_where_32_bits_hold_them() -> None:
    assert exact(1234567936.0) == 1234567936
    assert exact(float(2**60)) == 2**60


@pytest.mark.parametrize("found", [math.nan, math.inf, -math.inf, True, False, "0.9", "NaN", [0.9], {"mean": 0.9}])
@pytest.mark.parametrize("if_not_found", ["failure", "success"])
def test_what_is_no_finite_number_passes_no_gate(found: Any, if_not_found: str) -> None:
    result = met(found, "-1e400..1e400", **{"if-not-found": if_not_found})
    assert (result.outcome, result.is_passed, result.rounded) == (GateOutcome.FAILED, False, None)
    assert result.says.startswith("expected a finite number in -1E+400..1E+400, found ")


@pytest.mark.parametrize(("word", "passes"), [("failure", False), ("success", True), (None, False)])
def test_what_is_not_there_passes_only_where_the_gate_says_so(word: str | None, passes: bool) -> None:
    [result] = evaluate([gate("0.7..", **{"if-not-found": word})], {}, NO_METADATA)
    assert (result.outcome, result.is_passed, result.value) == (GateOutcome.NOT_FOUND, passes, None)
    assert result.says == f"the summary of the run has no accuracy; the gate {'passes' if passes else 'fails'} then"
    assert is_any_failed([result]) is not passes
    assert failed([result]) == ([] if passes else [result.gate.name])


def test_a_metric_without_the_aggregate_is_not_there() -> None:
    for broken in ({"accuracy": None}, {"accuracy": {}}, {"accuracy": {"result": None}}, summary(None)):
        [result] = evaluate([gate("0.7..")], broken, NO_METADATA)
        assert result.outcome is GateOutcome.NOT_FOUND


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_each_aggregate_is_that_of_the_summary(aggregate: str) -> None:
    found = statistics_of((1.0, 2.0, 6.0))
    values = {"max": found.amax, "min": found.amin, "var": found.var, "mean": found.mean, "median": found.median}
    expected = {"max": "6", "min": "1", "var": "4.66", "mean": "3", "median": "2", "stddev": "2.16"}
    whole = {"loss": {"result": values | {"stddev": found.std}}}
    [result] = evaluate([gate("0..", aggregate, "onnx:loss")], whole, NO_METADATA)
    assert (result.outcome, result.rounded) == (GateOutcome.PASSED, expected[aggregate])


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/loss/mean", {"loss": {"mean": 0.6}}),
        ("/loss/1", {"loss": [0.0, 0.6]}),
        ("/a~1b", {"a/b": 0.6}),
        ("/m~0n", {"m~n": 0.6}),
        ("/~01", {"~1": 0.6}),
        ("/", {"": 0.6}),
        ("/a//b", {"a": {"": {"b": 0.6}}}),
        ("/0", [0.6]),
        ("/0", {"0": 0.6}),
        ("/01", {"01": 0.6}),
        ("/metrics/0/numberValue", {"metrics": [{"name": "test-f1", "numberValue": 0.6}]}),
        ("/ / ", {" ": {" ": 0.6}}),
    ],
)
def test_a_custom_gate_follows_its_pointer(pointer: str, value: Any) -> None:
    assert of_metadata(pointer, value).outcome is GateOutcome.PASSED


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("/loss/2", {"loss": [1, 2]}), ("/loss/-", {"loss": [1]}), ("/loss/01", {"loss": [1, 2]}), ("/loss/-1", {"loss": [1]}),
     ("/x", {}), ("/x", []), ("/x", 1), ("/x", "text"), ("/x", None), ("/x", {"x": None}), ("/x/y", {"x": 1}),
     ("/99999999999999999999", [1]), ("/١", [0, 1])],
)  # fmt: skip
def test_a_pointer_to_nothing_finds_nothing(pointer: str, value: Any) -> None:
    result = of_metadata(pointer, value)
    assert result.outcome is GateOutcome.NOT_FOUND
    assert result.says == f"the custom metadata have nothing at {pointer}; the gate fails then"


def test_without_custom_metadata_the_reason_is_told() -> None:
    [result] = evaluate([gate("0..", "/f1", "custom:f1")], {}, NO_METADATA)
    told = "there are no custom metadata to look at (no gradient-model-metadata.json); the gate fails then"
    assert (result.outcome, result.says) == (GateOutcome.NOT_FOUND, told)


@pytest.mark.parametrize(
    ("value", "target", "options", "says"),
    [
        (0.9911, "0.99..1.00", {}, "0.9911 rounded down is 0.99, which is not above 0.99"),
        (0.9911, "..0.99", {"round": "up"}, "0.9911 rounded up is 1.00, which is not below 0.99"),
        (0.25, "0.0..0.5", {}, "0.25 lies in 0.0..0.5"),
        (0.255, "0.0..0.5", {}, "0.255 rounded down is 0.25, which lies in 0.0..0.5"),
        (3, "5..", {}, "3 is not above 5"),
        (math.nan, "5..", {}, "expected a finite number in 5.., found NaN"),
        (-math.inf, "5..", {}, "expected a finite number in 5.., found -Infinity"),
        (10**60, "5..", {}, "1" + "0" * 38 + "… lies in 5.."),
    ],
)
def test_a_result_is_told_in_a_sentence(value: Any, target: str, options: dict[str, Any], says: str) -> None:
    assert met(value, target, **options).says == says


@pytest.mark.parametrize("name", ["tensorflow:loss", "onnx:loss", "tensorflow:eval/loss", "tensorflow:a:b", "onnx: x"])
def test_the_source_and_the_rest_of_a_name_are_told_apart_by_the_first_colon(name: str) -> None:
    [result] = evaluate([gate("0..", name=name)], summary(1.5, name.partition(":")[2]), NO_METADATA)
    assert result.outcome is GateOutcome.PASSED


@pytest.mark.parametrize(
    "name",
    ["loss", "Tensorflow:loss", "pytorch:loss", ":loss", "tensorflow:", "tensorflow: ", "tensorflow:a\nb", "", "x" * 2000],
)
def test_a_name_without_a_known_source_is_refused(name: str) -> None:
    with pytest.raises(RejectedEvent, match=r"^gates: expected names such as tensorflow:loss, onnx:loss or custom:loss, found"):
        gate("0..", name=name)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("aggregate", None, "aggregate: expected one of mean, stddev, max, min, var, median, found nothing"),
        ("aggregate", "Mean", "aggregate: expected one of mean, stddev, max, min, var, median, found 'Mean'"),
        ("aggregate", "/loss", "aggregate: expected one of mean"),
        ("aggregate", ["mean"], "aggregate: expected one of mean, stddev, max, min, var, median, found a list"),
        ("aggregation", "max", ": expected aggregate, found aggregation besides"),
        ("precision", -1, "precision: expected a whole number from 0 to 20, found -1"),
        ("precision", 21, "precision: expected a whole number from 0 to 20, found 21"),
        ("precision", 1.5, "precision: expected a whole number from 0 to 20, found 1.5"),
        ("precision", True, "precision: expected a whole number from 0 to 20, found true"),
        ("precision", "two", "precision: expected a whole number from 0 to 20, found 'two'"),
        ("round", "nearest", "round: expected down or up, found 'nearest'"),
        ("round", False, "round: expected down or up, found false"),
        ("if-not-found", "error", "if-not-found: expected failure or success, found 'error'"),
        (
            "ifNotFound",
            "failure",
            "expected aggregate, aggregation, if-not-found, precision, round, target, found 'ifNotFound'",
        ),
        ("agregate", "max", "expected aggregate, aggregation, if-not-found, precision, round, target, found 'agregate'"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(field: str, value: Any, told: str) -> None:
    with pytest.raises(RejectedEvent) as refused:
        parse_gates({"onnx:loss": {"target": "0..", "aggregate": "mean", field: value}})
    assert str(refused.value).startswith("gates.onnx:loss")
    assert told in str(refused.value)


@pytest.mark.parametrize("pointer", [None, "", "f1", "#/f1", "/a~2", "/a~", 3, "/a\x00", "/" + "a" * 2000])
def test_a_custom_gate_needs_a_pointer(pointer: Any) -> None:
    with pytest.raises(RejectedEvent, match=r"^gates.custom:f1.aggregate: expected a JSON pointer such as /test/f1, found"):
        parse_gates({"custom:f1": {"target": "0..", "aggregate": pointer}})


def test_defaults_are_those_of_gradient_and_may_be_set_for_all_gates() -> None:
    plain = {"target": "0..", "aggregate": "mean"}
    assert gate("0..") == Gate("tensorflow:accuracy", "mean", Decimal(0), None, 2, False, False)
    set_for_all = {"round": "up", "precision": 3, "if-not-found": "success", "only-pulls": True, "comment-on-pr": "false"}
    found = parse_gates({"defaults": set_for_all, "onnx:a": plain, "onnx:b": plain | {"round": "down", "precision": "0"}})
    assert found == (
        Gate("onnx:a", "mean", Decimal(0), None, 3, True, True),
        Gate("onnx:b", "mean", Decimal(0), None, 0, False, True),
    )


@pytest.mark.parametrize("defaults", [None, [], {"target": "0.."}, {"aggregate": "mean"}, {"precision": 99}, {"presicion": 2}])
def test_wrong_defaults_are_refused_with_their_place_also_where_no_gate_uses_them(defaults: Any) -> None:
    with pytest.raises(RejectedEvent, match=r"^gates\.defaults"):
        parse_gates({"defaults": defaults})


ONE = {"tensorflow:loss": {"target": "..0.5", "aggregate": "mean"}}


@pytest.mark.parametrize(
    "value",
    [
        ONE,
        {"checks": ONE},
        {"version": 1, "project": "p", "checks": ONE, "worker": {"command": "x"}},
        {"version": 2, "workflows": {"train": {"checks": ONE}}},
        {"version": 2, "workflows": {"train": {"steps": [{"name": "a"}, {"name": "b", "checks": ONE}]}, "other": None}},
    ],
)
def test_gates_stand_alone_or_where_gradientci_keeps_them(value: Any) -> None:
    assert parse_gates(value) == parse_gates(ONE)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "gates: expected a JSON object, found nothing"),
        ([], "gates: expected a JSON object, found a list"),
        ({"checks": None}, "gates.checks: expected a JSON object, found nothing"),
        ({"checks": {"onnx:a": "0.7.."}}, "gates.checks.onnx:a: expected a JSON object, found '0.7..'"),
        ({"workflows": {}}, "gates: expected checks in one place, found nowhere"),
        ({"workflows": 3}, "gates: expected checks in one place, found nowhere"),
        ({"workflows": {"a": {"steps": 5}}}, "gates: expected checks in one place, found nowhere"),
        (
            {"workflows": {"a": {"steps": [{"checks": ONE}]}, "b": {"checks": ONE}}},
            "gates: expected checks in one place, found gates.workflows.a.steps[0].checks and gates.workflows.b.checks",
        ),
        ({f"onnx:{at}": {} for at in range(MAX_GATES + 1)}, "gates: expected at most 50 gates, found 51"),
    ],
)
def test_what_holds_no_gates_is_refused_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(RejectedEvent) as refused:
        parse_gates(value)
    assert str(refused.value) == told


def test_none_are_no_gates() -> None:
    assert parse_gates({}) == parse_gates({"checks": {}}) == evaluate((), {}, NO_METADATA) == ()
    assert not is_any_failed(())


def test_of_two_gates_with_one_name_the_nearer_one_counts() -> None:
    def target(text: str, name: str = "onnx:a") -> dict[str, Any]:
        return {name: {"target": text, "aggregate": "mean"}}

    standing = parse_standing({"checks": target("1..") | target("1..", "onnx:b"), "projects": {"p": target("2..")}})
    sent = parse_gates(target("3.."))
    assert [(one.name, one.target) for one in standing.of("p")] == [("onnx:a", "2.."), ("onnx:b", "1..")]
    assert [(one.name, one.target) for one in standing.of("p", sent)] == [("onnx:a", "3.."), ("onnx:b", "1..")]
    assert [(one.name, one.target) for one in standing.of("q")] == [("onnx:a", "1.."), ("onnx:b", "1..")]
    assert StandingGates().of("p", sent) == sent
    assert parse_standing(ONE) == StandingGates(parse_gates(ONE))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"projects": []}, "gates.projects: expected a JSON object, found a list"),
        ({"projects": {"p": {"onnx:a": {}}}}, "gates.projects.p.onnx:a.target: expected a range"),
        ({"projects": {}, "chekcs": {}}, "gates: expected checks, projects, found 'chekcs'"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(RejectedEvent) as refused:
        parse_standing(value)
    assert str(refused.value).startswith(told)


def test_results_are_plain_json() -> None:
    results = evaluate(
        parse_gates(ONE | {"custom:f1": {"target": "0..", "aggregate": "/x"}}), summary(0.256, "loss"), NO_METADATA
    )
    written = json.loads(json.dumps(gates_json(results), allow_nan=False))
    assert written[0] == {
        "name": "tensorflow:loss",
        "target": "..0.5",
        "aggregate": "mean",
        "precision": 2,
        "round": "down",
        "if-not-found": "failure",
        "outcome": "passed",
        "passed": True,
        "value": "0.256",
        "rounded": "0.25",
        "says": "0.256 rounded down is 0.25, which lies in ..0.5",
    }
    assert [one["outcome"] for one in written] == ["passed", "not-found"]
    assert results_of(written) == results


@given(VALUES)
def test_any_value_gives_gates_or_a_rejected_event(value: Any) -> None:
    for parse in (parse_gates, parse_standing):
        with suppress(RejectedEvent):
            parse(value)


@given(st.text(max_size=40))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    try:
        found = gate(text)
    except RejectedEvent:
        return
    assert found.above is not None or found.below is not None


BOUNDS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6)


@given(BOUNDS, BOUNDS, st.integers(0, MAX_PRECISION), st.booleans(), st.booleans(), st.sampled_from(AGGREGATES))
def test_gates_that_are_written_and_read_again_are_the_same(
    one: Decimal, other: Decimal, precision: int, is_up: bool, passes: bool, aggregate: str
) -> None:
    low, high = (min(one, other), max(one, other)) if one != other else (one, None)
    gates = (Gate("onnx:a", aggregate, low, high, precision, is_up, passes), Gate("custom:b", "/a~1b", None, low))
    assert parse_gates(json.loads(json.dumps(declared(gates)))) == gates


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(), st.integers(0, MAX_PRECISION))
def test_rounding_down_never_raises_a_number_and_rounding_up_never_lowers_it(value: float, precision: int) -> None:
    number = exact(value)
    assert number is not None
    down, up = rounded(number, precision, False), rounded(number, precision, True)
    assert down <= number <= up
    assert up - down <= Decimal(1).scaleb(-precision)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_means_a_decimal_that_reads_as_it(value: float) -> None:
    number = exact(value)
    assert number is not None
    (narrow,) = struct.unpack("<f", struct.pack("<f", float(number))) if abs(value) < 3e38 else (math.nan,)
    assert value in (float(number), narrow)
