"""Metrics in the files of training tools: which files, which numbers, which steps."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detection import Contents
from detectors.errors import Unreadable
from detectors.facts import Note
from detectors.metrics import files
from detectors.metrics.files import flat_numbers, number_in, read_files, step_in
from detectors.metrics.series import Checkpoint, Point
from detectors.tree import FileEntry, MemoryTree


def read(found: dict[str, bytes]):
    tree = MemoryTree(found)
    return read_files(Contents(tree, tree.files()))


def lasts(path: str, data: bytes) -> dict[str, tuple[int | None, float]]:
    """Return step and value of the last point of each name, for a file without notes."""
    series, notes = read({path: data})
    assert notes == ()
    return {item.name: (item.last.step, item.last.value) for item in series}


@pytest.mark.parametrize(
    "name",
    [
        "metrics.json",
        "summary.json",
        "scores.json",
        "all_results.json",
        "train_results.json",
        "eval_results.json",
        "test_results.json",
    ],
)
def test_flat_files_are_known_by_name_in_any_folder(name):
    series, notes = read({f"out/{name}": b'{"f1": 0.5}'})
    assert notes == ()
    assert [(item.name, item.folder, item.source, item.last) for item in series] == [
        ("f1", "out", f"out/{name}", Point(None, 0.5))
    ]


@pytest.mark.parametrize("name", ["my_metrics.json", "metrics.json.bak", "Metrics.json", "config.json", "metrics.yaml"])
def test_other_names_are_not_opened(name):
    assert read({name: b'{"f1": 0.5}'}) == ((), ())


def test_nested_numbers_have_dotted_names_and_the_rest_none():
    data = {"train": {"loss": 1, "by class": {"a.b": 0.25}}, "ok": True, "name": "x", "list": [1, 2], "none": None}
    assert lasts("metrics.json", json.dumps(data).encode()) == {"train.loss": (None, 1.0), "train.by class.a.b": (None, 0.25)}


def test_a_step_at_the_top_is_the_step_of_the_others():
    assert lasts("dvclive/metrics.json", b'{"train": {"acc": 0.5}, "step": 7}') == {"train.acc": (7, 0.5)}


def test_a_step_that_is_none_is_a_number_like_others():
    assert lasts("metrics.json", b'{"step": 0.5, "a": 1}') == {"step": (None, 0.5), "a": (None, 1.0)}


def test_numbers_that_are_not_finite_are_kept_and_noted():
    series, notes = read({"metrics.json": b'{"a": NaN, "b": Infinity, "c": 1e999}'})
    assert math.isnan(series[0].last.value)
    assert (series[1].name, series[1].last.value) == ("b", math.inf)
    assert [note.reason for note in notes] == [
        "a bare NaN, which is not JSON",
        "a bare Infinity, which is not JSON",
        "a number beyond the range of a double, kept as text",
    ]


def test_a_file_that_is_not_json_is_a_note():
    assert read({"metrics.json": b"{"}) == (
        (),
        (
            Note(
                "metrics.json",
                "no metrics taken: metrics.json at byte 1: not JSON: "
                "Expecting property name enclosed in double quotes, found the end",
            ),
        ),
    )


def test_deeper_nesting_than_the_limit_is_passed_over():
    deep = {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"b": 1, "a": {"b": 2}}}}}}}}}
    assert list(flat_numbers(deep)) == [("a.a.a.a.a.a.a.b", 1.0)]


def test_names_beyond_the_limit_are_passed_over():
    assert [len(name) for name, _ in flat_numbers({"a" * 1024: 1, "b" * 1025: 2, "c" * 1023: {"d": 3}})] == [1024]


def test_more_names_than_the_limit_are_counted():
    series, notes = read({"metrics.json": json.dumps({f"n{n}": n for n in range(1_003)}).encode()})
    assert len(series) == 1_000
    assert [note.reason for note in notes] == ["3 numbers are left out (limits MAX_NAMES, MAX_SERIES)"]


def test_trainer_state_has_a_history_by_step():
    state = {
        "best_metric": 0.75,
        "global_step": 20,
        "log_history": [
            {"epoch": 0.5, "step": 10, "loss": 2.0},
            {"epoch": 1.0, "step": 20, "loss": 1.0},
            {"epoch": 1.0, "step": 20, "eval_f1": 0.75},
        ],
    }
    series, notes = read({"trainer_state.json": json.dumps(state).encode()})
    assert notes == ()
    assert {item.name: item.checkpoints for item in series} == {
        "loss": (Checkpoint(10, (2.0,)), Checkpoint(20, (1.0,))),
        "eval_f1": (Checkpoint(20, (0.75,)),),
        "best_metric": (),
    }


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"log_history": 5}', b'{"log_history": [5, null, {}]}', b"null"])
def test_a_trainer_state_of_another_shape_has_nothing(data):
    assert read({"trainer_state.json": data}) == ((), ())


def test_keras_history_is_told_by_its_first_column():
    data = b"epoch,accuracy,loss\n0,0.5,2.0\n1,0.75,1.0\n"
    assert lasts("training.log", data) == {"accuracy": (1, 0.75), "loss": (1, 1.0)}
    assert lasts("any name.csv", data) == {"accuracy": (1, 0.75), "loss": (1, 1.0)}


@pytest.mark.parametrize("data", [b"id,epoch\n1,2\n", b"sepal,petal\n1,2\n", b"INFO epoch 1\n", b"", b"epoch\n1\n"])
def test_other_tables_are_let_alone(data):
    assert read({"iris.csv": data, "run.log": data}) == ((), ())


def test_of_other_tables_the_beginning_is_read():
    class Counting(MemoryTree):
        count = 0

        def read(self, path: str, start: int, stop: int) -> bytes:
            Counting.count += stop - start
            return super().read(path, start, stop)

    tree = Counting({"data.csv": b"a,b\n" * 100_000})
    read_files(Contents(tree, tree.files()))
    assert Counting.count == 4096


def test_sparse_columns_have_their_last_number():
    data = b"epoch,step,train_loss,val_loss\n0,49,2.0,\n0,99,,0.5\n1,149,1.0,\n"
    assert lasts("lightning_logs/version_0/metrics.csv", data) == {"train_loss": (149, 1.0), "val_loss": (99, 0.5)}


def test_columns_may_stand_in_any_order_and_be_padded():
    assert lasts("metrics.csv", b"loss , step\r\n 0.5 , 3\r\n") == {"loss": (3, 0.5)}


def test_a_table_of_metrics_without_step_is_a_note():
    assert read({"metrics.csv": b"a,b\n1,2\n"})[1] == (
        Note("metrics.csv", "no metrics taken: a table without a column step or epoch"),
    )


def test_rows_may_be_short_long_or_hold_text():
    assert lasts("metrics.csv", b"step,a,b\n1\n2,5\n3,x,y,z\n\n4,1_0,nan\n")["a"] == (2, 5.0)


def test_a_field_that_never_ends_is_a_note():
    series, notes = read({"metrics.csv": b"step,a\n1,5\n2," + b"x" * 200_000})
    assert series[0].last == Point(1, 5.0)
    assert notes[0].reason.startswith("cut off: not a table from line 3 on")


def test_a_dvclive_plot_has_the_name_of_its_path():
    series, notes = read({"run/dvclive/plots/metrics/train/acc.tsv": b"step\tacc\n0\t0.5\n1\t0.75\n"})
    assert notes == ()
    assert [(item.name, item.folder, item.last) for item in series] == [("train.acc", "run/dvclive", Point(1, 0.75))]


def test_mlflow_metrics_have_name_time_and_step():
    path = "mlruns/0/" + "a" * 32 + "/metrics/val/loss"
    series, notes = read({path: b"1500000000500 2.0 0\n1500000001500 1.0 1\n"})
    assert notes == ()
    assert [(item.name, item.folder, item.last) for item in series] == [
        ("val/loss", "mlruns/0/" + "a" * 32, Point(1, 1.0, 1500000001.5))
    ]


def test_lines_that_mlflow_did_not_write_are_counted():
    series, notes = read({"mlruns/0/r/metrics/a": b"1 2 3\nx y z\n\n1 2 3 4\n\xff\n"})
    assert series[0].last == Point(3, 2.0, 0.001)
    assert [note.reason for note in notes] == ["3 lines are not milliseconds, value and step"]


def test_a_file_beyond_its_size_is_a_note_and_not_read():
    class Refusing(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            raise AssertionError

    tree = Refusing({})
    entries = [FileEntry("metrics.json", (8 << 20) + 1, ""), FileEntry("metrics.csv", (16 << 20) + 1, "")]
    series, notes = read_files(Contents(tree, entries))
    assert series == ()
    assert ["MAX_TABLE_BYTES" in notes[0].reason, "MAX_JSON_BYTES" in notes[1].reason] == [True, True]


def test_unreadable_files_are_notes():
    class Locked(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            raise Unreadable(path, "permission denied")

    tree = Locked({"metrics.json": b"{}", "a.csv": b"epoch,a\n"})
    assert [note.reason for note in read_files(Contents(tree, tree.files()))[1]] == ["not read: permission denied"] * 2


def test_more_files_than_the_limit_are_told(monkeypatch):
    monkeypatch.setattr(files, "MAX_FILES", 1)
    series, notes = read({"a/metrics.json": b'{"a": 1}', "b/metrics.json": b'{"a": 2}'})
    assert [item.folder for item in series] == ["a"]
    assert [note.reason for note in notes] == ["1 files with metrics are not read (limits MAX_FILES, MAX_ALL_BYTES)"]


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1", 1.0), (" -1e3 ", -1000.0), ("inf", math.inf), ("", None), (None, None), ("1_000", None), ("x", None), ("0x1", None)],
)
def test_numbers_in_cells(cell, number):
    assert number_in(cell) == number


@pytest.mark.parametrize(
    ("number", "step"), [(3.0, 3), (-1.0, -1), (0.5, None), (math.nan, None), (math.inf, None), (1e300, None), (None, None)]
)
def test_steps_are_whole_and_fit_64_bits(number, step):
    assert step_in(number) == step


names = st.sampled_from(
    ["metrics.json", "trainer_state.json", "metrics.csv", "a.csv", "mlruns/0/r/metrics/a", "dvclive/plots/metrics/a.tsv"]
)
texts = st.text(alphabet='epochstp,a1.\n\t"{}[]:_- \0é', max_size=60).map(str.encode)


@settings(max_examples=300, deadline=None)
@given(names, st.binary(max_size=60) | texts | texts.map(lambda text: b"epoch,step,a\n" + text))
def test_any_bytes_give_series_and_notes(name, data):
    series, _ = read({name: data})
    assert all(isinstance(item.last.value, float) for item in series)


def test_tables_stop_where_the_cells_of_a_scan_are_spent_and_keep_what_came_before(monkeypatch):
    monkeypatch.setattr(files.Cells, "__init__", lambda self: setattr(self, "left", 8))
    series, notes = read({"a/metrics.csv": b"step,f1\n1,0.5\n2,0.25\n3,0.125\n", "b/metrics.csv": b"step,f1\n1,1\n"})
    assert [(item.source, item.last) for item in series] == [("a/metrics.csv", Point(2, 0.25))]
    spent = "not read to its end: more than 1500000 cells and values in all files together (limit MAX_CELLS)"
    assert notes == (Note("a/metrics.csv", spent), Note("b/metrics.csv", spent))


def test_json_that_is_too_much_for_the_rest_is_left_out_and_smaller_ones_are_read(monkeypatch):
    monkeypatch.setattr(files.Cells, "__init__", lambda self: setattr(self, "left", 8))
    large, small = b'{"f1": 1, "f2": 2, "f3": 3}', b'{"f1": 0.5, "f2": 1}'
    series, notes = read({"a/metrics.json": large, "b/metrics.json": small})
    assert [(item.source, item.name) for item in series] == [("b/metrics.json", "f1"), ("b/metrics.json", "f2")]
    assert [note.path for note in notes] == ["a/metrics.json"]


def test_lines_count_as_cells(monkeypatch):
    monkeypatch.setattr(files.Cells, "__init__", lambda self: setattr(self, "left", 2))
    series, _ = read({"mlruns/0/run/metrics/loss": b"1000 0.5 1\n2000 0.25 2\n3000 0.125 3\n"})
    assert [item.last for item in series] == [Point(2, 0.25, 2.0)]
