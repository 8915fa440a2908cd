"""Whether a store, or a folder like it, can be used now: asked as cheaply as an answer that means something can be had.

In go a folder, or a connection and a place; out comes an `Answer`. No file of a version is read and nothing is written. A look
may hang as long as its storage does; who asks must not wait for it (`worker.connections`).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from detectors.tree import readable
from worker.connections import Answer, Room
from worker.s3_url import S3Url
from worker.storage.local import ADVICE, OTHER_ADVICE
from worker.storage.s3.client import S3Connection, Trouble, in_words


def look_at_folder(folder: Path) -> Answer:
    """Return whether *folder*, which is made when it is first needed, can be listed and written; and the room there is.

    Reads one entry: a mount whose server is gone tells its own name and nothing else.
    """
    try:
        there = next(above for above in (folder, *folder.parents) if _is_there(above))
        with os.scandir(there) as entries:
            next(entries, None)
        disk = os.statvfs(there)
        if disk.f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if not os.access(there, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as exc:
        return Answer(f"{readable(str(folder))}: {exc.strerror or exc}; {ADVICE.get(exc.errno or 0, OTHER_ADVICE)}")
    return Answer(room=Room(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize))


def _is_there(path: Path) -> bool:
    """Tell whether *path* names something.

    Raises:
        OSError: nobody can tell, as where a server is gone.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def look_at_place(connection: S3Connection, place: S3Url) -> Answer:
    """Return whether the server lists *place*; one request. What room a bucket has, nobody can tell."""
    try:
        with in_words(str(place)):
            connection.client.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=1)
    except Trouble as exc:
        return Answer(exc.reason)
    return Answer()
