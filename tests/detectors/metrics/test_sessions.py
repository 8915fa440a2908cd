"""Which folders are sessions, what they are called, and which speaks for the run."""

import pytest

from detectors.detection import Contents
from detectors.errors import TreeUnavailable, Unreadable
from detectors.metrics import sessions
from detectors.metrics.budget import Budget
from detectors.metrics.sessions import headline, is_evaluation, read_sessions, session_names
from detectors.tree import MemoryTree
from tests.builders import events as build

ONE = build.event_file(build.scalar("a", 0.5, 1))


def read(files: dict[str, bytes], tree_type=MemoryTree):
    tree = tree_type(files)
    return read_sessions(Contents(tree, tree.files()))


def test_a_session_is_named_by_the_last_part_of_its_folder():
    assert session_names(["mnist/eval", "mnist", ""]) == {"mnist/eval": "eval", "mnist": "mnist", "": ""}


def test_folders_that_end_alike_are_named_by_their_whole_path():
    assert session_names(["b/eval", "eval", "a/train"]) == {"b/eval": "b/eval", "eval": "eval", "a/train": "train"}


def test_a_name_that_is_not_utf_8_is_shown_escaped():
    assert session_names(["run\udcff"]) == {"run\udcff": r"run\xff"}


@pytest.mark.parametrize(
    ("folders", "speaks"),
    [
        ([], None),
        (["train", "m/eval", "eval_b"], "m/eval"),
        (["train", "eval_b", "eval_a", "validation"], "eval_a"),
        (["val", "validation", "test"], "validation"),
        (["test", "val"], "val"),
        (["test", "train"], "test"),
        (["", "train", "other"], "train"),
        (["", "other"], ""),
        (["b", "a", "a/b"], "a"),
        (["x/y/eval", "z/eval", "y/eval"], "y/eval"),
        (["evaluation", "logs"], "evaluation"),
    ],
)
def test_the_folder_that_speaks_for_the_run(folders, speaks):
    assert headline(folders) == speaks
    assert headline(reversed(folders)) == speaks


def test_evaluations_are_told_by_their_name():
    assert [is_evaluation(name) for name in ("m/eval", "eval_x", "validation", "val", "test")] == [True] * 5
    assert [is_evaluation(name) for name in ("train", "", "evaluate", "eval/x", "tests")] == [False] * 5


def test_files_are_found_by_name_in_every_folder():
    series, notes = read({"events.out.tfevents.1": ONE, "m/eval/events.out.tfevents.2.v2": ONE, "m/events": ONE, "x.bin": ONE})
    assert [(item.folder, item.source) for item in series] == [
        ("", "events.out.tfevents.1"),
        ("m/eval", "m/eval/events.out.tfevents.2.v2"),
    ]
    assert notes == ()


def test_a_folder_named_like_an_event_file_does_not_make_its_files_events():
    assert read({"tfevents/notes.txt": b"x"}) == ((), ())


def test_one_unreadable_file_is_a_note_and_the_others_are_read():
    class Locked(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            if path.startswith("a/"):
                raise Unreadable(path, "permission denied")
            return super().read(path, start, stop)

    series, notes = read({"a/tfevents.1": ONE, "b/tfevents.1": ONE}, Locked)
    assert [item.folder for item in series] == ["b"]
    assert [(note.path, note.reason) for note in notes] == [("a/tfevents.1", "not read: permission denied")]


def test_a_storage_that_does_not_answer_is_not_hidden():
    class Down(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            raise TreeUnavailable(path, "timeout")

    with pytest.raises(TreeUnavailable):
        read({"tfevents.1": ONE}, Down)


def test_more_files_than_the_limit_are_told(monkeypatch):
    monkeypatch.setattr(sessions, "MAX_EVENT_FILES", 2)
    series, notes = read({f"{name}/tfevents.1": ONE for name in "abcd"})
    assert [item.folder for item in series] == ["a", "b"]
    assert [note.reason for note in notes] == ["2 event files from here on are not read (limit MAX_EVENT_FILES)"]


def test_a_limit_ends_the_reading_and_tells_what_was_not_read(monkeypatch):
    monkeypatch.setattr(sessions, "Budget", lambda: Budget(looks=40))
    series, notes = read({"a/tfevents.1": ONE, "b/tfevents.1": ONE * 20, "c/tfevents.1": ONE})
    assert [item.folder for item in series] == ["a"]
    assert [note.path for note in notes] == ["b/tfevents.1"]
    assert "limit MAX_LOOKS" in notes[0].reason
    assert notes[0].reason.endswith("1 event files after it are not read")
