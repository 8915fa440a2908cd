"""The tree that a child reads, on the worker's side of which the real tree is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from detectors.errors import TreeChanged, TreeError, TreeLimit, TreeUnavailable, Unreadable
from detectors.tree import FileTree, MemoryTree
from detectors.wrapped_tree import CountingTree
from tests.contracts.tree import Build, TreeContract
from worker.inspector.child import RemoteTree
from worker.inspector.frames import Channel, Gone, Late
from worker.inspector.isolated import _read
from worker.inspector.questions import FROM_CHILD, MAX_READ_BYTES, Question, Trouble

Serve = Callable[[FileTree], RemoteTree]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Give trees that are read through a socket from a thread that answers as the worker does."""
    started: list[tuple[socket.socket, threading.Thread, socket.socket]] = []

    def start(tree: FileTree) -> RemoteTree:
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=answer, args=(Channel(ours), CountingTree(tree)))
        thread.start()
        started.append((theirs, thread, ours))
        return RemoteTree(Channel(theirs), Question(None, tuple(tree.files()), ()), 5.0)

    yield start
    for theirs, thread, ours in started:
        theirs.close()
        thread.join()
        ours.close()


def answer(channel: Channel, tree: CountingTree) -> None:
    try:
        while True:
            channel.send(*_read(tree, channel.receive(FROM_CHILD, 10.0)[1], 1 << 40))
    except (Gone, Late):
        return


class TestRemoteTree(TreeContract):
    @pytest.fixture
    def build(self, serve: Serve) -> Build:
        def build(files: Mapping[str, bytes]) -> FileTree:
            return serve(MemoryTree(files))

        return build


@pytest.mark.parametrize("size", [MAX_READ_BYTES - 1, MAX_READ_BYTES, MAX_READ_BYTES + 1, 3 * MAX_READ_BYTES])
def test_a_read_is_cut_into_pieces_that_are_allowed(serve: Serve, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    tree = serve(MemoryTree({"large": data}))
    assert tree.read("large", 0, size) == data
    assert tree.read("large", 1, 1 << 62) == data[1:]


@pytest.mark.parametrize("kind", [TreeChanged, TreeUnavailable, Unreadable, TreeLimit])
def test_trouble_is_raised_as_the_same_class(serve: Serve, kind: type[TreeError]) -> None:
    class Troubled(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            raise kind("a\udcff", "no\n")

    with pytest.raises(kind) as raised:
        serve(Troubled({"a": b"1"})).read("a", 0, 1)
    assert (raised.value.path, raised.value.reason) == ("a\udcff", "no\n")


def test_trouble_of_another_name_is_no_error() -> None:
    assert Trouble("OSError", "a", "b").error() is None


def test_a_worker_that_does_not_answer_is_late() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Late):
        RemoteTree(Channel(theirs), Question(None, (), ()), 0.05).read("a", 0, 1)
