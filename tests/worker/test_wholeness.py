"""How whole the models of a report are: one word for each, by one rule for every door."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from worker.wholeness import Wholeness, wholeness


def model(root: str, state: str = "complete", **more: Any) -> dict[str, Any]:
    facts = {"details": {"external_data": [{"location": "data/w.bin"}]}}
    said = {"evidence": [{"path": root if root.endswith(".onnx") else f"{root}/saved_model.pb"}], "facts": facts}
    return {"root": root, "format": "onnx", "completeness": {"state": state, "problems": []}} | said | more


def of(unread: list[str], *models: dict[str, Any]) -> list[str]:
    report = {"models": models, "coverage": {"inconclusive": [{"path": path, "reason": "limit"} for path in unread]}}
    return [word.value for word in wholeness(report)]


FAR = "complete as far as it was read"


@pytest.mark.parametrize(
    ("unread", "words"),
    [
        ([], ["complete", "complete", "complete"]),
        (["a/saved_model.pb"], [FAR, "complete", "complete"]),
        (["b/model.onnx"], ["complete", FAR, "complete"]),
        (["b/weights.bin"], ["complete", FAR, "complete"]),
        (["b/data/w.bin"], ["complete", FAR, "complete"]),
        (["b/eval/events.out.tfevents.1"], ["complete", "complete", "complete"]),
        (["data/w.bin"], ["complete", "complete", "complete"]),
        (["a/inner/model.onnx"], ["complete", "complete", FAR]),
        (["eval/events.out.tfevents.1"], ["complete", "complete", "complete"]),
        (["a", "b/model.onnx"], [FAR, FAR, "complete"]),
        (["ab"], ["complete", "complete", "complete"]),
        (["b"], ["complete", FAR, "complete"]),
        ([""], [FAR, FAR, FAR]),
        (["."], [FAR, FAR, FAR]),
    ],
)
def test_a_path_that_was_not_read_concerns_the_model_that_it_belongs_to(unread: list[str], words: list[str]) -> None:
    assert of(unread, model("a"), model("b/model.onnx"), model("a/inner/model.onnx")) == words


def test_a_model_of_which_something_was_not_read_is_never_called_complete_without_that() -> None:
    roots = ("", "a", "a/b", "model.onnx", "a/model.onnx")
    for root, name in itertools.product(roots, ("saved_model.pb", "x/y")):
        for path in {root, f"{root}/{name}".lstrip("/")}:
            assert of([path], model(root), model("other/model.onnx"))[0] == FAR


@pytest.mark.parametrize("state", ["incomplete", "corrupt"])
def test_a_model_that_is_not_whole_is_called_so_whatever_was_read(state: str) -> None:
    named = {"format": "keras", "facts": {"details": {"completeness_checked": False}}}
    for more in ({}, named):
        assert of(["m"], model("m", state, **more)) == of([], model("m", state, **more)) == [state]


@pytest.mark.parametrize("more", [{"format": "custom"}, {"facts": {"details": {"completeness_checked": False}}}])
def test_what_is_known_by_its_name_only_is_not_checked(more: dict[str, Any]) -> None:
    assert of([], model("m", **more)) == of(["m"], model("m", **more)) == ["not checked"]


def test_what_a_report_of_an_older_release_does_not_say_speaks_against_nothing() -> None:
    assert wholeness({}) == wholeness({"models": None, "coverage": None}) == []
    assert wholeness({"models": [{}]}) == [Wholeness.COMPLETE]
