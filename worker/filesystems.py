"""What kind of file system a path lies on, told from the kernel's list of mounts.

Some answers differ on a network: locks and shared memory (SQLite's write-ahead log), and how soon a change is seen.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""Source: proc(5). Columns: id, parent, major:minor, root, mount point, options, …, "-", type, source, options."""

NETWORK = frozenset(
    "nfs nfs4 cifs smb3 smbfs ncpfs afs ceph glusterfs lustre 9p beegfs gpfs orangefs fuse.sshfs fuse.s3fs fuse.glusterfs"
    " fuse.ceph-fuse fuse.rclone fuse.gcsfuse fuse.goofys fuse.juicefs davfs vboxsf".split()
)
"""File systems whose bytes lie on another machine."""

ANNOUNCING = frozenset("bcachefs btrfs ext2 ext3 ext4 f2fs jfs ramfs reiserfs tmpfs xfs zfs".split())
"""File systems on which the kernel sees every change, and so inotify tells of it. On a network others change what lies there;
in overlayfs somebody may change the lower layer; with FUSE nobody can tell."""


def filesystem_of(path: Path, mounts: str | None = None) -> str | None:
    """Return the type of the file system that *path* lies on, or would lie on once it is made; None where nobody says.

    *mounts* is the text of `/proc/self/mountinfo`, read where it is not given.
    """
    try:
        text = MOUNTS.read_text(errors="surrogateescape") if mounts is None else mounts
    except OSError:
        return None
    place = os.path.realpath(path)
    found: tuple[int, str | None] = (-1, None)
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        point = _unescaped(before.split()[4])
        if (place == point or place.startswith(point.rstrip("/") + "/")) and len(point) >= found[0]:
            found = len(point), after.split()[0]
    return found[1]


def is_network(path: Path) -> bool:
    """Tell whether *path* lies on a file system whose bytes are on another machine."""
    return filesystem_of(path) in NETWORK


def announces_changes(kind: str | None) -> bool:
    """Tell whether inotify sees what anybody changes on a file system of this type; None is an unknown one."""
    return kind in ANNOUNCING


def _unescaped(text: str) -> str:
    """Return a mount point with the octal escapes of proc(5) undone (`\\040` is a space)."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)
