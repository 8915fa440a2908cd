"""What a run reported, as its page shows it."""

from __future__ import annotations

from typing import Any

import pytest

from worker.api.web.pictures import Curve
from worker.api.web.reported import Reported, curves, direction, headlines, reported


def value(session: str, name: str, number: Any, step: int | None = 3) -> dict[str, Any]:
    return {"session": session, "name": name, "value": number, "step": step, "source": f"{session}/f"}


def scalar(name: str, means: dict[int, Any], least: Any, greatest: Any) -> dict[str, Any]:
    ends = {"mean": list(means.items()), "amin": [(3, least)], "amax": [(3, greatest)]}
    told = [
        {"operation": operation, "checkpoints": [{"checkpoint": step, "value": one} for step, one in points]}
        for operation, points in ends.items()
    ]
    return {"scalar": name, "data": told}


METRICS = {
    "detail": [
        {"session": "val", "scalars": [scalar("loss", {1: 0.5, 2: 0.25, 3: 0.75}, 0.5, 1.0)]},
        {
            "session": "eval",
            "scalars": [scalar("accuracy", {2: 0.5, 3: "NaN"}, "NaN", "NaN"), scalar("speed", {3: 1.0}, 1.0, 1.0)],
        },
    ],
    "values": [
        value("train", "loss", 0.125),
        value("eval", "speed", 1.0),
        value("eval", "accuracy", "NaN"),
        value("val", "loss", 1.0),
        value("", "epochs", 7, None),
    ],
}


def test_every_number_is_told_those_that_speak_for_the_run_first() -> None:
    assert reported(METRICS) == [
        Reported("eval", "accuracy", "NaN", 3, "eval/f", best=0.5, best_step=2),
        Reported("eval", "speed", 1.0, 3, "eval/f"),
        Reported("val", "loss", 1.0, 3, "val/f", 0.75, 0.5, 1.0, 0.25, 2),
        Reported("train", "loss", 0.125, 3, "train/f"),
        Reported("", "epochs", 7, None, "/f"),
    ]


def test_the_numbers_at_the_top_are_of_one_session() -> None:
    assert [row.name for row in headlines(reported(METRICS))] == ["accuracy", "speed"]
    assert headlines([]) == []


def test_curves_are_of_the_means() -> None:
    found = curves(METRICS)
    assert list(found) == ["accuracy", "loss", "speed"]
    assert found["loss"] == [Curve("val", ((1, 0.5), (2, 0.25), (3, 0.75)))]
    assert curves({}) == {}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *(("loss", -1), ("val_loss", -1), ("Mean/MSE", -1), ("accuracy", 1), ("top_1_accuracy", 1), ("f1_score", 1)),
        *(("learning_rate", 0), ("global_step", 0), ("loss_of_accuracy", 0), ("", 0)),
    ],
)
def test_a_name_says_which_way_is_better_or_nothing_does(name: str, way: int) -> None:
    assert direction(name) == way
