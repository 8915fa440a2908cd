"""The manifest of a model: which files, how large, with which content; and the one pass that reads every byte.

In goes a tree and its listing, out comes the manifest and what the checks on the way had to say. While a file streams by
it is hashed, checked and handed to the store, so that nothing is read twice. Where the bytes go is left to the store;
whether the tree rested meanwhile, to the caller, who lists it again.

Laws (each has a test of the same name):
    the manifest does not depend on the order of the listing;
    a renamed file is another content;
    two manifests have the same content digest only if they are equal, whatever their file names hold;
    memory does not grow with the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Any, Protocol

from detectors.errors import TreeChanged
from detectors.facts import Problem
from detectors.tree import FileEntry, FileTree, readable
from worker.records import FileDigest

CHUNK_BYTES = 1 << 20
"""Bytes that are read, hashed, checked and written at a time.

Small enough to stay in a core's cache between these four; measured on 2 GB, 4 and 8 MiB took a tenth longer.
"""

FORMAT = b"modelport manifest 1\n"
"""Begins what the content digest is made of, so that no other digest of ours is ever made of the same bytes."""

LENGTH_BYTES = 8
"""Width of the lengths in it, big-endian."""

UNSIGNED_NAMES = frozenset({".git", ".gitattributes", ".github", ".gitignore"})
"""Names at the top that model signing leaves out unless told otherwise (model_signing 1.1, `hashing.Config`)."""


class Check(Protocol):
    """Something to verify about one file while its bytes go by, such as the checksums of a checkpoint."""

    def update(self, chunk: bytes) -> object:
        """Take the next bytes of the file."""
        ...

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong with the bytes taken so far, seen as the whole file."""
        ...


class Takes(Protocol):
    """Where the bytes of one file go, in order."""

    def write(self, data: bytes) -> object:
        """Append *data*."""
        ...


Checks = Callable[[FileEntry], Check | None]
"""Gives the check that a file must pass, None where there is nothing to check."""

OpenSink = Callable[[FileEntry], AbstractContextManager[Takes]]
"""Opens the place where a file's bytes go (see `worker.ports.OpenSink`)."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a model, sorted by path, each path once. Given in any order."""

    files: tuple[FileDigest, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.files, key=attrgetter("path")))
        for before, after in pairwise(ordered):
            if before.path == after.path:
                raise ValueError(f"{after.path!r} stands in the manifest twice")
        object.__setattr__(self, "files", ordered)


def content_digest(manifest: Manifest) -> str:
    """Return "sha256:" and the SHA-256, in hex, over every path, size and content of *manifest*, in order of paths.

    It is taken over

        FORMAT | for each file:  length  path  |  length  size in decimal digits  |  length  SHA-256 (32 bytes)

    where each length counts the bytes that follow it. So no name, whatever it holds, can pass for another listing.
    """
    hasher = hashlib.sha256(FORMAT)
    for file in manifest.files:
        for field in (_path_bytes(file.path), b"%d" % file.size, bytes.fromhex(file.sha256)):
            hasher.update(len(field).to_bytes(LENGTH_BYTES, "big") + field)
    return f"sha256:{hasher.hexdigest()}"


def oms_digest(manifest: Manifest) -> str:
    """Return "sha256:" and the root digest, in hex, that OpenSSF Model Signing gives a folder of these files.

    It is the SHA-256 over the SHA-256 of each file, in order of paths compared folder by folder ("a/b" before "a.b").
    Paths and sizes are left out, so a renamed file may go unnoticed; it is an export, and `content_digest` is ours.

    Source: model_signing 1.1, `_signing.signing.Payload` and the default `hashing.Config`.
    """
    hasher = hashlib.sha256()
    for file in sorted(manifest.files, key=_folder_by_folder):
        if _folder_by_folder(file)[0] not in UNSIGNED_NAMES:
            hasher.update(bytes.fromhex(file.sha256))
    return f"sha256:{hasher.hexdigest()}"


def read_once(
    tree: FileTree,
    entries: Iterable[FileEntry],
    open_sink: OpenSink | None,
    checks: Checks,
    progress: Callable[[int], object],
) -> tuple[Manifest, tuple[Problem, ...]]:
    """Return the manifest of *entries* and what their checks found, after reading each byte once.

    The bytes go to what *open_sink* opens for each file; None reads without writing, for files that stay where they are.
    *progress* is told the number of bytes after each chunk.

    Raises:
        TreeError: a file is not as listed any more, or could not be read.
        StorageUnavailable: from the sink.
    """
    files: list[FileDigest] = []
    problems: list[Problem] = []
    for entry in entries:
        check = checks(entry)
        with open_sink(entry) if open_sink else nullcontext() as sink:
            files.append(_read_file(tree, entry, sink, check, progress))
        if check:
            problems.extend(check.problems())
    return Manifest(tuple(files)), tuple(problems)


def _read_file(
    tree: FileTree, entry: FileEntry, sink: Takes | None, check: Check | None, progress: Callable[[int], object]
) -> FileDigest:
    hasher = hashlib.sha256()
    for chunk in chunks_of(tree, entry):
        hasher.update(chunk)
        if check:
            check.update(chunk)
        if sink:
            sink.write(chunk)
        progress(len(chunk))
    return FileDigest(entry.path, entry.size, hasher.hexdigest())


def chunks_of(tree: FileTree, entry: FileEntry) -> Iterator[bytes]:
    """Yield the bytes of *entry* as listed, `CHUNK_BYTES` at a time. An empty file is one empty chunk: it must be there too.

    Raises:
        TreeChanged: the file ends before the size that was listed.
    """
    for start in range(0, max(entry.size, 1), CHUNK_BYTES):
        stop = min(start + CHUNK_BYTES, entry.size)
        chunk = tree.read(entry.path, start, stop)
        if len(chunk) != stop - start:
            raise TreeChanged(entry.path, f"was listed with {entry.size} bytes, found {start + len(chunk)}")
        yield chunk


def _path_bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _folder_by_folder(file: FileDigest) -> list[str]:
    return file.path.split("/")


def file_json(file: FileDigest) -> dict[str, Any]:
    """Return a file of a version as plain JSON."""
    return {"path": readable(file.path), "size": file.size, "sha256": file.sha256}
