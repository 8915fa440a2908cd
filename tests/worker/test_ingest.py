"""The use case, on the shipped fakes and on the real borders alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from detectors.errors import TreeUnavailable, Unreadable
from detectors.facts import ModelType
from detectors.scan import Scan, Verdict, scan
from detectors.tree import FileEntry, FileTree, Passed, PassedOver
from detectors.wrapped_tree import FlakyTree
from tests.builders import bundle as build
from tests.builders import onnx
from worker.errors import RegistryUnavailable, StorageUnavailable
from worker.ingest import Borders, Ingested, ingest, recover
from worker.inspector.in_process import InProcessInspector
from worker.lifecycle import LEASE_SECONDS, is_end
from worker.locations import Mount, Places, resolve
from worker.ports import Alive, OpenSink, Registry, Store
from worker.reach import open_location
from worker.records import (
    CompletionEvent,
    IngestionQuery,
    IngestionState,
    Location,
    NamedFile,
    StoreKey,
    StoreMode,
    Trigger,
    VersionQuery,
)
from worker.registry.memory import MemoryRegistry
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry
from worker.storage.local import LocalStore
from worker.storage.memory import MemoryStore


@dataclass
class TestClock:
    """Time that passes only when somebody sleeps."""

    __test__ = False
    at: datetime
    slept: list[float]

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)


def clock_in_an_hour() -> TestClock:
    """A clock by which every file of the test is an hour old, so nothing waits for it to rest."""
    return TestClock(datetime.now(UTC) + timedelta(hours=1), [])


@pytest.fixture(params=["memory", "sqlite and disk"])
def borders(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Borders]:
    if request.param == "memory":
        yield make_borders(MemoryRegistry(), MemoryStore())
        return
    url = f"sqlite:///{tmp_path}/home/modelport.db"
    (tmp_path / "home").mkdir()
    migrate(url)
    registry = SqlRegistry(url)
    yield make_borders(registry, LocalStore(tmp_path / "home" / "store"))
    registry.close()


def make_borders(registry: Registry, store: Store) -> Borders:
    return Borders(
        registry=registry,
        store=store,
        open_tree=open_location,
        inspect=InProcessInspector().inspect,
        resolve=partial(resolve, places=Places()),
        clock=clock_in_an_hour(),
        owner="test-owner",
        is_dead=lambda owner: owner != "test-owner",
        quiet_seconds=lambda location: 5.0,
        patience_seconds=60.0,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with one small ONNX model."""
    folder = onnx.run_at(tmp_path / "run")
    (folder / "notes.txt").write_text("trained on a Tuesday")
    return folder


def event(path: Path, number: int = 1, **more: object) -> CompletionEvent:
    given: dict[str, object] = {"experiment": "e1", **more}
    return CompletionEvent(source="test", id=f"event-{number}", model_path=str(path), **given)  # type: ignore[arg-type]


def content(tree: FileTree) -> dict[str, bytes]:
    return {entry.path: tree.read(entry.path, 0, entry.size) for entry in tree.files()}


def end_of(outcome: Ingested) -> tuple[IngestionState, str | None]:
    return outcome.ingestion.state, outcome.ingestion.reason


def test_a_model_becomes_a_version_with_all_files_of_the_path(borders: Borders, run: Path) -> None:
    outcome = ingest(event(run, name="net"), borders)
    assert end_of(outcome) == (IngestionState.REGISTERED, "new-content")
    version = outcome.version
    assert version is not None
    assert (version.model_name, version.number, version.model_type) == ("net", 1, ModelType.ONNX)
    assert version.completeness == "complete"
    assert version.verdict == "clean"
    assert [file.path for file in borders.registry.files(version.id)] == ["model.onnx", "notes.txt"]
    with borders.store.opened(version.url) as tree:
        assert content(tree) == {"model.onnx": onnx.model(), "notes.txt": b"trained on a Tuesday"}


def test_an_unnamed_model_is_named_by_its_experiment_and_a_bare_path_by_its_folder(borders: Borders, run: Path) -> None:
    named = ingest(event(run), borders).version
    bare = ingest(event(run, 2, experiment=None), borders).version
    assert named is not None
    assert bare is not None
    assert (named.model_name, bare.model_name) == ("e1", "run")


def test_a_bare_path_that_is_not_utf8_gives_a_readable_name(borders: Borders, run: Path) -> None:
    odd = run.with_name("r\udcffn" + "x" * 200)
    run.rename(odd)
    version = ingest(event(odd, experiment=None), borders).version
    assert version is not None
    assert version.model_name == ("r\\xffn" + "x" * 200)[:100]


