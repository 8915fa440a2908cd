"""What kind of file system a path lies on."""

from __future__ import annotations

from pathlib import Path

from worker.filesystems import NETWORK, announces_changes, filesystem_of, is_network

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /mnt/my\\040share rw - nfs4 server:/x rw
31 22 0:31 / /mnt/my\\040share/local rw - tmpfs tmpfs rw
32 22 0:32 / /mnt rw - xfs /dev/vdb rw
"""


def test_the_longest_mount_point_tells() -> None:
    assert filesystem_of(Path("/home/me"), MOUNTS) == "ext4"
    assert filesystem_of(Path("/mnt/other"), MOUNTS) == "xfs"
    assert filesystem_of(Path("/mnt/my share/home"), MOUNTS) == "nfs4"
    assert filesystem_of(Path("/mnt/my share/local/x"), MOUNTS) == "tmpfs"


def test_a_name_that_only_begins_alike_is_another() -> None:
    assert filesystem_of(Path("/mnt/my shared"), MOUNTS) == "xfs"


def test_a_temporary_folder_is_on_this_machine(tmp_path: Path) -> None:
    assert filesystem_of(tmp_path)
    assert not is_network(tmp_path)


def test_only_known_file_systems_of_this_machine_announce_every_change() -> None:
    assert all(announces_changes(kind) for kind in ("ext4", "xfs", "btrfs", "tmpfs"))
    assert not any(announces_changes(kind) for kind in (None, "overlay", "fuse.unheard_of", *NETWORK))
