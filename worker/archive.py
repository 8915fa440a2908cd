"""A zip that a stranger sent, as a read-only tree of files; or a reason why it is not taken.

What can be seen in two ways, leaves its folder, or unpacks to far more than was sent is refused: `detectors.zips` walks it.

Law (has a test of the same name):
    any bytes give a tree or a RejectedUpload.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from detectors import zips
from detectors.errors import ModelError
from detectors.tree import FileEntry
from worker.errors import RejectedUpload


class ZipTree:
    """The files in a zip; use it in a `with`. The bytes of each are compared with its size and CRC when the last is read.

    *file* can be read anywhere and stays open.

    Raises:
        RejectedUpload: it is no zip, or not one that is taken.
    """

    def __init__(self, file: BinaryIO) -> None:
        def source(start: int, stop: int) -> bytes:
            file.seek(start)
            return file.read(max(0, stop - start))

        try:
            self._zip = zips.ZipTree(source, file.seek(0, 2))
        except ModelError as exc:
            raise _refused(exc) from exc
        if not any(self.files()):
            raise RejectedUpload("the zip holds no file")

    def __enter__(self) -> ZipTree:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def files(self) -> Iterator[FileEntry]:
        """Yield the files by path; folders are only names."""
        return self._zip.files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of *path*. To read on where the last read ended costs nothing more.

        Raises:
            ValueError: the range is negative or reversed.
            TreeChanged: there is no such file.
            RejectedUpload: its bytes are not those that the zip announces.
        """
        try:
            return self._zip.read(path, start, stop)
        except ModelError as exc:
            raise _refused(exc) from exc


def _refused(exc: ModelError) -> RejectedUpload:
    return RejectedUpload(f"the zip is not taken: {exc.reason}")