def test_the_same_event_the_same_listing_and_the_same_content_each_answer_with_the_version_that_is_there_already(
    borders: Borders, run: Path
) -> None:
    first = ingest(event(run, 1), borders).version
    same_event, same_listing = ingest(event(run, 1), borders), ingest(event(run, 2), borders)
    (run / "notes.txt").write_text("trained on a Tuesday")
    same_content = ingest(event(run, 3), borders)
    assert first is not None
    for outcome in (same_event, same_listing, same_content):
        assert outcome.version is not None
        assert outcome.version.id == first.id
    assert [one.ingestion.reason for one in (same_event, same_listing, same_content)] == [
        "new-content",
        "same-listing",
        "same-content",
    ]
    assert [version.id for version in borders.registry.versions(VersionQuery())] == [first.id]


class Died(BaseException):
    """The process ends here."""


def nothing_happens(borders: Borders, run: Path) -> Borders:
    return borders


def listed_already(borders: Borders, run: Path) -> Borders:
    ingest(event(run, 2), borders)
    return borders


def kept_already(borders: Borders, run: Path) -> Borders:
    ingest(event(run, 2), borders)
    (run / "model.onnx").write_bytes(onnx.model())
    return borders


def without_a_model(borders: Borders, run: Path) -> Borders:
    (run / "model.onnx").unlink()
    return borders


def gone(borders: Borders, run: Path) -> Borders:
    shutil.rmtree(run)
    return borders


def elsewhere(borders: Borders, run: Path) -> Borders:
    return replace(borders, resolve=partial(resolve, places=Places(roots=("/nowhere",))))


def never_at_rest(borders: Borders, run: Path) -> Borders:
    def step(name: str) -> None:
        (run / "notes.txt").write_text(f"still writing {borders.clock.now()}")

    return replace(borders, step=step)


def unreachable(borders: Borders, run: Path) -> Borders:
    return replace(borders, open_tree=never_opens)


@contextmanager
def never_opens(location: Location) -> Iterator[FileTree]:
    raise TreeUnavailable("", "input/output error")
    yield


def full(borders: Borders, run: Path) -> Borders:
    return replace(borders, store=FailingStore(borders.store))  # type: ignore[arg-type]


def a_bug(borders: Borders, run: Path) -> Borders:
    def inspect(*arguments: object) -> Scan:
        raise ZeroDivisionError("a bug")

    return replace(borders, inspect=inspect)


def a_death(at: str) -> Callable[[Borders, Path], Borders]:
    def happens(borders: Borders, run: Path) -> Borders:
        def step(name: str) -> None:
            if name == at:
                raise Died

        return replace(borders, owner="dead-owner", step=step)

    happens.__name__ = f"a_death_at_{at}"
    return happens


@pytest.mark.parametrize(
    ("happens", "end", "reason"),
    [
        (nothing_happens, "registered", "new-content"),
        (listed_already, "unchanged", "same-listing"),
        (kept_already, "unchanged", "same-content"),
        (without_a_model, "nothing_found", "nothing-found"),
        (gone, "failed", "nothing-there"),
        (elsewhere, "failed", "rejected-location"),
        (never_at_rest, "failed", "kept-changing"),
        (unreachable, "failed", "source-unavailable"),
        (full, "failed", "store-unavailable"),
        (a_bug, "failed", "unforeseen"),
        (a_death("store"), "failed", "worker-lost"),
        (a_death("register"), "failed", "worker-lost"),
        (a_death("registered"), "registered", "new-content"),
    ],
    ids=lambda given: given.__name__ if callable(given) else given,
)
def test_every_accepted_event_ends_in_exactly_one_end_state(
    borders: Borders, run: Path, happens: Callable[[Borders, Path], Borders], end: str, reason: str
) -> None:
    with suppress(ZeroDivisionError, Died):
        ingest(event(run), happens(borders, run))
    recover(borders)
    again = ingest(event(run), borders)
    assert (again.ingestion.state.value, again.ingestion.reason, again.known) == (end, reason, True)
    steps = [entry.state for entry in borders.registry.history(again.ingestion.id)]
    assert [state.value for state in steps if is_end(state)] == [end]
    assert is_end(steps[-1])
    assert list(borders.registry.owned()) == []


def test_after_a_hint_a_run_is_looked_at_a_second_time_though_its_marker_is_there(borders: Borders, run: Path) -> None:
    """What object storage tells of meanwhile is the same event, and nobody looks for it later."""

    class Late(TestClock):
        def sleep(self, seconds: float) -> None:
            if not self.slept:
                (run / "late.txt").write_text("told of while nobody looked")
            super().sleep(seconds)

    (run / "_SUCCESS").touch()
    clock = Late(clock_in_an_hour().at, [])
    outcome = ingest(event(run, trigger=Trigger.NOTIFICATION), replace(borders, clock=clock))
    assert end_of(outcome) == (IngestionState.REGISTERED, "new-content")
    assert outcome.version is not None
    assert "late.txt" in [file.path for file in borders.registry.files(outcome.version.id)]
    assert clock.slept[0] == 5.0


def test_the_same_event_answers_with_the_same_ingestion(borders: Borders, run: Path) -> None:
    first = ingest(event(run), borders)
    again = ingest(event(run), borders)
    assert again.known
    assert again.ingestion == first.ingestion
    assert again.version == first.version


