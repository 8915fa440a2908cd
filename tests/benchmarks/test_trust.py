"""The table of trust in short: the first samples of every set, by ours alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.trust import beside
from benchmarks.trust.__main__ import OURS, THEIRS, Row, apart, ours, page, table
from benchmarks.trust.sets import SETS, Sample, SampleSet, first
from tests.attacks import tensorflow

BY_LIBRARIES = ("Models that onnx tests runtimes with", "Models that TensorFlow and Keras write")
"""Sets that are made anew by libraries which take their time."""


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(of, id=of.what, marks=[pytest.mark.slow, pytest.mark.oracle] if of.what in BY_LIBRARIES else [])
        for of in SETS
    ],
)
def test_ours_is_right_about_the_first_of_every_set(of: SampleSet, tmp_path: Path) -> None:
    if not of.is_there:
        pytest.skip(f"{of.needs} is not set")
    samples = first(of.write(tmp_path), 25)
    assert samples
    answers = [ours(sample) for sample in samples]
    row = Row(of, samples, {OURS: [word for word, _ in answers]}, [is_placed for _, is_placed in answers])
    assert row.mistakes() == []


def test_a_mistake_would_be_told_and_who_is_not_installed_is_named() -> None:
    attack, honest = (SampleSet(what, what == "good", lambda folder: iter(())) for what in ("bad", "good"))
    samples = [Sample(name, Path(name)) for name in "abc"]
    scan, audit = THEIRS
    rows = [
        Row(attack, samples, {OURS: ["none", "high", "unsure"], scan: None, audit: ["none"] * 3}),
        Row(honest, samples, {OURS: ["none", "medium", "high"], scan: None, audit: ["critical"] * 3}),
    ]
    assert [row.mistakes() for row in rows] == [["a"], ["c"]]
    assert table(rows)[2:] == [
        "| bad | 3 | 2 | not installed | 0 | 3 | – |",
        "| good | 3 | 1 | not installed | 3 | 0 | – |",
    ]
    assert page(rows, []).count("not installed") == 2


def test_what_is_told_elsewhere_than_its_maker_says_is_a_mistake() -> None:
    samples = [Sample(name, Path(name), ("rule", "place")) for name in "ab"]
    row = Row(SampleSet("bad", False, lambda folder: iter(())), samples, {OURS: ["high", "low"]}, [False, True])
    assert (row.mistakes(), row.placed()) == (["a, told elsewhere"], "1 of 2")


def test_what_is_told_is_compared_with_rule_and_place(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(tensorflow.in_main_graph(tensorflow.risk_of("XlaCallModule")))
    told = tensorflow.told_of_risky("XlaCallModule in main graph")
    assert ours(Sample("m", tmp_path, told)) == ("low", True)
    assert ours(Sample("m", tmp_path, (told[0], "elsewhere"))) == ("low", False)
    assert ours(Sample("m", tmp_path)) == ("low", None)


def test_a_promise_that_no_test_here_shows_names_the_command_that_does() -> None:
    shown = beside.look(beside.Promise("it holds", "make cage"))
    assert beside.table([shown])[2:] == ["| it holds | shown by `make cage` |"]


@pytest.mark.parametrize(
    ("body", "word", "is_broken"),
    [
        ("assert True", "kept", False),
        ("assert False", "BROKEN", True),
        ("import pytest; pytest.skip()", "could not be tried here: shown by `make x`", False),
    ],
)
def test_a_promise_is_kept_broken_or_could_not_be_tried(body: str, word: str, is_broken: bool, tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(f"def test_it():\n    {body}\n")
    shown = beside.look(beside.Promise("it holds", "make x", str(test)))
    assert (shown.word, shown.is_broken) == (word, is_broken)


def test_attacks_in_which_no_model_was_recognised_are_counted_apart() -> None:
    others = dict.fromkeys(THEIRS)
    sets = [SampleSet(what, False, lambda folder: iter(())) for what in ("odd zips", "graphs")]
    samples = [Sample(name, Path(name)) for name in "abc"]
    rows = [Row(sets[0], samples, {OURS: ["nothing", "high", "nothing"], **others}), Row(sets[1], samples, {OURS: ["low"] * 3})]
    assert apart(rows) == ["", "In 2 of these 3, modelport recognised no model: odd zips."]
    assert apart(rows)[1] in page(rows[:1], []).splitlines()
    assert apart(rows[1:]) == []
