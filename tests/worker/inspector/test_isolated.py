"""The inspector of workers: children that die, hang and lie, and what is left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detectors.scan import Verdict
from detectors.tree import FileEntry, FileTree, MemoryTree
from tests.contracts.inspector import MODEL, InspectorContract, inspect
from tests.worker.inspector import hostile
from worker.errors import InspectorLost
from worker.inspector import isolated
from worker.inspector.confine import Limits
from worker.inspector.isolated import IsolatedInspector, Patience, UnforeseenInChild
from worker.ports import Inspector

TREE = MemoryTree(MODEL)
BOMB_BYTES = b"\x0a\x00" * 450_000
BOMB = {"bomb.onnx": b"\x08\x08\x3a\xa0\xf7\x36" + BOMB_BYTES}
"""An ONNX graph of 450,000 empty nodes: 0.9 MB that protobuf takes 50 MB for."""


@pytest.fixture(scope="module")
def one_for_all() -> Iterator[IsolatedInspector]:
    inspector = IsolatedInspector()
    yield inspector
    inspector.close()


class TestIsolatedInspector(InspectorContract):
    @pytest.fixture
    def inspector(self, one_for_all: IsolatedInspector) -> Inspector:
        return one_for_all


Make = Callable[..., IsolatedInspector]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make inspectors that are closed after the test."""
    made: list[IsolatedInspector] = []

    def build(**how: object) -> IsolatedInspector:
        made.append(IsolatedInspector(**how))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def make_taken_over(make: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make inspectors whose children do what a file of the tree says."""
    monkeypatch.setattr(isolated, "START", hostile.START)
    return make


@pytest.fixture(scope="module")
def taken_over() -> Iterator[IsolatedInspector]:
    """One such inspector for many tests, with little patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated, "START", hostile.START)
        inspector = IsolatedInspector(patience=Patience(stall_seconds=5.0))
        inspect(inspector, TREE)
    yield inspector
    inspector.close()


def told_to(behaviour: str) -> MemoryTree:
    assert behaviour in hostile.BEHAVIOURS
    return MemoryTree({**MODEL, "large": bytes(8 << 20), behaviour: b""})


def server_of(inspector: IsolatedInspector) -> int:
    assert inspector._server is not None
    return inspector._server._process.pid