def test_the_same_listing_is_unchanged_without_reading_a_byte(borders: Borders, run: Path) -> None:
    first = ingest(event(run, 1), borders)
    blind = replace(borders, open_tree=partial(open_blind))
    again = ingest(event(run, 2), blind)
    assert end_of(again) == (IngestionState.UNCHANGED, "same-listing")
    assert again.version == first.version


@contextmanager
def open_blind(location: Location) -> Iterator[FileTree]:
    """A tree whose first read fails the test."""
    with open_location(location) as tree:
        yield FlakyTree(tree, 2, AssertionError("a byte was read"))  # type: ignore[arg-type]


def test_the_same_content_is_unchanged_and_its_new_copy_is_removed(borders: Borders, run: Path) -> None:
    first = ingest(event(run, 1), borders)
    assert first.version is not None
    (run / "notes.txt").write_text("trained on a Tuesday")
    again = ingest(event(run, 2), borders)
    assert end_of(again) == (IngestionState.UNCHANGED, "same-content")
    assert again.version is not None
    assert again.version.id == first.version.id
    assert [version_id for version_id, _ in borders.store.prefixes()] == [first.version.id]


def test_after_the_same_content_the_new_listing_is_known_too(borders: Borders, run: Path) -> None:
    ingest(event(run, 1), borders)
    (run / "notes.txt").write_text("trained on a Tuesday")
    ingest(event(run, 2), borders)
    assert end_of(ingest(event(run, 3), borders)) == (IngestionState.UNCHANGED, "same-listing")


def test_a_renamed_file_is_a_new_version(borders: Borders, run: Path) -> None:
    ingest(event(run, 1), borders)
    (run / "notes.txt").rename(run / "readme.txt")
    outcome = ingest(event(run, 2), borders)
    assert outcome.version is not None
    assert outcome.version.number == 2


def test_equal_bytes_of_another_experiment_are_a_version_linked_to_the_first(borders: Borders, run: Path) -> None:
    first = ingest(event(run, 1), borders).version
    other = ingest(event(run, 2, experiment="e2"), borders).version
    assert first is not None
    assert other is not None
    assert (other.duplicate_of, other.model_name, other.number) == (first.id, "e2", 1)


def test_equal_bytes_of_another_team_are_told_to_nobody(borders: Borders, run: Path) -> None:
    ingest(event(run, 1), borders)
    other = ingest(event(run, 2, team="blue"), borders).version
    assert other is not None
    assert other.duplicate_of is None


def test_a_referenced_model_is_hashed_and_stays_where_it_is(borders: Borders, run: Path) -> None:
    referencing = replace(borders, resolve=partial(resolve, places=Places(mode=StoreMode.REFERENCE)))
    version = ingest(event(run), referencing).version
    copied = ingest(event(run, 2, experiment="e2"), borders).version
    assert version is not None
    assert copied is not None
    assert (version.store, version.url) == (StoreMode.REFERENCE, f"file://{run}")
    assert version.digest == copied.digest
    assert [version_id for version_id, _ in borders.store.prefixes()] == [copied.id]


def test_a_path_without_models_ends_as_nothing_found(borders: Borders, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "readme.txt").write_text("hello")
    outcome = ingest(event(folder), borders)
    assert end_of(outcome) == (IngestionState.NOTHING_FOUND, "nothing-found")
    assert outcome.ingestion.message == f"no model in the one file below {folder}"
    assert list(borders.store.prefixes()) == []


def test_a_path_that_is_not_there_is_rejected_in_words(borders: Borders, tmp_path: Path) -> None:
    outcome = ingest(event(tmp_path / "missing"), borders)
    assert end_of(outcome) == (IngestionState.FAILED, "nothing-there")
    assert "there is nothing at this path" in (outcome.ingestion.message or "")


def test_a_file_that_changed_a_moment_ago_is_waited_for(borders: Borders, run: Path) -> None:
    clock = TestClock(datetime.now(UTC), [])
    assert end_of(ingest(event(run), replace(borders, clock=clock)))[0] is IngestionState.REGISTERED
    assert 0 < sum(clock.slept) <= 10.1


def test_a_tree_that_never_rests_ends_after_the_patience(borders: Borders, run: Path) -> None:
    clock = clock_in_an_hour()

    def still_writing(seconds: float) -> None:
        TestClock.sleep(clock, seconds)
        with (run / "log.txt").open("a") as log:
            log.write("x")

    restless = replace(borders, clock=clock, quiet_seconds=lambda location: 7200.0, patience_seconds=20000.0)
    clock.sleep = still_writing  # type: ignore[method-assign]
    outcome = ingest(event(run), restless)
    assert end_of(outcome) == (IngestionState.FAILED, "kept-changing")


def notes_named(text: str) -> NamedFile:
    """What a sender says of notes that are about to hold *text*."""
    return NamedFile("notes.txt", len(text), sha256(text.encode()).hexdigest())


