"""The page that compares versions, of runs that were really scanned."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import onnx
from tests.worker.api.conftest import Door
from tests.worker.api.web.run import DIGITS, digits, ingest, onnx_run, small
from tests.worker.api.web.shelf import put as shelve
from tests.worker.api.web.test_version_pages import HOSTILE, LITTLE, words
from tests.worker.api.web.visitor import Visitor
from worker.api.web.comparison import Row, best, metric_rows
from worker.records import ModelVersion

X, Y = onnx.value("x", dims=("batch", 784)), onnx.value("y", dims=("batch", 10))
INT64 = 7


def put(room: Door, folder: Path, inputs: Sequence[bytes], outputs: Sequence[bytes], **metrics: list[float]) -> ModelVersion:
    return ingest(room, onnx_run(folder, small(inputs, outputs), metrics), "net")


def compared(reader: Visitor, *versions: ModelVersion) -> str:
    answer = reader.get("/compare?" + "&".join(f"id={one.id}" for one in versions))
    assert answer.status_code == 200
    return words(answer)


def test_a_better_model_that_breaks_its_callers_is_told_in_one_sentence(room: Door, reader: Visitor, tmp_path: Path) -> None:
    old = put(room, tmp_path / "old", [X], [Y], accuracy=[0.5, 0.9895], loss=[0.1, 0.0341])
    image = onnx.value("x", dims=("batch", 28, 28))
    new = put(room, tmp_path / "new", [image], [Y, onnx.value("p")], accuracy=[0.5, 0.9911], loss=[0.1, 0.0283])
    said = compared(reader, old, new)
    assert "net : v2 against v1 Better on both eval metrics, " in said
    assert "and not a drop-in replacement : 1 breaking change of its signatures." in said
    assert "Breaking g : input x wants rank 3 where v1 took rank 2. A caller of v1 may get an error from v2." in said
    assert "x: float32[batch, 784] x: float32[batch, 28, 28]" in said
    assert "Compatible g : output p was added. Callers that do not read it see no difference. p: float32[2, 3]" in said
    assert "accuracy eval, step 200 0.9895 0.9911 +0.0016 better" in said
    assert "loss eval, step 200 0.0341 0.0283 −0.0058 better" in said


@pytest.mark.parametrize(
    ("inputs", "outputs", "told"),
    [
        ([X], [Y], "Same g 1 input, 1 output"),
        ([X, onnx.value("mask")], [Y], "Breaking g : input mask is wanted that v1 did not take. A caller of v1 gets an error"),
        ([onnx.value("z", dims=("batch", 784))], [Y], "input x is not taken any more. A caller that sends it gets an error"),
        ([X], [onnx.value("q", dims=("batch", 10))], "output y is not given any more. A caller that reads it gets an error"),
        ([onnx.value("x", INT64, ("batch", 784))], [Y], "input x wants int64 where v1 took float32. A caller of v1 may get"),
        (
            [onnx.value("x", dims=(None, None))],
            [Y],
            "Compatible g : input x wants any size, any size where v1 took any size, size 784",
        ),
        (
            [X],
            [onnx.value("y", dims=("batch", 12))],
            "output y gives size 12 where v1 gave size 10. A caller that reads it may not",
        ),
        ([onnx.value("x", dims=None)], [Y], "input x wants any rank where v1 took rank 2. It takes all that v1 took."),
    ],
)
def test_a_change_of_a_signature_is_told_with_what_follows(
    room: Door, reader: Visitor, tmp_path: Path, inputs: list[bytes], outputs: list[bytes], told: str
) -> None:
    said = compared(reader, put(room, tmp_path / "a", [X], [Y], loss=[1.0]), put(room, tmp_path / "b", inputs, outputs))
    assert told in said


def test_files_operators_and_sizes_stand_side_by_side(room: Door, reader: Visitor, tmp_path: Path) -> None:
    run = digits(tmp_path / "old")
    old = ingest(room, run, "digits")
    (run / "digits.onnx").unlink()
    (run / "digits" / "checkpoint").write_bytes((DIGITS / "digits" / "checkpoint").read_bytes() + b"\n")
    (run / "notes.txt").write_text("new")
    said = compared(reader, old, ingest(room, run, "digits"))
    assert "The same on 2 eval metrics, 10.1 kB smaller, and a drop-in replacement." in said
    assert "digits.onnx 10.1 kB absent removed" in said
    assert "digits/checkpoint 132 B 133 B changed, +1 B" in said
    assert "notes.txt absent 3 B added" in said
    assert "15 files are the same." in said
    assert "25 types have the same count." in said
    assert "Parameters 2,411 2,411 same" in said
    other = compared(reader, old, ingest(room, onnx_run(tmp_path / "net", small()), "net"))
    assert "net v1 against digits v1" in other
    assert "Const 24 0 −24 gone" in other
    assert "Relu 1 1" not in other


def test_curves_of_both_are_drawn_into_one_picture(room: Door, reader: Visitor, tmp_path: Path) -> None:
    old = put(room, tmp_path / "old", [X], [Y], accuracy=[0.5, 0.9])
    new = put(room, tmp_path / "new", [X], [Y, Y], accuracy=[0.5, math.nan])
    page = html.unescape(reader.get(f"/compare?a={old.id}&b={new.id}").text).replace("\u00a0", " ")
    assert "eval accuracy by step, v2 against v1" in page
    assert "v2 is 0.5000 at step 100, 1 value not drawn because it is no finite number; v1 ends at 0.9000 at step 200." in page
    assert "not comparable" in page


def test_several_versions_stand_side_by_side(room: Door, reader: Visitor, tmp_path: Path) -> None:
    versions = [put(room, tmp_path / str(at), [X], [Y], loss=[loss]) for at, loss in enumerate((0.5, 0.25, 0.75))]
    versions.append(put(room, tmp_path / "other", [Y], [Y]))
    said = compared(reader, *versions)
    assert "4 versions side by side Each is compared with v1 ." in said
    assert "v2 in place of v1 Same v3 in place of v1 Same v4 in place of v1 Breaking" in said
    assert "loss eval, step 100 0.5000 0.2500 best 0.7500 not reported" in said


def test_what_is_no_version_is_told_and_the_form_is_shown(room: Door, reader: Visitor, tmp_path: Path) -> None:
    version = ingest(room, digits(tmp_path / "run"), "digits")
    said = words(reader.get("/compare?a=nothing&b=digits"))
    assert "Compare two versions" in said
    assert "nothing: no such model" in said
    assert compared(reader, version, version).count("Compare two versions") == 1
    assert reader.get("/compare?" + "id=a&" * 101).status_code == 422


def selected(page: str) -> list[str]:
    return re.findall(r'<option value="([^"]*)" selected', page)


def test_the_form_begins_with_two_versions(room: Door, reader: Visitor, tmp_path: Path) -> None:
    old, new = (put(room, tmp_path / name, [X], [Y], loss=[0.5]) for name in "ab")
    other = ingest(room, digits(tmp_path / "run"), "digits")
    assert selected(reader.get("/compare").text) == [new.id, other.id]
    assert selected(reader.get(f"/compare?id={new.id}").text) == [old.id, new.id]
    same = reader.get(f"/compare?a={old.id}&b={old.id}")
    assert "both are the same version, and nothing differs from itself; choose another one" in words(same)
    assert selected(same.text) == [new.id, old.id]


def test_more_versions_than_fit_a_screen_are_told(room: Door, reader: Visitor, tmp_path: Path) -> None:
    versions = [ingest(room, onnx_run(tmp_path / str(at), small(op=str(at))), "net") for at in range(7)]
    said = compared(reader, *reversed(versions))
    assert "6 versions side by side Each is compared with v1 ." in said
    assert "6 versions are compared at most; these are the first of 7" in said


def test_what_another_team_has_is_not_compared(room: Door, reader: Visitor, tmp_path: Path) -> None:
    room.registry.create_team("red", room.clock.now())
    theirs = ingest(room, digits(tmp_path / "run"), "theirs", team="red")
    said = words(reader.get(f"/compare?a={theirs.id}&b=theirs"))
    assert said.count("no such model") == 2
    assert "There are no models yet." in said


def test_versions_are_swapped_by_a_link(room: Door, reader: Visitor, tmp_path: Path) -> None:
    old, new = (put(room, tmp_path / name, [X], [Y], loss=[0.5]) for name in "ab")
    page = reader.get(f"/compare?a={old.id}&b={new.id}").text
    swap = re.findall(r'href="([^"]*)">Swap', page)
    assert html.unescape(swap[0]) == f"/compare?a={new.id}&b={old.id}"


def rows(name: str, old: Any, new: Any) -> Row:
    class Side:
        def __init__(self, value: Any) -> None:
            told = {"session": "eval", "name": name, "value": value, "step": 1, "source": "f"}
            self.report = {"metrics": {"values": [told]}}

    return metric_rows([Side(old), Side(new)])[0]  # type: ignore[list-item]


numbers = st.floats() | st.integers() | st.sampled_from(["NaN", "Infinity", "2**64 or more"])


@given(st.sampled_from(["loss", "accuracy", "top_1_accuracy", "val_loss", "speed"]), numbers, numbers)
def test_what_is_better_one_way_is_worse_the_other_way(name: str, old: Any, new: Any) -> None:
    there, back = rows(name, old, new), rows(name, new, old)
    assert there.good == -back.good
    assert (name == "speed") <= (there.good == 0)


def test_the_best_of_several_is_alone() -> None:
    assert best(Row("accuracy", "eval", (0.5, "NaN", 0.75, None))) == 2
    assert best(Row("loss", "eval", (0.5, 0.25, 0.25))) is None
    assert best(Row("speed", "eval", (1, 2))) is None


def test_what_comes_from_outside_is_text_everywhere(room: Door, reader: Visitor, tmp_path: Path) -> None:
    model = small([onnx.value(HOSTILE)], [onnx.value(HOSTILE)], op=HOSTILE)
    folder = onnx_run(tmp_path / "a", model, {HOSTILE: [0.5, 0.6]}, HOSTILE.replace("/", "-") + ".onnx")
    names = [ingest(room, folder, HOSTILE, project=HOSTILE).id, ingest(room, onnx_run(tmp_path / "b", small()), "net").id]
    for pair in (names, names[::-1]):
        page = reader.get(f"/compare?a={pair[0]}&b={pair[1]}&id={HOSTILE}0").text
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert page.count("&lt;script&gt;alert") > 5


@pytest.mark.parametrize("said", LITTLE)
def test_reports_that_say_little_are_compared_as_far_as_they_go(room: Door, reader: Visitor, said: dict[str, object]) -> None:
    little, whole = shelve(room, "net", report=json.dumps(said)), shelve(room, "net")
    for pair in ((little, whole), (whole, little)):
        assert "Neither has signatures" in compared(reader, *pair)
