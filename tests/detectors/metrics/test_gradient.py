"""Summary and detail in the shape that Gradient's clients know."""

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.metrics.gradient import MAX_DETAIL_CHECKPOINTS, checkpoints_shown, detail_of, statistics_of, summary_of
from detectors.metrics.series import Checkpoint, Point, Series
from detectors.metrics.sessions import session_names


def series(name: str, folder: str, *checkpoints: tuple[int, tuple[float, ...]]) -> Series:
    kept = tuple(Checkpoint(step, values) for step, values in checkpoints)
    last = Point(kept[-1].step, kept[-1].values[-1]) if kept else Point(None, 0.5)
    return Series(name, folder, f"{folder}/f", last, kept, False, 1, last, last)


def detail(*found: Series):
    return detail_of(found, session_names(item.folder for item in found))


EVAL_LOSS = series("loss", "m/eval", (600, (0.5,)), (1175, (1.0, 2.0, 6.0, 3.0)))


def test_summary_is_the_last_checkpoint_and_not_the_whole_run():
    assert summary_of([EVAL_LOSS]) == {
        "loss": {
            "scalar": "loss",
            "result": {"max": 6.0, "min": 1.0, "var": 3.5, "mean": 3.0, "median": 2.5, "stddev": math.sqrt(3.5)},
        }
    }


def test_one_value_at_a_step_has_no_spread():
    assert summary_of([series("accuracy", "", (1, (0.99,)))])["accuracy"]["result"] == {
        "max": 0.99,
        "min": 0.99,
        "var": 0,
        "mean": 0.99,
        "median": 0.99,
        "stddev": 0,
    }


def test_detail_holds_the_six_operations_for_each_checkpoint():
    assert detail(EVAL_LOSS) == (
        {
            "session": "eval",
            "scalars": [
                {
                    "scalar": "loss",
                    "data": [
                        {
                            "operation": operation,
                            "checkpoints": [{"checkpoint": 600, "value": a}, {"checkpoint": 1175, "value": b}],
                        }
                        for operation, a, b in [
                            ("mean", 0.5, 3.0),
                            ("amin", 0.5, 1.0),
                            ("amax", 0.5, 6.0),
                            ("median", 0.5, 2.5),
                            ("std", 0.0, math.sqrt(3.5)),
                            ("var", 0.0, 3.5),
                        ]
                    ],
                }
            ],
        },
    )


def test_only_evaluations_are_shown_where_there_is_one():
    found = detail(series("a", "train", (1, (1.0,))), series("a", "test", (1, (2.0,))), series("a", "eval", (1, (3.0,))))
    assert [item["session"] for item in found] == ["eval", "test"]


def test_training_is_shown_where_there_is_no_evaluation():
    found = detail(series("a", "train", (1, (1.0,))), series("b", "", (1, (2.0,))), series("c", "train", (1, (1.0,))))
    assert [(item["session"], [scalar["scalar"] for scalar in item["scalars"]]) for item in found] == [
        ("", ["b"]),
        ("train", ["a", "c"]),
    ]


def test_summary_is_of_one_session_alone():
    found = summary_of([series("a", "train", (1, (1.0,))), EVAL_LOSS, series("b", "val", (1, (2.0,)))])
    assert list(found) == ["loss"]


@pytest.mark.parametrize("name", ["global_step", "checkpoint_path"])
def test_what_an_estimator_writes_beside_its_metrics_is_not_shown(name):
    hidden = series(name, "eval", (1, (1.0,)))
    assert (summary_of([hidden]), detail(hidden)) == ({}, ())


def test_a_session_with_nothing_to_show_does_not_speak():
    assert list(summary_of([series("global_step", "eval", (1, (1.0,))), series("a", "train", (1, (1.0,)))])) == ["a"]


def test_without_steps_the_summary_alone_has_a_scalar():
    assert summary_of([series("f1", "")])["f1"]["result"]["mean"] == 0.5
    assert detail(series("f1", "")) == ()


def test_of_two_sources_in_one_session_the_first_counts():
    two = [series("a", "", (1, (1.0,))), series("a", "", (2, (2.0,)))]
    assert summary_of(two)["a"]["result"]["mean"] == 1.0
    assert detail(*two)[0]["scalars"][0]["data"][0]["checkpoints"] == [{"checkpoint": 1, "value": 1.0}]


def test_without_metrics_both_are_empty():
    assert (summary_of([]), detail()) == ({}, ())


def test_the_summary_equals_the_last_checkpoint_of_the_detail():
    data = {item["operation"]: item["checkpoints"][-1]["value"] for item in detail(EVAL_LOSS)[0]["scalars"][0]["data"]}
    result = summary_of([EVAL_LOSS])["loss"]["result"]
    names = {"max": "amax", "min": "amin", "mean": "mean", "median": "median", "stddev": "std", "var": "var"}
    assert result == {ours: data[theirs] for ours, theirs in names.items()}


@pytest.mark.parametrize(("scalars", "each"), [(0, 1_000), (1, 1_000), (20, 1_000), (40, 500), (100_000, 1)])
def test_the_detail_is_bounded_over_all_scalars(scalars, each):
    assert checkpoints_shown(scalars) == each
    assert scalars * each <= max(MAX_DETAIL_CHECKPOINTS, scalars)


def test_the_last_checkpoints_are_shown(monkeypatch):
    monkeypatch.setattr("detectors.metrics.gradient.MAX_DETAIL_CHECKPOINTS", 2)
    found = detail(series("a", "", *[(step, (0.5,)) for step in range(5)]))
    assert [item["checkpoint"] for item in found[0]["scalars"][0]["data"][0]["checkpoints"]] == [3, 4]


def test_nan_among_the_values_makes_all_statistics_nan():
    assert all(math.isnan(value) for value in statistics_of([1.0, math.nan]))


def test_infinities_have_a_range_and_no_variance():
    found = statistics_of([math.inf, -math.inf])
    assert (found.amin, found.amax) == (-math.inf, math.inf)
    assert math.isnan(found.mean)
    assert math.isnan(found.var)


def test_the_largest_doubles_do_not_raise():
    assert statistics_of([1.7e308, 1.7e308, -1.7e308]).var == math.inf


def test_equal_values_have_exactly_no_variance():
    assert statistics_of([0.1] * 3) == (0.1, 0.1, 0.1, 0.1, 0.0, 0.0)


@pytest.mark.oracle
@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_the_statistics_are_those_of_numpy(values):
    wanted = [getattr(numpy, name)(values) for name in ("mean", "amin", "amax", "median", "std", "var")]
    assert statistics_of(values) == pytest.approx(wanted, rel=1e-9, abs=1e-6)
