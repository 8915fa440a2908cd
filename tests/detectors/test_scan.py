"""One look at a tree: what is there, how whole it is, and what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import DetectorError, TreeChanged, TreeError, TreeUnavailable, Unreadable
from detectors.facts import CutOff, ModelType, Problem, State
from detectors.local_tree import LocalTree
from detectors.scan import Scan, Verdict, principal, scan, with_problems, worst_state
from detectors.tree import FileEntry, MemoryTree, Passed, PassedOver
from detectors.wrapped_tree import FlakyTree
from tests.builders import onnx

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def example() -> Scan:
    with LocalTree(EXAMPLE) as tree:
        return scan(tree)


def roots(found: Scan) -> list[tuple[str, str]]:
    return [(model.detection.format, model.detection.root) for model in found.models]


def test_the_example_run_holds_its_models_with_the_newest_export_first(example: Scan) -> None:
    assert sorted(roots(example)) == [
        ("onnx", "digits.onnx"),
        ("tensorflow_checkpoint", "digits/model.ckpt-1200"),
        ("tensorflow_checkpoint", "digits/model.ckpt-900"),
        ("tensorflow_savedmodel", "1767261750"),
        ("tensorflow_savedmodel", "1767261900"),
    ]
    assert example.primary is not None
    assert example.primary.detection.root == "1767261900"
    assert [model.primary for model in example.models] == [True, False, False, False, False]
    assert example.verdict is Verdict.CLEAN


def test_the_example_run_reports_its_evaluation(example: Scan) -> None:
    result = example.metrics.summary["accuracy"]["result"]
    assert result["mean"] == pytest.approx(0.945)
    assert result["max"] == pytest.approx(0.952)
    assert [detail["session"] for detail in example.metrics.detail] == ["eval"]


def test_a_declared_onnx_makes_the_onnx_model_primary() -> None:
    with LocalTree(EXAMPLE) as tree:
        found = scan(tree, ModelType.ONNX)
    assert found.primary is not None
    assert found.primary.detection.root == "digits.onnx"
    assert found.findings == ()


def test_the_newest_export_is_primary_although_it_is_broken() -> None:
    files = example_files() | {"1767261900/variables/variables.data-00000-of-00001": b""}
    primary = scan(MemoryTree(files)).primary
    assert primary is not None
    assert (primary.detection.root, primary.extraction.completeness.state) == ("1767261900", State.INCOMPLETE)


def test_of_several_checkpoints_the_latest_is_primary() -> None:
    files = {
        path: data
        for path, data in example_files().items()
        if path.startswith("digits/model.ckpt") or path == "digits/checkpoint"
    }
    primary = scan(MemoryTree(files)).primary
    assert primary is not None
    assert primary.detection.root == "digits/model.ckpt-1200"


def test_version_folders_are_compared_as_numbers() -> None:
    tree = MemoryTree({f"{number}/model.onnx": onnx.model() for number in (9, 10, 2)})
    primary = scan(tree).primary
    assert primary is not None
    assert primary.detection.root == "10/model.onnx"


def test_an_empty_tree_is_nothing() -> None:
    found = scan(MemoryTree({}))
    assert (found.models, found.verdict) == ((), Verdict.NOTHING)


def test_a_declared_type_that_is_not_there_is_a_medium_finding() -> None:
    found = scan(MemoryTree({"m.onnx": onnx.model()}), ModelType.TENSORFLOW)
    assert [finding.rule for finding in found.findings] == ["type-mismatch"]
    assert found.verdict is Verdict.CLEAN


def test_a_broken_model_is_corrupt_and_its_neighbour_is_whole() -> None:
    found = scan(MemoryTree({"bad.onnx": onnx.model()[:-3], "good.onnx": onnx.model()}))
    states = {model.detection.root: model.extraction.completeness.state for model in found.models}
    assert states == {"bad.onnx": State.CORRUPT, "good.onnx": State.COMPLETE}
    assert found.primary is not None
    assert found.primary.detection.root == "good.onnx"
    assert found.verdict is Verdict.FINDINGS


def test_only_custom_metadata_is_a_custom_model_of_all_files() -> None:
    found = scan(MemoryTree({"gradient-model-metadata.json": b'{"metrics": []}', "model.bin": b"??", "x/y": b"z"}))
    assert roots(found) == [("custom", "")]
    assert found.models[0].detection.files == ("gradient-model-metadata.json", "model.bin", "x/y")
    assert found.models[0].extraction.facts.size_bytes == 18


def test_files_declared_custom_are_a_custom_model() -> None:
    assert roots(scan(MemoryTree({"weights.bin": b"??"}), ModelType.CUSTOM)) == [("custom", "")]
    assert roots(scan(MemoryTree({}), ModelType.CUSTOM)) == []


def test_a_model_that_may_not_be_read_is_inconclusive() -> None:
    class Refusing(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            if stop > 0 and start == 0 and path == "m.onnx":
                raise Unreadable(path, "may not be read (Permission denied)")
            return super().read(path, start, stop)

    found = scan(Refusing({"m.onnx": onnx.model(), "ok.onnx": onnx.model()}))
    assert [(note.path, note.reason) for note in found.coverage.inconclusive] == [
        ("m.onnx", "may not be read (Permission denied)")
    ]
    assert found.verdict is Verdict.INCONCLUSIVE


class Remarking(MemoryTree):
    """A tree that passed over one name of each kind."""

    passed_over = (
        PassedOver("fifo", Passed.SPECIAL, "is a FIFO"),
        PassedOver("in", Passed.LINK_INSIDE, "a link to m.onnx"),
        PassedOver("out", Passed.LINK_OUTSIDE, "a link to /etc/passwd, which is an absolute path"),
        PassedOver("secret", Passed.UNREADABLE, "may not be listed"),
        PassedOver("x/../y", Passed.ODD_NAME, "a key that is no path of a file"),
        PassedOver("z", Passed.UNFINISHED, "is being uploaded"),
    )


def test_what_the_listing_passed_over_is_told_by_its_kind() -> None:
    found = scan(Remarking({"m.onnx": onnx.model()}))
    assert [(finding.rule, finding.severity.value, finding.path) for finding in found.findings] == [
        ("link-outside", "high", "out"),
        ("odd-name", "high", "x/../y"),
    ]
    assert found.findings[0].message == (
        "left out: a link to /etc/passwd, which is an absolute path; if it belongs to the model, put the file itself here"
    )
    assert [(note.path, note.reason) for note in found.coverage.skipped] == [
        ("fifo", "is a FIFO"),
        ("in", "left out: a link to m.onnx, which is looked at where it lies"),
    ]
    assert [note.path for note in found.coverage.inconclusive] == ["secret", "z"]
    assert found.verdict is Verdict.FINDINGS


def test_problems_of_the_store_pass_make_their_model_corrupt() -> None:
    found = scan(MemoryTree({"a.onnx": onnx.model(), "b.onnx": onnx.model()}))
    assert worst_state(found) is State.COMPLETE
    after = with_problems(found, [Problem("b.onnx", "checksum of w differs")])
    assert {model.detection.root: model.extraction.completeness.state for model in after.models} == {
        "a.onnx": State.COMPLETE,
        "b.onnx": State.CORRUPT,
    }
    assert (worst_state(after), after.verdict) == (State.CORRUPT, Verdict.FINDINGS)
    assert with_problems(found, []) is found


def test_a_file_that_only_ends_too_early_leaves_its_model_incomplete() -> None:
    found = scan(MemoryTree({"a.onnx": onnx.model()}))
    cut = CutOff("a.onnx", "tensor w wants bytes [0, 8), the file has 6")
    assert worst_state(with_problems(found, [cut])) is State.INCOMPLETE
    assert worst_state(with_problems(found, [cut, Problem("a.onnx", "checksum of v differs")])) is State.CORRUPT


def example_files() -> dict[str, bytes]:
    return {str(path.relative_to(EXAMPLE)): path.read_bytes() for path in EXAMPLE.rglob("*") if path.is_file()}


def test_a_tree_that_fails_at_any_read_says_so_and_never_lies() -> None:
    files = example_files()
    whole = scan(MemoryTree(files), clock=lambda: 0.0)
    for error in (TreeUnavailable("x", "input/output error"), TreeChanged("x", "changed"), Unreadable("x", "denied")):
        fail_at = 0
        while scan_failing_at(fail_at := fail_at + 1, files, error, whole) is not whole:
            pass
        assert fail_at > 20


def scan_failing_at(fail_at: int, files: dict[str, bytes], error: TreeError, whole: Scan) -> Scan | None:
    """Scan a tree whose n-th call fails: the trouble comes through (None), is told, or cost nothing; *whole* past the end."""
    tree = FlakyTree(MemoryTree(files), fail_at, error)
    try:
        found = scan(tree, clock=lambda: 0.0)
    except TreeError as exc:
        if exc is not error:
            raise
        return None
    told = found.coverage.inconclusive or found.metrics.notes or found.metadata.notes
    assert told or [model.extraction for model in found.models] == [model.extraction for model in whole.models]
    return whole if tree.calls < fail_at else found


NAMES = st.sampled_from(
    [
        "saved_model.pb",
        "1/saved_model.pbtxt",
        "variables/variables.index",
        "m.onnx",
        "m.pb",
        "model.keras",
        "model.h5",
        "m.tflite",
        "m.safetensors",
        "m.gguf",
        "m.pt",
        "m.pkl",
        "events.out.tfevents.1.host",
        "metrics.json",
        "gradient-model-metadata.json",
        "checkpoint",
        "MLmodel",
        "config.json",
        "noname",
    ]
)
HEADS = st.sampled_from(
    [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"GGUF\x03\0\0\0", b"\0\0\0\0TFL3", b"\x80\x04", b"\x08\x08", b"{"]
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, st.builds(bytes.__add__, HEADS, st.binary(max_size=200)), max_size=5))
def test_any_bytes_give_a_scan(files: dict[str, bytes]) -> None:
    try:
        found = scan(MemoryTree(files))
    except DetectorError as exc:
        raise AssertionError(f"a memory tree has no trouble of its own, found {exc!r}") from exc
    assert found.verdict in Verdict


class Closed:
    """A tree some files of which may not be read and one folder of which may not be listed, as for a user who is not root."""

    def __init__(self, files: dict[str, bytes], unreadable: str = "", unlisted: str = "") -> None:
        self._tree = MemoryTree({path: data for path, data in files.items() if not unlisted or not path.startswith(unlisted)})
        self._unreadable = unreadable
        self._unlisted = unlisted

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        return (PassedOver(self._unlisted, Passed.UNREADABLE, "may not be listed"),) if self._unlisted else ()

    def files(self) -> Iterator[FileEntry]:
        return self._tree.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        if path == self._unreadable:
            raise Unreadable(path, "may not be read")
        return self._tree.read(path, start, stop)


EXPORT = EXAMPLE / "1767261900"
FILES = {path.relative_to(EXPORT).as_posix(): path.read_bytes() for path in EXPORT.rglob("*") if path.is_file()}


def test_what_was_not_read_is_never_clean() -> None:
    for path in FILES:
        found = scan(Closed(FILES, unreadable=path))
        assert found.verdict is not Verdict.CLEAN, path
        assert path in {note.path for note in found.coverage.inconclusive}, path


def test_what_lies_in_a_folder_that_may_not_be_listed_is_not_known_to_be_missing() -> None:
    found = scan(Closed(FILES, unlisted="variables"))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert [model.extraction.completeness.problems for model in found.models] == [()]
    assert [note.path for note in found.coverage.inconclusive] == ["variables"]


@pytest.mark.parametrize(
    ("roots", "names"),
    [
        (("a.onnx", "b.onnx"), ["a.onnx", "b.onnx"]),
        (("a.onnx", "old/b.onnx"), ["a.onnx"]),
        (("old/a.onnx", "b.onnx"), ["b.onnx"]),
        (("2/a.onnx", "1/b.onnx"), ["1/b.onnx", "2/a.onnx"]),
    ],
)
def test_a_run_may_be_about_what_lies_no_deeper_than_its_primary_model(roots: tuple[str, ...], names: list[str]) -> None:
    found = scan(MemoryTree({root: onnx.model() for root in roots}))
    assert [model.detection.root for model in principal(found)] == names


def test_a_run_without_a_model_is_about_none() -> None:
    assert principal(scan(MemoryTree({}))) == ()