def test_a_file_of_full_size_is_waited_for_until_it_has_the_named_digest(borders: Borders, run: Path) -> None:
    (run / "notes.txt").write_bytes(bytes(9))
    clock = clock_in_an_hour()

    def written_in_the_end(seconds: float) -> None:
        TestClock.sleep(clock, seconds)
        if sum(clock.slept) > 20:
            (run / "notes.txt").write_text("all there")

    clock.sleep = written_in_the_end  # type: ignore[method-assign]
    outcome = ingest(event(run, files=(notes_named("all there"),)), replace(borders, clock=clock))
    assert end_of(outcome) == (IngestionState.REGISTERED, "new-content")
    assert outcome.version is not None
    with borders.store.opened(outcome.version.url) as tree:
        assert content(tree)["notes.txt"] == b"all there"
    assert [version_id for version_id, _ in borders.store.prefixes()] == [outcome.version.id]


def test_a_file_that_never_has_the_named_digest_ends_with_nothing_kept(borders: Borders, run: Path) -> None:
    (run / "notes.txt").write_bytes(bytes(9))
    outcome = ingest(event(run, files=(notes_named("all there"),)), borders)
    assert end_of(outcome) == (IngestionState.FAILED, "kept-changing")
    expected, found = sha256(b"all there").hexdigest(), sha256(bytes(9)).hexdigest()
    assert f"notes.txt: expected SHA-256 {expected}, found {found}" in (outcome.ingestion.message or "")
    assert list(borders.store.prefixes()) == []


def test_the_same_listing_is_no_answer_to_an_event_that_names_another_content(borders: Borders, run: Path) -> None:
    named = notes_named("trained on a Tuesday")
    assert end_of(ingest(event(run, 1, files=(named,)), borders))[0] is IngestionState.REGISTERED
    assert end_of(ingest(event(run, 2, files=(named,)), borders)) == (IngestionState.UNCHANGED, "same-listing")
    other = ingest(event(run, 3, files=(notes_named("trained on a Sunday!"),)), borders)
    assert end_of(other) == (IngestionState.FAILED, "kept-changing")


def test_a_file_that_changes_while_it_is_read_is_looked_at_again(borders: Borders, run: Path) -> None:
    steps: list[str] = []

    def step(name: str) -> None:
        if name == "store" and "store" not in steps:
            (run / "notes.txt").write_text("trained on a Wednesday")
        steps.append(name)

    outcome = ingest(event(run), replace(borders, step=step))
    assert end_of(outcome)[0] is IngestionState.REGISTERED
    assert steps.count("store") == 2
    assert outcome.version is not None
    with borders.store.opened(outcome.version.url) as tree:
        assert content(tree) == {"model.onnx": onnx.model(), "notes.txt": b"trained on a Wednesday"}


def test_a_file_that_keeps_changing_ends_with_nothing_kept(borders: Borders, run: Path) -> None:
    def step(name: str) -> None:
        if name == "store":
            with (run / "notes.txt").open("a") as notes:
                notes.write("!")

    outcome = ingest(event(run), replace(borders, step=step))
    assert end_of(outcome) == (IngestionState.FAILED, "kept-changing")
    assert list(borders.store.prefixes()) == []


def test_the_source_is_never_changed(borders: Borders, run: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.iterdir()}
    ingest(event(run), borders)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.iterdir()} == before


def test_a_read_that_fails_once_is_tried_again_whichever_it_is(borders: Borders, run: Path) -> None:
    for fail_at in range(1, 40):
        outcome = ingest(event(run, fail_at, experiment=f"n{fail_at}"), replace(borders, open_tree=flaky(fail_at)))
        assert end_of(outcome)[0] is IngestionState.REGISTERED, fail_at
    kept = {version_id for version_id, _ in borders.store.prefixes()}
    assert kept == {version.id for version in borders.registry.versions(VersionQuery(limit=1000))}


def flaky(fail_at: int) -> Callable[[Location], contextmanager[FileTree]]:  # type: ignore[type-arg]
    """A way to open trees of which only the first is flaky."""
    opened: list[Location] = []

    @contextmanager
    def open_flaky(location: Location) -> Iterator[FileTree]:
        opened.append(location)
        with open_location(location) as tree:
            yield FlakyTree(tree, fail_at, TreeUnavailable("model.onnx", "input/output error")) if len(opened) == 1 else tree

    return open_flaky  # type: ignore[return-value]


def test_a_source_that_never_answers_ends_visibly(borders: Borders, run: Path) -> None:
    @contextmanager
    def broken(location: Location) -> Iterator[FileTree]:
        with open_location(location) as tree:
            yield FlakyTree(tree, 1, TreeUnavailable("model.onnx", "input/output error"))

    outcome = ingest(event(run), replace(borders, open_tree=broken))
    assert end_of(outcome) == (IngestionState.FAILED, "source-unavailable")
    assert "tried 4 times" in (outcome.ingestion.message or "")


