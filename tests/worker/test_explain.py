"""Forty paths that were or were not ingested, and what is said of each; what an attempt then comes to is what was said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from detectors.errors import TreeUnavailable
from detectors.tree import FileTree
from tests.builders import onnx
from tests.builders import saved_model as sm
from tests.worker.test_ingest import TestClock, event, make_borders
from tests.worker.test_runner import saved_model
from worker.explain import Explanation, explain
from worker.ingest import Borders, ingest
from worker.locations import Mount, Places, resolve
from worker.reach import neighbours
from worker.records import CompletionEvent, Ingestion, IngestionQuery, IngestionState, Location, StoreMode, Trigger
from worker.registry.memory import MemoryRegistry
from worker.storage.memory import MemoryStore

REGISTERED, UNCHANGED, WAITING = IngestionState.REGISTERED, IngestionState.UNCHANGED, IngestionState.WAITING
FAILED, NOTHING = IngestionState.FAILED, IngestionState.NOTHING_FOUND

GRAPH = b"\x08\x01\x12"
"""Bytes that are of no format."""

NO_END = sm.graph(sm.placeholder("x"), end=b"")
"""A frozen graph as it is, or the first part of one that is longer."""

Make = Callable[[Path], Path | None]
"""Puts files into a folder, and returns the path to explain where it is not that folder."""


def files(**named: bytes) -> Make:
    def make(folder: Path) -> None:
        for name, content in named.items():
            put(folder, name.replace("__", "/"), content)

    return make


def put(folder: Path, path: str, content: bytes = b"x") -> Path:
    where = folder / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(content)
    return where


def with_files(*paths: str, content: bytes = b"x") -> Make:
    def make(folder: Path) -> None:
        for path in paths:
            put(folder, path, content)

    return make


def a_model(folder: Path) -> None:
    put(folder, "model.onnx", onnx.model())


def a_saved_model(folder: Path) -> None:
    saved_model(folder)


def deeper(folder: Path) -> None:
    saved_model(folder / "export" / "best")


def part_of_a_saved_model(folder: Path) -> Path:
    return saved_model(folder) / "assets"


def empty_part_of_a_saved_model(folder: Path) -> Path:
    path = saved_model(folder) / "extra"
    put(path, "words.txt")
    return path


def incomplete(folder: Path) -> None:
    (saved_model(folder) / "variables" / "variables.data-00000-of-00001").unlink()


def half_an_onnx(folder: Path) -> None:
    put(folder, "model.onnx", onnx.model()[:-20])


def not_there(folder: Path) -> Path:
    for name in ("mnist-7", "mnist-9", "other"):
        (folder / name).mkdir()
    return folder / "mnist-8"


def wrong_case(folder: Path) -> Path:
    (folder / "MNIST").mkdir()
    return folder / "mnist"


def far_away(folder: Path) -> Path:
    return folder / "a" / "b" / "c"


def link_out(folder: Path) -> None:
    os.symlink("/etc/hostname", folder / "model.onnx")


def link_in(folder: Path) -> None:
    put(folder, "model.onnx", onnx.model())
    os.symlink("model.onnx", folder / "latest.onnx")


def special(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def marked(folder: Path) -> None:
    a_model(folder)
    put(folder, "_SUCCESS", b"")


def one_file(folder: Path) -> Path:
    return put(folder, "model.onnx", onnx.model())


def one_text(folder: Path) -> Path:
    return put(folder, "notes.txt", b"nothing")


CASES: dict[str, tuple[Make, IngestionState, str, str]] = {
    "a model": (a_model, REGISTERED, "new-content", "onnx at model.onnx, complete"),
    "a SavedModel": (a_saved_model, REGISTERED, "new-content", "tensorflow_savedmodel at 1767261900, complete"),
    "a SavedModel two levels deeper": (deeper, REGISTERED, "new-content", "at export/best/1767261900, complete"),
    "one file": (one_file, REGISTERED, "new-content", "onnx at"),
    "a model beside a link to it": (link_in, REGISTERED, "new-content", "latest.onnx: passed over"),
    "a marked folder": (marked, REGISTERED, "new-content", "the writer said that it is done"),
    "custom metadata": (
        files(**{"gradient-model-metadata.json": b"{}", "weights.bin": b"1"}),
        REGISTERED,
        "new-content",
        "custom at ., complete",
    ),
    "an incomplete SavedModel": (incomplete, WAITING, "incomplete", "variables.data-00000-of-00001"),
    "a frozen graph that does not say where it ends, long ago": (
        with_files("frozen.pb", content=NO_END),
        REGISTERED,
        "new-content",
        "incomplete: frozen.pb: no version follows its nodes",
    ),
    "half an ONNX file, long ago": (half_an_onnx, REGISTERED, "new-content", "its message ends at 58"),
    "an empty folder": (lambda folder: None, NOTHING, "nothing-found", "no files lie below"),
    "a name that is nearly there": (not_there, FAILED, "nothing-there", "has no mnist-8; it has mnist-9, mnist-7"),
    "a name in another case": (wrong_case, FAILED, "nothing-there", "it has MNIST"),
    "a place of which nothing is there": (far_away, FAILED, "nothing-there", "none of them like a"),
    "texts alone": (with_files("a.txt", "b.py", "c.py"), NOTHING, "nothing-found", "2 × .py, 1 × .txt"),
    "one text": (one_text, NOTHING, "nothing-found", "no model in"),
    "unknown files": (with_files("a.bin", "b.bin"), NOTHING, "nothing-found", "of no known format: 2 × .bin"),
    "a file without a suffix": (with_files("weights"), NOTHING, "nothing-found", "1 × no suffix"),
    "an unfinished download": (
        with_files("model.onnx.crdownload"),
        NOTHING,
        "nothing-found",
        "its writer would call it model.onnx",
    ),
    "an unfinished export": (
        with_files("a/saved_model.pb.tmp"),
        WAITING,
        "incomplete",
        "left by an export that has not finished",
    ),
    "an unfinished copy": (with_files("model.tflite.part"), NOTHING, "nothing-found", "would call it model.tflite"),
    "a copy of an editor": (with_files("model.onnx~"), NOTHING, "nothing-found", "would call it model.onnx"),
    "an empty graph": (
        with_files("model.onnx", content=b""),
        REGISTERED,
        "new-content",
        "corrupt: model.onnx: expected a graph",
    ),
    "an empty checkpoint": (with_files("model.pt", content=b""), WAITING, "incomplete", "found 0 bytes"),
    "a misspelled SavedModel": (
        with_files("saved-model.pb", content=GRAPH),
        NOTHING,
        "nothing-found",
        "which is saved_model.pb",
    ),
    "a SavedModel that was downloaded twice": (
        with_files("saved_model (1).pb", content=GRAPH),
        NOTHING,
        "nothing-found",
        "which is saved_model.pb",
    ),
    "variables without a graph": (
        with_files("1/variables/README.md"),
        NOTHING,
        "nothing-found",
        "1/saved_model.pb is missing",
    ),
    "assets without a graph": (with_files("assets/vocab.txt"), NOTHING, "nothing-found", "saved_model.pb is missing"),
    "a folder inside a SavedModel": (
        empty_part_of_a_saved_model,
        NOTHING,
        "nothing-found",
        "holds saved_model.pb: this is a part of that model",
    ),
    "metadata one level deeper": (
        with_files("run/gradient-model-metadata.json", content=b"{}"),
        NOTHING,
        "nothing-found",
        "the folder that it lies in; give run",
    ),
    "a pointer of DVC": (with_files("model.onnx.dvc"), NOTHING, "nothing-found", "fetched with `dvc pull`"),
    "an engine of TensorRT": (with_files("model.engine"), NOTHING, "nothing-found", "an engine of TensorRT is not recognised"),
    "PMML": (with_files("model.pmml"), NOTHING, "nothing-found", "PMML is not recognised"),
    "a zip": (with_files("model.zip"), NOTHING, "nothing-found", "no model is looked for inside, unpack it"),
    "a packed tar": (with_files("export/model.tar.gz"), NOTHING, "nothing-found", "export/model.tar.gz: an archive"),
    "a link that leads out": (link_out, NOTHING, "nothing-found", "model.onnx: passed over"),
    "a pipe": (special, NOTHING, "nothing-found", "pipe: passed over"),
}
"""What lies in a folder; how an attempt ends, and why; a part of a sentence that tells it."""


@dataclass
class Scene:
    borders: Borders
    folder: Path

    def explained(self, given: CompletionEvent, last: Ingestion | None = None) -> Explanation:
        return explain(given, self.borders, last, neighbours)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    folder = tmp_path / "runs"
    folder.mkdir()
    return Scene(make_borders(MemoryRegistry(), MemoryStore()), folder)


def told(said: Explanation) -> str:
    return "\n".join([*(f"{line.about}: {line.says}" for line in said.lines), *said.near])


@pytest.mark.parametrize(("make", "outcome", "reason", "words"), CASES.values(), ids=CASES)
def test_a_prepared_path_is_explained(scene: Scene, make: Make, outcome: IngestionState, reason: str, words: str) -> None:
    path = make(scene.folder) or scene.folder
    said = scene.explained(event(path, trigger=Trigger.COMPLETION))
    assert (said.outcome, said.reason) == (outcome, reason), told(said)
    assert words in told(said)


ENDING = {name: case for name, case in CASES.items() if case[1] is not WAITING}


@pytest.mark.parametrize("make", [case[0] for case in ENDING.values()], ids=ENDING)
def test_what_is_said_to_be_registered_is_registered_and_what_is_said_to_stop_stops_for_the_same_reason(
    scene: Scene, make: Make
) -> None:
    path = make(scene.folder) or scene.folder
    said = scene.explained(event(path))
    ended = ingest(event(path), scene.borders).ingestion
    assert (said.outcome, said.reason) == (ended.state, ended.reason)


def test_nothing_is_written(scene: Scene) -> None:
    a_model(scene.folder)
    before = {path: path.stat().st_mtime_ns for path in scene.folder.rglob("*")}
    scene.explained(event(scene.folder))
    assert scene.borders.registry.counters() == []
    assert list(scene.borders.store.prefixes()) == []
    assert {path: path.stat().st_mtime_ns for path in scene.folder.rglob("*")} == before


def test_what_still_grows_is_named(scene: Scene) -> None:
    growing = put(scene.folder, "variables/variables.data", b"1" * 1000)

    def sleep(seconds: float) -> None:
        with growing.open("ab") as file:
            file.write(b"1" * 500)
        put(scene.folder, "new.bin")

    young = replace(scene.borders, clock=Young(sleep))
    said = explain(event(scene.folder, trigger=Trigger.COMPLETION), young)
    assert (said.outcome, said.reason) == (WAITING, "not-settled")
    assert "variables/variables.data is still growing: 1.00 kB before, 1.50 kB now" in told(said)
    assert "new.bin came just now" in told(said)


@pytest.mark.parametrize("make", [half_an_onnx, with_files("frozen.pb", content=NO_END)], ids=["cut off", "no end"])
def test_half_a_file_that_is_young_is_waited_for(scene: Scene, make: Make) -> None:
    make(scene.folder)
    soon = replace(scene.borders, clock=TestClock(datetime.now(UTC) + timedelta(seconds=10), []))
    said = explain(event(scene.folder, trigger=Trigger.COMPLETION), soon)
    assert (said.outcome, said.reason) == (WAITING, "broken")


def test_a_whole_model_beside_half_a_file_that_is_young_is_not_denied(scene: Scene) -> None:
    a_saved_model(scene.folder)
    put(scene.folder, "frozen.pb", NO_END)
    soon = replace(scene.borders, clock=TestClock(datetime.now(UTC) + timedelta(seconds=10), []))
    said = explain(event(scene.folder, trigger=Trigger.COMPLETION), soon)
    assert (said.outcome, said.reason) == (WAITING, "broken")
    assert "not every model there is whole, and more may still be written" in told(said)


def test_files_that_are_young_and_do_not_move_are_waited_for(scene: Scene) -> None:
    a_model(scene.folder)
    said = explain(event(scene.folder), replace(scene.borders, clock=Young(lambda seconds: None)))
    assert (said.outcome, said.reason) == (WAITING, "not-settled")
    assert "files changed a moment ago" in told(said)


class Young:
    """The time of this machine, by which files were written just now."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self.sleep = sleep

    def now(self) -> datetime:
        return datetime.now(UTC)


