"""Which models are tried, with which files, and what is withheld."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from detectors.facts import Signature, TensorSpec
from detectors.scan import Scan, scan
from detectors.tree import MemoryTree
from tests.builders.saved_model import graph, meta_graph, node, placeholder, saved_model, signature, tensor_info, type_attr
from worker.load_check import MAX_FILES, MAX_MODELS, Plan, Shown, check_models, on_disk, plans, refused
from worker.verification import Claims, Ending, Outcome, Run, Rung, Seen, Withheld, worst

ADD = graph(placeholder("x", sizes=(-1, 2)), node("y", "Identity", "x", T=type_attr(1)))
SAVED = saved_model(
    meta_graph(
        ADD,
        signatures={"serve": signature({"x": tensor_info("x:0", sizes=(-1, 2))}, {"y": tensor_info("y:0", sizes=(-1, 2))})},
    )
)


def the_plan(found: Scan) -> Plan:
    (plan,) = plans(found)
    return plan


def test_a_saved_model_is_loaded_by_tensorflow() -> None:
    plan = the_plan(scan(MemoryTree({"m/saved_model.pb": SAVED, "other.txt": b"x"})))
    assert (plan.root, plan.module) == ("m", "worker.cage.tensorflow_check")
    assert plan.model == {"kind": "saved", "path": "m", "tags": ["serve"]}
    assert plan.files == ("m/saved_model.pb",)
    assert [signature.name for signature in plan.declared] == ["serve"]


def test_a_saved_model_may_be_the_whole_tree() -> None:
    assert the_plan(scan(MemoryTree({"saved_model.pb": SAVED}))).model["path"] == ""


def test_a_frozen_graph_is_run_from_its_placeholders_to_its_ends() -> None:
    plan = the_plan(scan(MemoryTree({"frozen.pb": ADD})))
    assert plan.model == {"kind": "graph", "path": "frozen.pb", "inputs": ["x"], "outputs": ["y"]}


def test_other_formats_are_left_out() -> None:
    pickled = scan(MemoryTree({"model.pkl": b"\x80\x04N."}))
    assert plans(pickled) == ()
    assert check_models(pickled, never_shown, never_run) == ()


@contextmanager
def never_shown(paths: Sequence[str]) -> Iterator[Shown]:
    raise AssertionError(paths)
    yield Shown({})


def never_run(plan: Plan, files: Mapping[str, str]) -> Seen:
    raise AssertionError(plan)


@contextmanager
def shown_all(paths: Sequence[str]) -> Iterator[Shown]:
    yield Shown({path: f"/here/{path}" for path in paths})


def claims(*outputs: TensorSpec) -> Claims:
    return Claims("", "tensorflow", True, 0.1, "", (Run("serve", True, 0.1, "zeros", "", outputs),))


def test_what_came_out_is_compared_with_what_the_files_declare() -> None:
    def run(plan: Plan, files: Mapping[str, str]) -> Seen:
        assert files == {"saved_model.pb": "/here/saved_model.pb"}
        return Seen(Rung.LANDLOCK, Ending.ANSWERED, "", 1.0, 1, True, (), claims(TensorSpec("y", "float32", (1, 3))))

    (check,) = check_models(scan(MemoryTree({"saved_model.pb": SAVED})), shown_all, run)
    assert check.outcome is Outcome.FAILED
    assert check.why == "output y of signature serve: declared with shape [?, 2], [1, 3] came out"


def test_where_no_cage_can_be_had_nothing_is_loaded() -> None:
    (check,) = refused(scan(MemoryTree({"saved_model.pb": SAVED})), "not verified (no sandbox): …")
    assert (check.outcome, check.why, check.seen) == (Outcome.NOT_VERIFIED, "not verified (no sandbox): …", None)


def test_too_many_files_are_not_shown() -> None:
    assets = {f"assets/a{place}": b"" for place in range(MAX_FILES)}
    (check,) = check_models(scan(MemoryTree({"saved_model.pb": SAVED, **assets})), never_shown, never_run)
    assert check.outcome is Outcome.NOT_VERIFIED
    assert "(limit 2000)" in check.why


@pytest.mark.parametrize(("beyond", "said"), [(1, "left out (limit"), (5, "left out, as are 4 more (limit")])
def test_models_beyond_the_limit_are_not_called_verified(beyond: int, said: str) -> None:
    def run(plan: Plan, files: Mapping[str, str]) -> Seen:
        return Seen(Rung.LANDLOCK, Ending.ANSWERED, "", 1.0, 1, True, (), claims(TensorSpec("y", "float32", (1, 2))))

    found = scan(MemoryTree({f"m{place:02}/saved_model.pb": SAVED for place in range(MAX_MODELS + beyond)}))
    *checks, last = check_models(found, shown_all, run)
    assert {check.outcome for check in checks} == {Outcome.VERIFIED}
    assert (len(checks), worst((*checks, last))) == (20, Outcome.NOT_VERIFIED)
    assert (last.outcome, last.why) == (Outcome.NOT_VERIFIED, f"not verified: it is {said} 20 models)")
    assert {check.root for check in checks}.isdisjoint({last.root})
    assert refused(found, "no sandbox")[MAX_MODELS:] == (last,)


def test_as_many_models_as_the_limit_are_all_tried() -> None:
    found = scan(MemoryTree({f"m{place:02}/saved_model.pb": SAVED for place in range(MAX_MODELS)}))
    assert [check.why for check in refused(found, "no sandbox")] == ["no sandbox"] * 20


def test_a_hard_link_to_the_outside_is_withheld(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    model = tmp_path / "model"
    model.mkdir()
    (model / "a").write_text("a")
    os.link(model / "a", model / "b")
    os.link(tmp_path / "secret", model / "weights.bin")
    shown = on_disk(str(model), ["a", "b", "weights.bin"])
    assert sorted(shown.files) == ["a", "b"]
    assert shown.withheld == (Withheld("weights.bin", "it is a hard link, and its other names lie outside the model"),)


def test_what_is_no_regular_file_is_withheld(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert on_disk(str(tmp_path), ["link"]) == Shown({}, (Withheld("link", "it is no regular file"),))


def test_a_model_that_fails_for_want_of_what_was_withheld_is_not_called_broken() -> None:
    @contextmanager
    def show(paths: Sequence[str]) -> Iterator[Shown]:
        yield Shown({path: path for path in paths}, (Withheld("w", "why"),))

    def run(plan: Plan, files: Mapping[str, str]) -> Seen:
        return Seen(Rung.LANDLOCK, Ending.CRASHED, "SIGABRT", 1.0, 1, True, ())

    (check,) = check_models(scan(MemoryTree({"saved_model.pb": SAVED})), show, run)
    assert check.outcome is Outcome.NOT_VERIFIED
    assert check.why.endswith("1 of its files were withheld")


def test_signatures_are_records() -> None:
    assert the_plan(scan(MemoryTree({"frozen.pb": ADD}))).declared == (
        Signature("graph", "", (TensorSpec("x", "float32", (None, 2)),), (TensorSpec("y", "float32", None),)),
    )