def children_of(server: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Tell whether the process *pid* is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def lost(inspector: IsolatedInspector, tree: FileTree = TREE) -> InspectorLost:
    with pytest.raises(InspectorLost) as raised:
        inspect(inspector, tree)
    return raised.value


@pytest.mark.parametrize(
    ("behaviour", "cause", "words"),
    [
        ("segfault", "crashed", "it was ended by SIGSEGV"),
        ("abort", "crashed", "it was ended by SIGABRT"),
        ("killed", "memory", "it was killed, as the system does where memory runs out"),
        ("exit", "crashed", "it ended with exit status 7"),
        ("hang up", "crashed", "it ended with exit status 0"),
    ],
)
def test_a_child_that_dies_is_lost_by_its_cause(taken_over: IsolatedInspector, behaviour: str, cause: str, words: str) -> None:
    error = lost(taken_over, told_to(behaviour))
    assert (error.cause, str(error)) == (cause, f"the inspection was lost ({cause}): {words}")


@pytest.mark.parametrize("behaviour", ["sleep", "stopped", "drip", "take nothing"])
def test_a_child_that_hangs_is_lost_in_time(make_taken_over: Make, behaviour: str) -> None:
    inspector = make_taken_over(patience=Patience(stall_seconds=1.0))
    inspect(inspector, TREE)
    began = time.monotonic()
    assert lost(inspector, told_to(behaviour)).cause == "time"
    assert time.monotonic() - began < 3
    assert soon(lambda: children_of(server_of(inspector)) == [])


def test_a_child_that_asks_for_ever_is_lost_in_time(make_taken_over: Make) -> None:
    assert lost(make_taken_over(patience=Patience(own_seconds=1.0)), told_to("read forever")).cause == "time"


def test_a_child_that_reads_without_end_is_lost(make_taken_over: Make) -> None:
    error = lost(make_taken_over(patience=Patience(max_bytes=100)), told_to("read forever"))
    assert "asks for more than 100 bytes in all" in str(error)


def test_a_child_that_uses_up_its_processor_time_is_lost_in_time(make_taken_over: Make) -> None:
    error = lost(make_taken_over(limits=Limits(cpu_seconds=1)), told_to("spin"))
    assert str(error) == "the inspection was lost (time): it used up its processor time"


def test_a_child_that_fills_its_memory_is_lost_by_memory(make_taken_over: Make) -> None:
    error = lost(make_taken_over(limits=Limits(memory_bytes=256 << 20)), told_to("fill memory"))
    assert (error.cause, str(error)) == ("memory", "the inspection was lost (memory): it reached its limit of memory")


NONSENSE = [
    name
    for name in hostile.BEHAVIOURS
    if name.startswith(("1 GB", "4 GB", "no ", "a ", "an ", "deep", "memory with"))
    or name in ("pickle", "NaN", "1e999", "wrong type", "true for a number", "null", "many", "digits")
]


@pytest.mark.parametrize("behaviour", NONSENSE)
def test_a_child_that_talks_nonsense_is_lost_at_once_and_believed_in_nothing(
    taken_over: IsolatedInspector, behaviour: str
) -> None:
    began = time.monotonic()
    error = lost(taken_over, told_to(behaviour))
    assert error.cause == "crashed"
    assert "it sent what is no answer" in str(error)
    assert len(str(error)) < 500
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("behaviour", ["segfault", "killed", "hang up", "sleep", "stopped", "pickle", "digits"])
def test_a_child_that_dies_hangs_or_talks_nonsense_is_an_inspector_lost_and_the_next_inspection_works(
    make_taken_over: Make, behaviour: str
) -> None:
    inspector = make_taken_over(patience=Patience(stall_seconds=1.0))
    inspect(inspector, TREE)
    lost(inspector, told_to(behaviour))
    assert inspect(inspector, TREE).verdict is Verdict.CLEAN


def test_verdict_and_cost_are_not_what_a_child_says(taken_over: IsolatedInspector) -> None:
    found = inspect(taken_over, told_to("flatter"))
    assert found.findings == (hostile.BAD,)
    assert found.verdict is Verdict.FINDINGS
    assert (found.read.files, found.read.bytes) == (0, 0)
    assert found.read.seconds > 0


def test_environment_descriptors_and_limits_of_a_child_are_clean(
    make_taken_over: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELPORT_TOKEN", "secret-of-the-worker")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    inspector = make_taken_over(limits=Limits(memory_bytes=1 << 30, cpu_seconds=9, descriptors=20))
    with (tmp_path / "database").open("wb") as opened:
        os.set_inheritable(opened.fileno(), True)
        with pytest.raises(UnforeseenInChild) as raised:
            inspect(inspector, told_to("tell"))
    told = json.loads(str(raised.value))
    assert (told["environment"], told["environ"]) == ("", {})
    assert "secret" not in str(raised.value)
    kinds = {number: target.split(":")[0] for number, target in told["descriptors"].items() if target != "gone"}
    assert kinds == {"0": "/dev/null", "1": "/dev/null", "2": "/dev/null", "3": "socket"}
    assert told["folder"] == "/"
    assert told["limits"] == {"AS": [1 << 30] * 2, "CPU": [9, 14], "NOFILE": [20, 20], "FSIZE": [0, 0], "CORE": [0, 0]}
    assert told["status"] == ["NoNewPrivs:\t1"]
    assert told["oom"] == "1000"
    assert told["writes"] == "File too large"
    assert told["session"] != os.getsid(0)


def test_what_a_child_tells_of_a_bug_is_fit_for_a_log() -> None:
    assert isolated._lines_to_log(b"a\x1b[31m\nb\xff") == "a?[31m\nb\\xff"


def test_a_bomb_costs_the_child_and_not_the_worker(make: Make) -> None:
    inspector = make(limits=Limits(memory_bytes=64 << 20))
    before = peak_kilobytes()
    found = inspect(inspector, MemoryTree(BOMB | MODEL))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert [one.says.partition(":")[0] for one in found.unforeseen] == ["MemoryError"]
    assert len(found.models) == 2
    assert peak_kilobytes() - before < 20_000
    assert inspect(inspector, TREE).verdict is Verdict.CLEAN


def test_want_of_memory_is_never_told_as_a_corrupt_model(make: Make) -> None:
    """Protobuf says both by the same exception."""
    for megabytes in (40, 64, 128):
        inspector = make(limits=Limits(memory_bytes=megabytes << 20))
        try:
            found = inspect(inspector, MemoryTree(BOMB))
        except InspectorLost as exc:
            assert exc.cause == "memory"  # noqa: PT017 - more memory is enough at some point
            continue
        if found.unforeseen:
            assert found.verdict is Verdict.INCONCLUSIVE
            assert found.unforeseen[0].says.startswith("MemoryError")
        else:
            problems = found.models[0].extraction.completeness.problems
            assert problems[-1].problem == "expected a printable op_type on every node, found 450000 without"


def peak_kilobytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_ten_megabytes_of_empty_messages_end_under_half_a_gigabyte(make: Make) -> None:
    inspector = make(limits=Limits(memory_bytes=512 << 20))
    bomb = MemoryTree({"bomb.onnx": b"\x08\x08\x3a\x80\xad\xe2\x04" + b"\x0a\x00" * 5_000_000})
    found = inspect(inspector, bomb)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert [note.reason for note in found.coverage.inconclusive] == ["more than 1500000 fields (limit MAX_FIELDS)"]


class SignallingTree:
    """A tree that sends *number* to every child of the server while it is read."""

    def __init__(self, inspector: IsolatedInspector, number: int) -> None:
        self._inspector = inspector
        self._number = number

    def files(self) -> Iterator[FileEntry]:
        return TREE.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        for pid in children_of(server_of(self._inspector)):
            os.kill(pid, self._number)
        return TREE.read(path, start, stop)


@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGKILL, "memory"), (signal.SIGSTOP, "time"), (signal.SIGSEGV, "crashed")]
)
def test_a_child_that_is_struck_while_it_reads_is_lost(make: Make, number: int, cause: str) -> None:
    inspector = make(patience=Patience(stall_seconds=1.0))
    inspect(inspector, TREE)
    with pytest.raises(InspectorLost) as raised:
        inspect(inspector, SignallingTree(inspector, number))
    assert raised.value.cause == cause
    assert soon(lambda: children_of(server_of(inspector)) == [])
    assert inspect(inspector, TREE).verdict is Verdict.CLEAN


