"""The custom metadata of a run: which file counts, for which type, and what is said about it."""

import math

import pytest

from detectors.detection import Contents
from detectors.errors import Unreadable
from detectors.facts import Metadata, Metric, ModelType, Note
from detectors.metadata import MAX_METADATA_BYTES, MAX_METADATA_METRICS, metadata_metrics, read_metadata
from detectors.tree import FileEntry, MemoryTree

NAME = "gradient-model-metadata.json"
F1 = b'{"metrics": [{"name": "test-f1", "numberValue": 0.91}]}'


def contents(files: dict[str, bytes]) -> Contents:
    tree = MemoryTree(files)
    return Contents(tree, tree.files())


class NobodyReads(MemoryTree):
    """A tree whose files may not be read."""

    def read(self, path: str, start: int, stop: int) -> bytes:
        raise Unreadable(path, "permission denied")


def test_without_the_file_the_record_is_empty():
    assert read_metadata(contents({"model.onnx": b"x"}), None) == Metadata()


def test_read_when_no_type_is_declared():
    found = read_metadata(contents({NAME: F1}), None)
    assert found == Metadata(
        {"metrics": [{"name": "test-f1", "numberValue": 0.91}]}, NAME, F1, used=True, why="read: no type is declared"
    )


@pytest.mark.parametrize("declared", [ModelType.CUSTOM, ModelType.ONNX])
def test_read_for_custom_and_onnx(declared):
    found = read_metadata(contents({NAME: b"[1]"}), declared, ModelType.TENSORFLOW)
    assert (found.value, found.used, found.why) == ([1], True, f"read: the declared type is {declared.value}")


def test_ignored_for_tensorflow_without_a_read():
    tree = NobodyReads({NAME: b"not json"})
    found = read_metadata(Contents(tree, tree.files()), ModelType.TENSORFLOW)
    assert found == Metadata(
        source=NAME, why="ignored: the declared type is Tensorflow, whose metadata are generated from the model"
    )


def test_a_detected_tensorflow_model_without_declared_type_has_its_metadata_read():
    found = read_metadata(contents({NAME: b"{}"}), None, ModelType.TENSORFLOW)
    assert (found.used, found.why) == (True, "read: no type is declared, and Tensorflow is detected")


def test_the_file_in_the_model_path_wins_and_the_other_is_noted():
    found = read_metadata(contents({"a/" + NAME: b"1", NAME: b"2"}), None)
    assert (found.value, found.source) == (2, NAME)
    assert found.notes == (Note("a/" + NAME, f"not read: {NAME} lies nearer to the model path"),)


def test_else_the_nearest_to_the_root_then_the_first_by_name():
    found = read_metadata(contents({f"a/b/{NAME}": b"1", f"z/{NAME}": b"2", f"y/{NAME}": b"3"}), None)
    assert (found.value, found.source) == (3, f"y/{NAME}")


def test_a_name_that_only_ends_alike_is_another_file():
    assert read_metadata(contents({"my-" + NAME: b"1"}), None) == Metadata()


def test_bytes_that_are_not_json_are_kept_and_not_used():
    found = read_metadata(contents({NAME: b'{"a": 1,}'}), None)
    assert (found.value, found.raw, found.used) == (None, b'{"a": 1,}', False)
    assert found.why.startswith(f"not used: not valid JSON: {NAME} at byte 8: not JSON:")
    assert [note.path for note in found.notes] == [NAME]


def test_what_json_does_not_know_is_kept_with_a_note():
    found = read_metadata(contents({NAME: b"[NaN]"}), None)
    assert math.isnan(found.value[0])
    assert (found.used, found.raw) == (True, b"[NaN]")
    assert found.notes == (Note(NAME, "a bare NaN, which is not JSON"),)


def test_a_file_beyond_16_mib_is_named_and_not_read():
    tree = NobodyReads({NAME: b""})
    found = read_metadata(Contents(tree, [FileEntry(NAME, MAX_METADATA_BYTES + 1, "1")]), None)
    assert (found.source, found.raw, found.used) == (NAME, None, False)
    assert "limit MAX_METADATA_BYTES" in found.why


def test_a_file_that_may_not_be_read_is_told():
    tree = NobodyReads({NAME: b"{}"})
    found = read_metadata(Contents(tree, tree.files()), None)
    assert (found.used, found.why) == (False, f"not used: not read: {NAME}: permission denied")


def test_named_numbers_become_metrics():
    listed = b"""{"metrics": [{"name": "f1", "numberValue": 1}, {"name": "auc", "numberValue": NaN},
        {"name": "text", "numberValue": "0.5"}, {"name": 5, "numberValue": 1}, {"MSE": 1.2}, 7, null]}"""
    first, second = metadata_metrics(read_metadata(contents({NAME: listed}), None))
    assert first == Metric("f1", 1.0, None, "", NAME)
    assert second.name == "auc"
    assert math.isnan(second.value)


@pytest.mark.parametrize("text", [b"[]", b'{"metrics": {}}', b'{"metrics": null}', b"3", b'"x"', b'{"f1": 0.9}'])
def test_other_shapes_have_no_metrics(text):
    assert list(metadata_metrics(read_metadata(contents({NAME: text}), None))) == []


def test_metadata_that_do_not_count_have_no_metrics():
    assert list(metadata_metrics(read_metadata(contents({NAME: F1}), ModelType.TENSORFLOW))) == []


def test_at_most_a_thousand_numbers_are_taken():
    listed = b'{"metrics": [' + b",".join([b'{"name": "a", "numberValue": 1}'] * (MAX_METADATA_METRICS + 1)) + b"]}"
    assert len(list(metadata_metrics(read_metadata(contents({NAME: listed}), None)))) == 1000


def test_a_number_with_a_long_name_is_left_out_and_noted():
    listed = b'{"metrics": [{"name": "%s", "numberValue": 1}, {"name": "%s", "numberValue": 2}]}'
    found = read_metadata(contents({NAME: listed % (b"a" * 1024, b"b" * 1025)}), None)
    assert [metric.value for metric in metadata_metrics(found)] == [1.0]
    assert found.notes == (Note(NAME, "1 metrics with long names are left out (limit MAX_METRIC_NAME)"),)


def test_numbers_beyond_the_limit_are_noted():
    listed = b'{"metrics": [' + b",".join([b'{"name": "a", "numberValue": 1}'] * (MAX_METADATA_METRICS + 3)) + b"]}"
    found = read_metadata(contents({NAME: listed}), None)
    assert found.notes == (Note(NAME, "3 entries of metrics are left out (limit MAX_METADATA_METRICS)"),)