def test_what_is_known_already_names_its_version(scene: Scene) -> None:
    a_model(scene.folder)
    version = ingest(event(scene.folder), scene.borders).version
    assert version is not None
    last = scene.borders.registry.ingestions(IngestionQuery(model_path=str(scene.folder), limit=1))[0]
    said = scene.explained(event(scene.folder, 2), last)
    assert (said.outcome, said.reason) == (UNCHANGED, "same-listing")
    assert f"the same files as {version.id}, e1 version 1" in told(said)
    assert f"ingestion {last.id} of this path is registered" in told(said)


def test_a_place_outside_the_allowed_roots_is_refused_in_words(scene: Scene) -> None:
    only = replace(scene.borders, resolve=partial(resolve, places=Places(roots=("/mnt/runs",))))
    said = explain(event(scene.folder), only)
    assert (said.outcome, said.reason) == (FAILED, "rejected-location")
    assert "lies outside the allowed roots (/mnt/runs)" in told(said)


def test_a_relative_path_is_refused_in_words(scene: Scene) -> None:
    said = scene.explained(event(Path("runs/mnist")))
    assert (said.outcome, said.reason) == (FAILED, "rejected-location")


def test_a_mount_tells_where_the_path_is_here(scene: Scene) -> None:
    put(scene.folder, "e1/model.onnx", onnx.model())
    mount = Mount("/artifacts", str(scene.folder / "{experiment_id}"), StoreMode.REFERENCE)
    mounted = replace(scene.borders, resolve=partial(resolve, places=Places((mount,))))
    said = explain(event(Path("/artifacts")), mounted, None, neighbours)
    assert said.outcome is REGISTERED
    assert f"place: /artifacts is {scene.folder}/e1 here; its files would stay there" in told(said)