class FailingStore:
    """A store whose disk is full."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    @contextmanager
    def writing(self, *arguments: object) -> Iterator[object]:
        raise StorageUnavailable("disk full")
        yield


def test_a_full_disk_ends_visibly_and_leaves_nothing(borders: Borders, run: Path) -> None:
    outcome = ingest(event(run), replace(borders, store=FailingStore(borders.store)))  # type: ignore[arg-type]
    assert end_of(outcome) == (IngestionState.FAILED, "store-unavailable")
    assert list(borders.store.prefixes()) == []


def test_a_registration_whose_answer_was_lost_is_not_made_twice(borders: Borders, run: Path) -> None:
    """The database commits, and the connection breaks before it says so."""

    class Forgetful:
        def __init__(self, registry: Registry) -> None:
            self._registry = registry
            self.lost = 0

        def __getattr__(self, name: str) -> object:
            return getattr(self._registry, name)

        def register(self, *arguments: object) -> object:
            self._registry.register(*arguments)  # type: ignore[arg-type]
            self.lost += 1
            raise RegistryUnavailable("connection lost")

    registry = Forgetful(borders.registry)
    outcome = ingest(event(run), replace(borders, registry=registry))  # type: ignore[arg-type]
    assert registry.lost == 1
    assert end_of(outcome)[0] is IngestionState.REGISTERED
    assert outcome.version is not None
    assert [version_id for version_id, _ in borders.store.prefixes()] == [outcome.version.id]


def test_a_bug_ends_the_ingestion_and_is_raised(borders: Borders, run: Path) -> None:
    def broken(event: CompletionEvent) -> Location:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        ingest(event(run), replace(borders, resolve=broken))
    again = ingest(event(run), borders)
    assert end_of(again) == (IngestionState.FAILED, "unforeseen")
    *before, last = borders.registry.history(again.ingestion.id)
    assert last.message == "ZeroDivisionError: a bug"
    assert last.backtrace is not None
    told = last.backtrace.splitlines()
    assert (told[0], told[-1].endswith("in broken")) == ("ZeroDivisionError: a bug", True)
    assert "  worker/ingest.py:" in last.backtrace
    assert [entry.backtrace for entry in before] == [None, None]


def test_what_was_found_is_known_also_where_it_could_not_be_kept(borders: Borders, run: Path) -> None:
    found = ingest(event(run, 1), full(borders, run)).ingestion
    assert (found.state, found.format) == (IngestionState.FAILED, "onnx")
    assert ingest(event(run, 2), borders).ingestion.format == "onnx"
    assert ingest(event(run, 3), borders).ingestion.format == "onnx"
    shutil.rmtree(run)
    assert ingest(event(run, 4), borders).ingestion.format is None


def test_a_process_that_died_is_ended_by_the_next_run(borders: Borders, run: Path) -> None:
    def step(name: str) -> None:
        if name == "register":
            raise Died

    with pytest.raises(Died):
        ingest(event(run), replace(borders, owner="dead-owner", step=step))
    assert len(list(borders.store.prefixes())) == 1
    outcome = ingest(event(run, 2), borders)
    assert end_of(outcome)[0] is IngestionState.REGISTERED
    assert outcome.version is not None
    assert [version_id for version_id, _ in borders.store.prefixes()] == [outcome.version.id]
    assert end_of(ingest(event(run, 1), borders)) == (IngestionState.FAILED, "worker-lost")
    assert list(borders.registry.owned()) == []


def test_a_living_process_is_left_to_its_work(borders: Borders, run: Path) -> None:
    ingestion, _ = borders.registry.submit(event(run, 1), borders.clock.now())
    borders.registry.claim(ingestion.id, "other-owner", borders.clock.now())
    alive = replace(borders, is_dead=lambda owner: False)
    assert end_of(ingest(event(run, 1), alive))[0] is IngestionState.RUNNING
    assert end_of(ingest(event(run, 2), alive))[0] is IngestionState.REGISTERED
    assert [one.id for one in borders.registry.owned()] == [ingestion.id]


def test_a_declared_type_that_is_not_there_is_a_finding(borders: Borders, run: Path) -> None:
    outcome = ingest(event(run, declared_type=ModelType.TENSORFLOW), borders)
    assert outcome.scan is not None
    assert [(finding.rule, finding.severity.value) for finding in outcome.scan.findings] == [("type-mismatch", "medium")]


def test_a_flipped_bit_in_the_variables_is_corrupt_by_its_checksum(borders: Borders, tmp_path: Path) -> None:
    run = tmp_path / "digits"
    shutil.copytree(Path(__file__).parents[2] / "examples" / "digits", run)
    shard = run / "1767261900" / "variables" / "variables.data-00000-of-00001"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0x10
    shard.write_bytes(data)
    version = ingest(event(run), borders).version
    assert version is not None
    assert version.completeness == "corrupt"
    assert version.verdict == "findings"
    assert "1767261900/variables/variables.data-00000-of-00001" in version.report


def test_a_flipped_bit_in_a_checkpoint_of_the_first_format_is_corrupt_by_its_checksum(borders: Borders, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    whole = build.single_file([("w", build.FLOAT, (1,)), ("n", build.INT64, ())])
    (tmp_path / "run" / "model.ckpt").write_bytes(whole.replace(b"data", b"dat@", 1))
    version = ingest(event(tmp_path / "run"), borders).version
    assert version is not None
    assert version.completeness == "corrupt"
    assert "the checksum of the block at byte" in version.report


def test_a_link_on_the_way_never_leads_out_of_the_allowed_root(borders: Borders, run: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "model").symlink_to(run)
    rooted = replace(borders, resolve=partial(resolve, places=Places(roots=(str(allowed),))))
    outcome = ingest(event(allowed / "model"), rooted)
    assert end_of(outcome) == (IngestionState.FAILED, "rejected-location")
    assert "outside the allowed root" in (outcome.ingestion.message or "")
    mounted = replace(borders, resolve=partial(resolve, places=Places((Mount("/artifacts", str(allowed)),))))
    assert end_of(ingest(event(Path("/artifacts/model"), 2), mounted)) == (IngestionState.FAILED, "rejected-location")


def test_a_link_inside_the_allowed_root_is_followed(borders: Borders, run: Path) -> None:
    (run.parent / "latest").symlink_to(run)
    rooted = replace(borders, resolve=partial(resolve, places=Places(roots=(str(run.parent),))))
    assert end_of(ingest(event(run.parent / "latest"), rooted))[0] is IngestionState.REGISTERED


def test_a_name_that_was_not_given_is_said(borders: Borders, run: Path) -> None:
    ingest(event(run, 1, name="net"), borders)
    again = ingest(event(run, 2, name="other"), borders)
    assert again.ingestion.message is not None
    assert again.ingestion.message.endswith("; it keeps its name, other was not given to it")


def test_a_link_that_appears_beside_the_files_is_told_and_stays_told(borders: Borders, run: Path) -> None:
    assert ingest(event(run, 1), borders).ingestion.state is IngestionState.REGISTERED
    (run / "secret").symlink_to("/etc/passwd")
    for number in (2, 3):
        outcome = ingest(event(run, number), borders)
        assert outcome.version is not None
        assert (outcome.ingestion.state, outcome.version.verdict) == (IngestionState.UNCHANGED, "findings")


def test_what_a_declared_type_shows_is_kept_with_the_version(borders: Borders, run: Path) -> None:
    ingest(event(run, 1), borders)
    for number in (2, 3):
        version = ingest(event(run, number, declared_type=ModelType.TENSORFLOW), borders).version
        assert version is not None
        assert "type-mismatch" in version.report


def copy_of(borders: Borders, outcome: Ingested) -> list[str]:
    assert outcome.version is not None
    with borders.store.opened(outcome.version.url) as tree:
        return [entry.path for entry in tree.files()]


@pytest.mark.parametrize("touched", [False, True])
def test_a_copy_that_lost_a_file_is_whole_again_after_the_next_ingest(borders: Borders, run: Path, touched: bool) -> None:
    first = ingest(event(run, 1), borders)
    whole = copy_of(borders, first)
    assert first.version is not None
    borders.store.remove(first.version.url)
    if touched:
        (run / "model.onnx").touch()
    again = ingest(event(run, 2), borders)
    assert again.version is not None
    assert (again.version.id, again.ingestion.state) == (first.version.id, IngestionState.UNCHANGED)
    assert copy_of(borders, again) == whole
    assert [id for id, _ in borders.store.prefixes()] == [first.version.id]


class Changed:
    """Any border, some of whose methods are others."""

    def __init__(self, inner: object, **others: object) -> None:
        self._inner, self._others = inner, others

    def __getattr__(self, name: str) -> Any:
        return self._others[name] if name in self._others else getattr(self._inner, name)


def spoil(borders: Borders, outcome: Ingested) -> None:
    """Change a byte in the copy that a version has."""
    assert outcome.version is not None
    version = outcome.version
    key = StoreKey(version.team, version.project, version.experiment, version.id)
    with borders.store.opened(version.url) as tree, borders.store.writing(key) as open_sink:
        for entry in tuple(tree.files()):
            data = tree.read(entry.path, 0, entry.size)
            with open_sink(entry) as sink:
                sink.write(bytes([data[0] ^ 1]) + data[1:])


def digests_of_copy(borders: Borders, outcome: Ingested) -> set[tuple[str, str]]:
    assert outcome.version is not None
    with borders.store.opened(outcome.version.url) as tree:
        return {(one.path, sha256(tree.read(one.path, 0, one.size)).hexdigest()) for one in tuple(tree.files())}


def test_a_forced_look_mends_a_spoilt_copy_and_leaves_a_sound_one(borders: Borders, run: Path) -> None:
    first = ingest(event(run, 1), borders)
    sound = digests_of_copy(borders, first)
    steps: list[str] = []
    noted = replace(borders, step=steps.append)
    assert ingest(event(run, 2, is_forced=True), noted).ingestion.state is IngestionState.UNCHANGED
    assert digests_of_copy(borders, first) == sound
    assert "mended" not in steps
    spoil(borders, first)
    assert ingest(event(run, 3), borders).ingestion.state is IngestionState.UNCHANGED
    assert digests_of_copy(borders, first) != sound, "nobody asked to read it"
    assert ingest(event(run, 4, is_forced=True), noted).ingestion.state is IngestionState.UNCHANGED
    assert digests_of_copy(borders, first) == sound
    assert "mended" in steps


def test_an_end_of_writing_that_takes_longer_than_a_lease_keeps_it(borders: Borders, run: Path) -> None:
    freed: list[object] = []

    @contextmanager
    def ends_slowly(key: StoreKey, size_bytes: int, alive: Alive, *earlier: Any) -> Iterator[OpenSink]:
        with borders.store.writing(key, size_bytes, alive) as open_sink:
            yield open_sink
            for _ in range(6):
                borders.clock.sleep(LEASE_SECONDS / 2)
                alive()
            freed.extend(recover(replace(borders, owner="another", is_dead=lambda owner: False)))

    slow: Any = Changed(borders.store, writing=ends_slowly)
    outcome = ingest(event(run, 1), replace(borders, store=slow))
    assert (outcome.ingestion.state, freed) == (IngestionState.REGISTERED, [])


def test_a_copy_that_cannot_be_mended_stays_as_it_is(borders: Borders, run: Path) -> None:
    first = ingest(event(run, 1), borders)
    assert first.version is not None
    spoil(borders, first)
    spoilt = digests_of_copy(borders, first)

    @contextmanager
    def fails_late(key: StoreKey, size_bytes: int, alive: Alive, *earlier: Any) -> Iterator[OpenSink]:
        with borders.store.writing(key, size_bytes, alive) as open_sink:
            yield open_sink
            if first.version is not None and key.version_id == first.version.id:
                raise StorageUnavailable("the disk is full")

    failing: Any = Changed(borders.store, writing=fails_late)
    outcome = ingest(event(run, 2, is_forced=True), replace(borders, store=failing))
    assert (outcome.ingestion.state, outcome.ingestion.reason) == (IngestionState.FAILED, "store-unavailable")
    assert digests_of_copy(borders, first) == spoilt
    assert [id for id, _ in borders.store.prefixes()] == [first.version.id]


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_copy_that_could_not_be_forgotten_while_the_database_was_away_is_forgotten_when_it_answers(
    is_lost: bool, borders: Borders, run: Path
) -> None:
    """The first registering fails, and so does the question after it, whether the version is there."""
    registering, asking = iter([True]), iter([True])

    def register(*arguments: Any) -> Any:
        if not next(registering, False):
            return borders.registry.register(*arguments)
        if is_lost:
            return None
        raise RegistryUnavailable("the server has gone away")

    def version(*arguments: Any) -> Any:
        if next(asking, False):
            raise RegistryUnavailable("the server is starting")
        return borders.registry.version(*arguments)

    registry: Any = Changed(borders.registry, register=register, version=version)
    ingest(event(run, 1), replace(borders, registry=registry, clock=clock_in_an_hour()))
    assert next(asking, "asked") == "asked"
    kept = {version_id for version_id, is_kept in borders.registry.store_keys() if is_kept}
    assert {version_id for version_id, _ in borders.store.prefixes()} == kept


def test_who_lost_the_lease_says_nothing_about_where_a_version_is_kept(borders: Borders, run: Path) -> None:
    first = ingest(event(run, 1), borders)
    assert first.version is not None
    borders.store.remove(first.version.url)
    (run / "model.onnx").touch()
    noted: list[object] = []
    registry: Any = Changed(borders.registry, beat=lambda *_: False, kept_at=lambda *where: noted.append(where))
    ingest(event(run, 2), replace(borders, registry=registry))
    assert noted == []


def test_a_reference_becomes_a_copy_where_copies_are_wanted(borders: Borders, run: Path) -> None:
    def by(mode: StoreMode) -> Borders:
        return replace(borders, resolve=partial(resolve, places=Places(mode=mode)))

    first = ingest(event(run, 1), by(StoreMode.REFERENCE)).version
    again = ingest(event(run, 2), by(StoreMode.COPY))
    assert first is not None
    assert again.version is not None
    assert (first.store, again.version.store, again.version.id) == (StoreMode.REFERENCE, StoreMode.COPY, first.id)
    assert copy_of(borders, again) == [entry.path for entry in borders.registry.files(first.id)]


def test_a_reference_follows_its_files_to_where_they_moved(borders: Borders, run: Path) -> None:
    referring = replace(borders, resolve=partial(resolve, places=Places(mode=StoreMode.REFERENCE)))
    first = ingest(event(run, 1, experiment="x"), referring).version
    moved = run.rename(run.parent / "moved")
    again = ingest(event(moved, 2, experiment="x"), referring).version
    assert first is not None
    assert again is not None
    assert (again.id, again.location) == (first.id, moved.as_uri())


def test_a_folder_that_may_not_be_listed_is_no_part_to_leave_out(borders: Borders, tmp_path: Path) -> None:
    closed = tmp_path / "run" / "closed"
    closed.mkdir(parents=True)

    @contextmanager
    def with_a_closed_folder(location: Location) -> Iterator[FileTree]:
        with open_location(location) as tree:
            yield HidesFolder(tree)

    outcome = ingest(event(tmp_path / "run"), replace(borders, open_tree=with_a_closed_folder))
    assert end_of(outcome) == (IngestionState.FAILED, "unreadable")
    assert outcome.ingestion.message == "closed: may not be listed (Permission denied)"


class HidesFolder:
    """A tree with a folder that may not be listed: root may list everything, so a test by root needs to be told."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        return (PassedOver("closed", Passed.UNREADABLE, "may not be listed (Permission denied)"),)

    def files(self) -> Iterator[FileEntry]:
        return self._tree.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        return self._tree.read(path, start, stop)


