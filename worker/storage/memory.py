"""The store in one process's memory: for tests and try-outs. It keeps the laws of `worker.ports.Store`, but for a power cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from detectors.tree import FileEntry, MemoryTree
from worker.errors import NothingStored, StorageUnavailable
from worker.ports import Alive, OpenSink, Sink, silent
from worker.records import StoreKey
from worker.storage.layout import Parts, file_parts, parts_of, prefix_parts, url_of

ROOT_URL = "memory:"


class MemoryStore:
    """Versions as mappings from path to bytes."""

    def __init__(self) -> None:
        self._finished: dict[Parts, dict[str, bytes]] = {}
        self._incoming: dict[Parts, dict[str, bytearray]] = {}

    @contextmanager
    def writing(
        self, key: StoreKey, size_bytes: int = 0, alive: Alive = silent, earlier: Sequence[str] = ()
    ) -> Iterator[OpenSink]:
        parts = prefix_parts(key)
        incoming = _Incoming()
        self._incoming[parts] = incoming.files
        try:
            yield incoming.open
            incoming.check_whole(self.url(key))
            if self._incoming.get(parts) is not incoming.files:
                raise StorageUnavailable(f"{self.url(key)}: another process began to write the same version")
            alive()
            self._finished[parts] = {path: bytes(data) for path, data in incoming.files.items()}
        finally:
            if self._incoming.get(parts) is incoming.files:
                del self._incoming[parts]

    def takes_up(self) -> bool:
        return False

    def url(self, key: StoreKey) -> str:
        return url_of(ROOT_URL, prefix_parts(key))

    def opened(self, url: str) -> AbstractContextManager[MemoryTree]:
        files = self._finished.get(parts_of(ROOT_URL, url))
        if files is None:
            raise NothingStored(f"{url}: there is nothing")
        return nullcontext(MemoryTree(files))

    def remove(self, url: str) -> None:
        parts = parts_of(ROOT_URL, url)
        self._incoming.pop(parts, None)
        self._finished.pop(parts, None)

    def prefixes(self) -> Iterable[tuple[str, str]]:
        return [(parts[-1], url_of(ROOT_URL, parts)) for parts in {**self._finished, **self._incoming}]


class _Incoming:
    """The files of a version that is being written."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self._unfinished: set[str] = set()

    @contextmanager
    def open(self, entry: FileEntry) -> Iterator[Sink]:
        file_parts(entry.path)
        if entry.path in self.files:
            raise StorageUnavailable(f"{entry.path}: was written already")
        self._unfinished.add(entry.path)
        self.files[entry.path] = bytearray()
        yield _MemorySink(self.files[entry.path])
        self._unfinished.remove(entry.path)

    def check_whole(self, url: str) -> None:
        """Raise unless every file was written to its end."""
        if self._unfinished:
            raise StorageUnavailable(f"{url}: {min(self._unfinished)} was not written to its end")


class _MemorySink:
    __slots__ = ("_data",)

    def __init__(self, data: bytearray) -> None:
        self._data = data

    def write(self, data: bytes) -> None:
        self._data += data
