"""What nobody foresaw while one reader looked at a tree: it is kept as a fact, and the readers beside it go on.

A reader is what knows one format, or the metrics, or the custom metadata. What it raises on purpose (`detectors.errors`) is its
caller's to judge, and what the tree raises passes through as it is: the trouble is then not the reader's. Anything else is a
mistake of ours. It must not end the look at everything else, it must not pass for "nothing is wrong", and it must be heard: so
it is told in the coverage, makes the verdict inconclusive, and carries where it came from, for the log.

Law (with a test of the same name):
    an error in one reader is never clean, and stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import extract_tb
from typing import TypeVar

from detectors.errors import TreeError
from detectors.wire import shown
from detectors.wrapped_tree import CountingTree

T = TypeVar("T")

MOST_CALLS = 20
"""Calls that are told of one error, the innermost: one that recurses without end has a thousand alike."""

WHOLE_TREE = "."
"""Where it happened that a reader failed before it had chosen a file."""


@dataclass(frozen=True, slots=True)
class Unforeseen:
    """An error in the reader called *reader* while it looked at *path*: what it says, and the calls that led to it, each as
    `file:line in function`, the innermost last.
    """

    reader: str
    path: str
    says: str
    calls: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What the coverage says of it."""
        return f"error in the reader of {self.reader}: {self.says}"


class Readers:
    """Runs readers on one tree, one after the other, and keeps what nobody foresaw."""

    def __init__(self, tree: CountingTree) -> None:
        self._tree = tree
        self.failed: list[Unforeseen] = []

    @contextmanager
    def guarded(self, reader: str, path: str = WHOLE_TREE) -> Iterator[None]:
        """Run the block, which is the *reader* looking at *path*; what nobody foresaw in it ends it and is kept.

        Raises:
            TreeError: the tree could not be read.
            Exception: whatever else the tree itself raised.
        """
        self._tree.error = None
        try:
            yield
        except (RecursionError, MemoryError) as exc:  # wherever the reader was when it had gone too far, a read included
            self._keep(reader, path, exc)
        except TreeError:
            raise
        except Exception as exc:
            if exc is self._tree.error:
                raise
            self._keep(reader, path, exc)
        finally:
            self._tree.error = None

    def read(self, reader: str, work: Callable[[], T], otherwise: T) -> T:
        """Return what *work* gives, which is the *reader* looking at the whole tree; *otherwise* where it failed."""
        with self.guarded(reader):
            return work()
        return otherwise

    def _keep(self, reader: str, path: str, error: Exception) -> None:
        self.failed.append(Unforeseen(reader, path, _said(error), _calls(error)))


def _said(error: Exception) -> str:
    """Return the kind of *error* and what it says, in one bounded line; it is asked carefully."""
    if isinstance(error, MemoryError):
        return "MemoryError: it took more memory than there is for it"
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an error that cannot even say what it is
        text = "it cannot say what it is"
    return f"{type(error).__name__}: {shown(text)}" if text else type(error).__name__


def _calls(error: Exception) -> tuple[str, ...]:
    frames = extract_tb(error.__traceback__)[-MOST_CALLS:]
    return tuple(f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} in {frame.name}" for frame in frames)