def test_an_end_is_written_down_again_where_the_registry_does_not_answer_for_a_moment(borders: Borders, tmp_path: Path) -> None:
    calls: list[str] = []

    class Hesitates:
        def __getattr__(self, name: str) -> object:
            return getattr(borders.registry, name)

        def finish(self, *arguments: object) -> bool:
            calls.append("finish")
            if len(calls) == 1:
                raise RegistryUnavailable("away")
            return borders.registry.finish(*arguments)  # type: ignore[arg-type]

    outcome = ingest(event(tmp_path / "nowhere"), replace(borders, registry=Hesitates()))
    assert end_of(outcome) == (IngestionState.FAILED, "nothing-there")
    assert len(calls) == 2


def test_a_registration_whose_answer_was_lost_keeps_its_copy_whatever_comes_after(borders: Borders, run: Path) -> None:
    class LosesTheAnswer:
        def __getattr__(self, name: str) -> object:
            return getattr(borders.registry, name)

        def register(self, *arguments: object) -> object:
            borders.registry.register(*arguments)  # type: ignore[arg-type]
            (run / "late.txt").write_text("late")
            raise RegistryUnavailable("the connection was lost")

    outcome = ingest(event(run), replace(borders, registry=LosesTheAnswer()))
    assert outcome.ingestion.state is IngestionState.REGISTERED
    assert copy_of(borders, outcome) == ["model.onnx", "notes.txt"]


