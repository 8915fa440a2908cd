"""The runner: what it claims, what it survives, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from detectors.tree import FileEntry, FileTree
from tests.attacks.named_code import WEIGHTS
from tests.builders import onnx
from tests.worker.test_ingest import TestClock, clock_in_an_hour, make_borders
from worker import runner as running
from worker.ingest import Borders
from worker.lifecycle import LEASE_SECONDS
from worker.locations import Places, resolve
from worker.reach import open_location
from worker.records import (
    CompletionEvent,
    Counted,
    Ingestion,
    IngestionState,
    Location,
    StoreKey,
    StoreMode,
    Trigger,
    VersionQuery,
)
from worker.registry.memory import MemoryRegistry
from worker.runner import MOST_ABANDONED, Runner, abandoned
from worker.storage.memory import MemoryStore


@pytest.fixture
def borders() -> Borders:
    return make_borders(MemoryRegistry(), MemoryStore())


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        onnx.run_at(tmp_path / name)
    return tmp_path


def submit(borders: Borders, path: Path, id: str | None = None) -> Ingestion:
    event = CompletionEvent("test", id or path.name, str(path), experiment=path.name, trigger=Trigger.COMPLETION)
    return borders.registry.submit(event, borders.clock.now())[0]


def saved_model(folder: Path) -> Path:
    """Put a real SavedModel into *folder* and return where it is."""
    return Path(shutil.copytree(Path(__file__).parents[2] / "examples" / "digits" / "1767261900", folder / "1767261900"))


def standing(borders: Borders, ingestion: Ingestion) -> Ingestion:
    now = borders.registry.ingestion(ingestion.event.team, ingestion.id)
    assert now is not None
    return now


def test_the_queue_is_worked_off_in_its_order(borders: Borders, runs: Path) -> None:
    waiting = [submit(borders, runs / name) for name in ("a", "b", "c")]
    runner = Runner(borders, "w")
    assert runner.work_off(10) == 3
    assert [standing(borders, one).state for one in waiting] == [IngestionState.REGISTERED] * 3
    assert not runner.work_next()


def test_who_works_off_several_tells_others_once_and_before_it_begins(borders: Borders, runs: Path) -> None:
    waiting = [submit(borders, runs / name) for name in ("a", "b", "c")]
    states: list[IngestionState] = []
    Runner(borders, "w", lambda: states.append(standing(borders, waiting[0]).state)).work_off(10)
    assert states == [IngestionState.RUNNING]


def test_who_takes_the_last_one_tells_nobody(borders: Borders, runs: Path) -> None:
    submit(borders, runs / "a")
    rung: list[int] = []
    assert Runner(borders, "w", lambda: rung.append(1)).work_off(10) == 1
    assert rung == []


def test_the_times_of_steps_are_counted_when_nothing_waits(borders: Borders, runs: Path) -> None:
    submit(borders, runs / "a")
    submit(borders, runs / "nowhere")
    runner = Runner(borders, "w")
    assert runner.work_off(10) == 2
    counted = {dict(one.labels)["step"]: one.value for one in borders.registry.counters() if one.name is Counted.STEPPED}
    assert counted == {"resolve": 2, "settle": 1, "detect": 1, "store": 1, "register": 1}


def test_no_two_claims_have_the_same_owner(borders: Borders, runs: Path) -> None:
    owners = set()
    for name in ("a", "b"):
        ingestion = submit(borders, runs / name)
        Runner(borders, "w").work_next()
        owners |= {entry.message for entry in borders.registry.history(ingestion.id) if entry.reason == "claimed"}
    assert len(owners) == 2


def test_what_one_attempt_raises_ends_or_delays_its_ingestion_and_never_the_worker(borders: Borders, runs: Path) -> None:
    @contextmanager
    def broken(location: Location) -> Iterator[FileTree]:
        raise RuntimeError("nobody thought of this")
        yield

    ingestion = submit(borders, runs / "a")
    assert Runner(replace(borders, open_tree=broken), "w").work_next()
    now = standing(borders, ingestion)
    assert (now.state, now.reason, now.message) == (
        IngestionState.FAILED,
        "unforeseen",
        "RuntimeError: nobody thought of this",
    )


def test_what_is_not_there_yet_is_looked_for_a_second_time(borders: Borders, runs: Path) -> None:
    ingestion = submit(borders, runs / "late")
    runner = Runner(borders, "w")
    assert runner.work_off(5) == 1
    assert (standing(borders, ingestion).state, standing(borders, ingestion).attempts) == (IngestionState.WAITING, 0)
    (runs / "c").rename(runs / "late")
    for _ in range(2):
        borders.clock.sleep(5.0)
        assert runner.work_off(5) == 1
    assert standing(borders, ingestion).state is IngestionState.REGISTERED


def test_what_never_comes_fails_at_the_second_look(borders: Borders, runs: Path) -> None:
    ingestion = submit(borders, runs / "nowhere")
    Runner(borders, "w").work_off(5)
    borders.clock.sleep(5.0)
    Runner(borders, "w").work_off(5)
    assert (standing(borders, ingestion).state, standing(borders, ingestion).reason) == (IngestionState.FAILED, "nothing-there")


def test_an_incomplete_model_is_waited_for_until_it_is_whole(borders: Borders, runs: Path) -> None:
    shard = saved_model(runs / "a") / "variables" / "variables.data-00000-of-00001"
    shard.rename(runs / "shard")
    ingestion = submit(borders, runs / "a")
    runner = Runner(borders, "w")
    for _ in range(3):
        assert runner.work_next()
        assert (standing(borders, ingestion).state, standing(borders, ingestion).attempts) == (IngestionState.WAITING, 0)
        assert "incomplete" in (standing(borders, ingestion).message or "")
        borders.clock.sleep(5.0)
    (runs / "shard").rename(shard)
    while standing(borders, ingestion).state is IngestionState.WAITING:
        runner.work_next()
        borders.clock.sleep(5.0)
    assert standing(borders, ingestion).state is IngestionState.REGISTERED


@pytest.mark.parametrize(
    ("name", "size", "end"),
    [("model.onnx", 60, IngestionState.REGISTERED), ("model.onnx.part", 3, IngestionState.NOTHING_FOUND)],
)
def test_half_a_file_is_no_model_and_no_broken_one_while_it_may_still_be_written(
    name: str, size: int, end: IngestionState, borders: Borders, runs: Path
) -> None:
    whole = (runs / "a" / "model.onnx").read_bytes()
    (runs / "a" / "model.onnx").unlink()
    (runs / "a" / name).write_bytes(whole[:size])
    ingestion = submit(borders, runs / "a")
    fresh = replace(borders, clock=TestClock(datetime.now(UTC) + timedelta(seconds=6), []), file_time=None)
    runner = Runner(fresh, "w")
    for _ in range(3):
        assert runner.work_next()
        assert standing(borders, ingestion).message == "no whole model is there, and one may still be written"
        fresh.clock.sleep(5.0)
    fresh.clock.sleep(60.0)
    runner.work_next()
    assert standing(borders, ingestion).state is end


@pytest.mark.parametrize("off_seconds", [-7200.0, 7200.0])
def test_a_clock_that_is_two_hours_off_neither_hurries_nor_delays_a_worker(
    off_seconds: float, borders: Borders, runs: Path
) -> None:
    ingestion = submit(borders, runs / "a")
    clock = TestClock(datetime.now(UTC) + timedelta(seconds=1), [])
    runner = Runner(replace(borders, clock=clock, file_time=lambda: clock.now().timestamp() + off_seconds), "w")
    assert runner.work_next()
    assert standing(borders, ingestion).message == "files changed a moment ago"
    clock.sleep(5.0)
    assert runner.work_next()
    assert standing(borders, ingestion).state is IngestionState.REGISTERED


def test_what_stays_incomplete_fails_with_what_is_missing(borders: Borders, runs: Path) -> None:
    (saved_model(runs / "a") / "variables" / "variables.data-00000-of-00001").unlink()
    ingestion = submit(borders, runs / "a")
    while standing(borders, ingestion).state in (IngestionState.RECEIVED, IngestionState.WAITING):
        Runner(borders, "w").work_next()
        borders.clock.sleep(5.0)
    now = standing(borders, ingestion)
    assert (now.state, now.reason) == (IngestionState.FAILED, "incomplete")
    assert "variables.data-00000-of-00001" in (now.message or "")


def test_a_whole_model_is_registered_beside_one_that_nobody_finishes(borders: Borders, runs: Path) -> None:
    """But not while the files have not rested for half of the patience: it may come."""
    saved_model(runs / "a")
    (saved_model(runs / "a" / "old") / "variables" / "variables.data-00000-of-00001").unlink()
    begun = datetime.now(UTC)
    borders = replace(borders, clock=TestClock(begun, []))
    ingestion = submit(borders, runs / "a")
    while standing(borders, ingestion).state in (IngestionState.RECEIVED, IngestionState.WAITING):
        Runner(borders, "w").work_next()
        borders.clock.sleep(1.0)
    assert standing(borders, ingestion).state is IngestionState.REGISTERED
    assert 30.0 <= (borders.clock.now() - begun).total_seconds() < 60.0
    (version,) = borders.registry.versions(VersionQuery())
    assert version.completeness == "incomplete"


def test_a_whole_model_that_the_run_is_not_about_is_not_taken_for_it(borders: Borders, tmp_path: Path) -> None:
    """A draft beside the first shard of a large model; the other shard comes as one object, late."""
    index = {"metadata": {}, "weight_map": {name: f"model-0000{name}-of-00002.safetensors" for name in ("1", "2")}}
    files = {"config.json": b'{"model_type": "llama"}', "model-00001-of-00002.safetensors": WEIGHTS}
    draft = {"draft/config.json": files["config.json"], "draft/model.safetensors": WEIGHTS}
    for path, content in {**files, **draft, "model.safetensors.index.json": json.dumps(index).encode()}.items():
        (tmp_path / "run" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / path).write_bytes(content)
    ingestion = submit(borders, tmp_path / "run")
    while standing(borders, ingestion).state in (IngestionState.RECEIVED, IngestionState.WAITING):
        Runner(borders, "w").work_next()
        borders.clock.sleep(5.0)
    now = standing(borders, ingestion)
    assert (now.state, now.reason) == (IngestionState.FAILED, "incomplete")
    assert "model-00002-of-00002.safetensors" in (now.message or "")


def test_what_is_waited_for_long_is_looked_at_less_often(borders: Borders, runs: Path) -> None:
    (saved_model(runs / "a") / "variables" / "variables.data-00000-of-00001").unlink()
    patient = replace(borders, patience_seconds=3600.0)
    ingestion, pauses = submit(patient, runs / "a"), [0.0]
    while (now := standing(patient, ingestion)).state in (IngestionState.RECEIVED, IngestionState.WAITING):
        if now.run_after is not None:
            pauses.append((now.run_after - patient.clock.now()).total_seconds())
            assert pauses[-1] <= max(pauses[1], sum(pauses[:-1]) / 20 + 0.01)
            patient.clock.sleep(pauses[-1])
        Runner(patient, "w").work_next()
    assert 59.0 < max(pauses) <= 60.0
    assert 3540 <= sum(pauses) <= 3720
    assert len(pauses) < 200


class Died(BaseException):
    """The process ends here, and cleans nothing up."""


def lose(borders: Borders, owner: str) -> Ingestion:
    """Return an ingestion whose worker was killed when it had written half a copy."""
    lost = borders.registry.claim_next(owner, borders.clock.now())
    assert lost is not None
    key = StoreKey("default", "default", lost.event.experiment, lost.version_id)
    writing = borders.store.writing(key)
    HALF_WRITTEN.append(writing)
    with writing.__enter__()(FileEntry("model.onnx", 6, "v1")) as sink:
        sink.write(b"half..")
    return lost


HALF_WRITTEN: list[Any] = []
"""Writers that are never closed: closing one would clean up."""


def held(borders: Borders) -> set[str]:
    return {version_id for version_id, _ in borders.store.prefixes()}


def test_a_sweep_frees_what_was_lost_and_removes_what_it_wrote(borders: Borders, runs: Path) -> None:
    ingestion = submit(borders, runs / "a")
    lost = lose(borders, "dead.1")
    alive = replace(borders, is_dead=lambda owner: False)
    assert Runner(alive, "w").sweep() == 0
    assert held(borders) == {lost.version_id}
    borders.clock.sleep(LEASE_SECONDS)
    rung: list[int] = []
    assert Runner(alive, "w", lambda: rung.append(1)).sweep() == 1
    assert (standing(borders, ingestion).state, rung) == (IngestionState.WAITING, [1])
    assert held(borders) == set()
    Runner(alive, "w").work_off(1)
    assert standing(borders, ingestion).state is IngestionState.REGISTERED
    assert standing(borders, ingestion).attempts == 2


def test_one_sweeps_at_a_time(borders: Borders, runs: Path) -> None:
    submit(borders, runs / "a")
    lose(borders, "dead.1")
    runner = Runner(replace(borders, is_dead=lambda owner: True), "w")
    with borders.registry.sweeping():
        assert runner.sweep() == 0
    assert runner.sweep() == 1


def test_a_sweep_that_dies_in_the_middle_has_seen_to_all_that_it_had_freed(borders: Borders, runs: Path) -> None:
    for name in ("a", "b", "c"):
        submit(borders, runs / name)
    first, second, third = (lose(borders, f"dead.{name}") for name in ("a", "b", "c"))

    def is_dead(owner: str) -> bool:
        if owner == "dead.c":
            raise Died
        return True

    runner = Runner(replace(borders, is_dead=is_dead), "w")
    with capture_logs(processors=[merge_contextvars]) as logs, pytest.raises(Died):
        runner.sweep()
    runner.errands.wait(10)
    assert held(borders) == {third.version_id}
    assert [line["ingestion"] for line in logs if line["event"] == "freed"] == [first.id, second.id]


def hung_store(store: MemoryStore, comes_back: threading.Event) -> Any:
    """A store that hangs in whatever is done with it, but for its names."""

    class Hung:
        def __getattr__(self, name: str) -> Any:
            if name != "url":
                assert comes_back.wait(20)
            return getattr(store, name)

    return Hung()


@pytest.fixture
def comes_back() -> Iterator[threading.Event]:
    """What hangs in the test waits for this; it comes at the end of the test at the latest."""
    event = threading.Event()
    yield event
    event.set()
    join_attempts()


def join_attempts() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("attempt "):
            thread.join(10)


def test_a_sweep_does_not_wait_for_a_store_that_hangs(
    borders: Borders, runs: Path, comes_back: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "STORE_SECONDS", 0.1)
    ingestions = [submit(borders, runs / name) for name in ("a", "b")]
    lost = [lose(borders, f"dead.{one.id}") for one in ingestions]
    runner = Runner(replace(borders, store=hung_store(MemoryStore(), comes_back)), "w")
    with capture_logs() as logs:
        assert runner.sweep() == 2
        assert runner.sweep() == 0
    assert [standing(borders, one).state for one in ingestions] == [IngestionState.WAITING] * 2
    assert held(borders) == {one.version_id for one in lost}
    assert [line["event"] for line in logs] == ["freed", "the store is late", "freed"]


def test_whoever_watches_never_touches_a_store_that_hangs(
    borders: Borders, runs: Path, comes_back: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.01)
    store = MemoryStore()
    hung = submit(borders, runs / "a")
    clock = FastClock(clock_in_an_hour().at, [])
    hanging = replace(borders, store=hung_store(store, comes_back), clock=clock, is_dead=lambda owner: False)
    assert Runner(hanging, "w").work_next()
    assert (standing(borders, hung).state, standing(borders, hung).reason) == (IngestionState.WAITING, "storage-hangs")
    assert "in the step 'store'" in (standing(borders, hung).message or "")

    referencing = replace(hanging, resolve=lambda event: resolve(event, Places(mode=StoreMode.REFERENCE)))
    other = submit(borders, runs / "b")
    assert Runner(referencing, "w").work_next()
    assert standing(borders, other).state is IngestionState.REGISTERED

    comes_back.set()
    join_attempts()
    assert list(store.prefixes()) == [], "who comes back removes what it wrote"


def test_a_worker_in_which_attempts_hang_gives_way_to_a_new_one(
    borders: Borders, runs: Path, comes_back: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.01)

    @contextmanager
    def hanging(location: Location) -> Iterator[FileTree]:
        assert comes_back.wait(20)
        with open_location(location) as tree:
            yield tree

    waiting = [submit(borders, runs / "a", f"run {number}") for number in range(5)]
    clock = FastClock(clock_in_an_hour().at, [])
    runner = Runner(replace(borders, open_tree=hanging, clock=clock, is_dead=lambda owner: False), "w")
    runner.run(threading.Event())
    assert len(abandoned()) == MOST_ABANDONED == 3
    assert sum(standing(borders, one).attempts for one in waiting) == 3
    rung: list[int] = []
    assert Runner(borders, "w", lambda: rung.append(1)).work_off(5) == 0
    assert rung == [1], "others do what is left"


def test_no_attempt_begins_once_the_time_of_a_bell_is_over_and_the_rest_is_told_to_others(borders: Borders, runs: Path) -> None:
    clock = FastClock(clock_in_an_hour().at, [])
    waiting = [submit(borders, runs / "a", f"run {number}") for number in range(5)]
    rung: list[int] = []
    done = Runner(replace(borders, clock=clock), "w", lambda: rung.append(1)).work_off(25, seconds=1.0)
    assert done == 0
    done = Runner(replace(borders, clock=clock), "w", lambda: rung.append(1)).work_off(25, seconds=20.0)
    assert 0 < done < 5
    assert sum(standing(borders, one).state is not IngestionState.RECEIVED for one in waiting) == done
    assert len(rung) == 3, "at the end of each bell, and before the first attempt"


class FastClock(TestClock):
    """Goes on by itself: every look is three seconds later."""

    def now(self) -> datetime:
        self.at += timedelta(seconds=3)
        return self.at


def test_work_that_hangs_is_abandoned_and_other_work_goes_on(
    borders: Borders, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.01)
    comes_back = threading.Event()

    @contextmanager
    def hanging(location: Location) -> Iterator[FileTree]:
        if location.path.endswith("/a"):
            assert comes_back.wait(20)
        with open_location(location) as tree:
            yield tree

    hung, other = submit(borders, runs / "a"), submit(borders, runs / "b")
    clock = FastClock(clock_in_an_hour().at, [])
    runner = Runner(replace(borders, open_tree=hanging, clock=clock, is_dead=lambda owner: False), "w")
    assert runner.work_next()
    assert abandoned() == [f"attempt {hung.id}"]
    assert runner.work_next()
    assert standing(borders, other).state is IngestionState.REGISTERED
    assert (standing(borders, hung).state, standing(borders, hung).reason) == (IngestionState.WAITING, "storage-hangs")
    said = standing(borders, hung).message or ""
    assert said.startswith("the storage hangs: nothing came back for ")
    assert said.endswith(f"s in the step 'resolve' of {runs / 'a'}")

    comes_back.set()
    for thread in threading.enumerate():
        if thread.name.startswith("attempt "):
            thread.join(10)
    assert standing(borders, hung).state is IngestionState.WAITING, "who lost the lease registers nothing"


def test_a_worker_that_always_has_work_sweeps_all_the_same(borders: Borders, runs: Path) -> None:
    """Between any two attempts it may be time to; each takes three seconds here, and a sweep is due after ten."""
    stop, freed, waiting = threading.Event(), [], iter(range(10))

    class Busy:
        def __getattr__(self, name: str) -> Any:
            return getattr(borders.registry, name)

        def claim_next(self, owner: str, now: datetime) -> Ingestion | None:
            if next(waiting, None) is None:
                stop.set()
                return None
            submit(borders, runs / "a", f"run {now}")
            return borders.registry.claim_next(owner, now)

        def free(self, *arguments: Any) -> Any:
            freed.append(arguments)
            return ()

    registry: Any = Busy()
    Runner(replace(borders, registry=registry, clock=FastClock(clock_in_an_hour().at, [])), "w").run(stop)
    assert len(freed) > 2


def test_the_loop_works_until_it_is_stopped(borders: Borders, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "IDLE_SECONDS", 0.01)
    stop = threading.Event()
    loop = threading.Thread(target=Runner(borders, "w").run, args=(stop,))
    loop.start()
    ingestion = submit(borders, runs / "a")
    for _ in range(500):
        if standing(borders, ingestion).state is IngestionState.REGISTERED:
            break
        stop.wait(0.01)
    stop.set()
    loop.join(5)
    assert standing(borders, ingestion).state is IngestionState.REGISTERED
    assert not loop.is_alive()