def test_a_link_out_of_the_root_is_refused_and_what_it_names_is_not_told(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (scene.folder / "out").symlink_to(tmp_path / "secret")
    rooted = replace(scene.borders, resolve=partial(resolve, places=Places(roots=(str(scene.folder),))))
    for name in ("out", "out/deeper"):
        said = explain(event(scene.folder / name), rooted, None, neighbours)
        assert (said.outcome, said.reason) == (FAILED, "rejected-location")
        assert "secret" not in told(said)


def test_neighbours_are_looked_for_below_the_root_alone(scene: Scene) -> None:
    root = str(scene.folder / "gone")
    assert neighbours(Location("file://x", f"{root}/a/b", StoreMode.COPY, root)) is None
    (scene.folder / "gone").mkdir()
    found = neighbours(Location("file://x", f"{root}/a/b", StoreMode.COPY, root))
    assert found is not None
    assert (found.folder, found.names) == (root, [])


def test_storage_that_does_not_answer_is_waited_for(scene: Scene) -> None:
    @contextmanager
    def away(location: Location) -> Iterator[FileTree]:
        raise TreeUnavailable("", "the file server does not answer")
        yield

    said = explain(event(scene.folder), replace(scene.borders, open_tree=away))
    assert (said.outcome, said.reason) == (WAITING, "source-unavailable")
    assert "looked at again after 0.5 s" in told(said)


def test_what_waits_is_compared_with_the_look_of_its_ingestion(scene: Scene) -> None:
    shutil.copytree(Path(__file__).parents[2] / "examples" / "digits" / "1767261900", scene.folder / "1")
    (scene.folder / "1" / "variables" / "variables.index").unlink()
    waiting, _ = scene.borders.registry.submit(event(scene.folder, trigger=Trigger.COMPLETION), scene.borders.clock.now())
    said = scene.explained(event(scene.folder, trigger=Trigger.COMPLETION), waiting)
    assert said.outcome is WAITING
    assert f"ingestion {waiting.id} of this path is received" in told(said)