def test_a_kept_child_that_died_meanwhile_is_replaced_without_a_word(make: Make) -> None:
    inspector = make()
    inspect(inspector, TREE)
    (child,) = children_of(server_of(inspector))
    os.kill(child, signal.SIGKILL)
    assert soon(lambda: children_of(server_of(inspector)) == [])
    assert inspect(inspector, TREE).verdict is Verdict.CLEAN


def test_a_server_that_died_is_replaced_without_a_word(make: Make) -> None:
    inspector = make()
    inspect(inspector, TREE)
    first, children = server_of(inspector), children_of(server_of(inspector))
    os.kill(first, signal.SIGKILL)
    assert soon(lambda: not any(map(runs, [first, *children])))
    assert inspect(inspector, TREE).verdict is Verdict.CLEAN
    assert server_of(inspector) != first


def test_a_server_that_does_not_start_is_a_loss(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "START", "raise SystemExit(1)")
    assert str(lost(make())) == "the inspection was lost (crashed): no child could be started"


class HangingTree:
    """A tree whose read comes back only when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def files(self) -> Iterator[FileEntry]:
        return TREE.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        self.asked.set()
        self.go_on.wait()
        return TREE.read(path, start, stop)


def test_a_read_that_hangs_holds_up_nobody_else_and_no_child(make: Make) -> None:
    inspector, tree = make(limits=Limits(wait_seconds=0.5)), HangingTree()
    raised: list[BaseException] = []

    def hang() -> None:
        try:
            inspect(inspector, tree)
        except InspectorLost as exc:
            raised.append(exc)

    thread = threading.Thread(target=hang)
    thread.start()
    assert tree.asked.wait(30)
    (stuck,) = children_of(server_of(inspector))
    assert inspect(inspector, TREE).verdict is Verdict.CLEAN
    assert soon(lambda: stuck not in children_of(server_of(inspector)))
    tree.go_on.set()
    thread.join(10)
    assert "it gave up waiting for bytes" in str(raised[0])


def test_slow_storage_is_not_the_childs_time(make: Make) -> None:
    class SlowTree:
        def files(self) -> Iterator[FileEntry]:
            return TREE.files()

        def read(self, path: str, start: int, stop: int) -> bytes:
            time.sleep(0.4)
            return TREE.read(path, start, stop)

    inspector = make(patience=Patience(stall_seconds=0.6, own_seconds=0.6))
    inspect(inspector, TREE, team="warm")
    assert inspect(inspector, SlowTree()).read.seconds > 0.7


def child_after(inspector: IsolatedInspector, team: str) -> int:
    """Inspect for *team* and return the child that did it."""
    inspect(inspector, TREE, team=team)
    return inspector._kept[team].pid


def test_a_child_serves_one_team(make: Make) -> None:
    inspector = make()
    red, blue = child_after(inspector, "red"), child_after(inspector, "blue")
    assert red != blue
    assert (child_after(inspector, "red"), child_after(inspector, "blue")) == (red, blue)


def test_the_children_of_the_last_few_teams_are_kept(make: Make) -> None:
    inspector = make()
    children = [child_after(inspector, f"team {number}") for number in range(6)]
    assert list(inspector._kept) == ["team 2", "team 3", "team 4", "team 5"]
    assert soon(lambda: sorted(children_of(server_of(inspector))) == sorted(children[2:]))


def test_a_child_is_replaced_after_so_many_models(make: Make) -> None:
    inspector = make(models_per_child=2)
    inspect(inspector, TREE)
    first = inspector._kept["red"].pid
    inspect(inspector, TREE)
    assert inspector._kept == {}
    assert soon(lambda: first not in children_of(server_of(inspector)))


def test_nothing_that_was_started_is_left_over_after_close(make: Make) -> None:
    inspector = make()
    for team in ("red", "blue"):
        inspect(inspector, TREE, team=team)
    server, children = server_of(inspector), children_of(server_of(inspector))
    inspector.close()
    assert not Path(f"/proc/{server}").exists(), "it was waited for"
    assert soon(lambda: not any(map(runs, children)))


WORKER = """
import sys, time
from detectors.tree import MemoryTree
from worker.inspector.isolated import IsolatedInspector
inspector, tree = IsolatedInspector(), MemoryTree({"readme.txt": b"hello"})
inspector.inspect(tree, None, tuple(tree.files()), "red")
print(inspector._server._process.pid, inspector._kept["red"].pid, flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_a_worker_that_was_killed() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert worker.stdout is not None
    with worker, worker.stdout:
        server, child = map(int, worker.stdout.readline().split())
        assert runs(server)
        assert runs(child)
        worker.kill()
    assert soon(lambda: not runs(server) and not runs(child))


def test_a_thousand_models_leave_no_descriptor_and_no_memory_behind(make: Make) -> None:
    inspector = make(models_per_child=100)
    for number in range(200):
        inspect(inspector, TREE, team=f"team {number % 2}")
    descriptors, memory = len(os.listdir("/proc/self/fd")), resident_kilobytes()
    for number in range(1000):
        inspect(inspector, TREE, team=f"team {number % 2}")
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert resident_kilobytes() - memory < 2_000
    assert len(os.listdir(f"/proc/{server_of(inspector)}/fd")) <= 10
    assert len(children_of(server_of(inspector))) <= 2


def resident_kilobytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