class HidesNotes:
    """The same tree, in which notes.txt may not be read."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree

    def files(self) -> Iterator[FileEntry]:
        return self._tree.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        if path == "notes.txt":
            raise Unreadable(path, "may not be read (Permission denied)")
        return self._tree.read(path, start, stop)


@pytest.mark.parametrize("mode", list(StoreMode))
def test_a_file_beside_a_model_that_may_not_be_read_leaves_nothing_registered(
    borders: Borders, run: Path, mode: StoreMode
) -> None:
    """A copy needs every file, and so do the digests of a reference; a scan needs only the files of the model."""

    @contextmanager
    def with_hidden_notes(location: Location) -> Iterator[FileTree]:
        with open_location(location) as tree:
            yield HidesNotes(tree)

    keeping = replace(borders, open_tree=with_hidden_notes, resolve=partial(resolve, places=Places(mode=mode)))
    outcome = ingest(event(run), keeping)
    assert end_of(outcome) == (IngestionState.FAILED, "unreadable")
    assert outcome.ingestion.message == "notes.txt: may not be read (Permission denied)"
    assert list(borders.store.prefixes()) == []
    with open_location(Location("", str(run), mode)) as tree:
        assert scan(HidesNotes(tree)).verdict is Verdict.CLEAN


@pytest.mark.parametrize("moment", ["wait", "ingestion", "claim", "sleep"])
@pytest.mark.parametrize(
    ("trigger", "state"),
    [(Trigger.CLI, IngestionState.FAILED), (Trigger.RESCAN, IngestionState.WAITING)],
    ids=["cli", "rescan"],
)
def test_what_is_stopped_between_two_looks_is_let_go_of(
    moment: str, trigger: Trigger, state: IngestionState, borders: Borders, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just after the pause was written, before it is read, while it lasts, and before the next claim."""
    young = replace(borders, clock=TestClock(datetime.now(UTC), []))
    of = young.clock if moment == "sleep" else young.registry
    real, calls = getattr(of, moment), []

    def stop(*given: Any) -> Any:
        calls.append(given)
        if len(calls) > 1 or (moment == "claim" and not young.clock.slept):  # type: ignore[attr-defined]
            return real(*given)
        if moment == "wait":
            real(*given)
        raise SystemExit(143)

    monkeypatch.setattr(of, moment, stop)
    with pytest.raises(SystemExit):
        ingest(event(run, trigger=trigger), young)
    [left] = young.registry.ingestions(IngestionQuery("default"))
    assert (left.state, left.reason, left.owner) == (state, "interrupted", None)
