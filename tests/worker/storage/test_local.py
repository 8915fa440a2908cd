"""The store on disk: the contract suite, and what only a disk can do to it."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.store import FILES, KEY, OTHER, StoreContract, entry, is_visible, read, write
from worker.errors import StorageUnavailable
from worker.records import StoreKey
from worker.storage import folders, local
from worker.storage.local import LocalStore

WRITING_CALLS = ("mkdir", "open", "write", "fsync", "rename")
REMOVING_CALLS = ("unlink", "rmdir", "rename")

Act = Callable[[], None]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "the store")


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "odd \n root %41")


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def no_handle_is_left() -> Iterator[None]:
    before = open_files()
    yield
    assert open_files() == before


# --- what others see on the disk


def test_the_files_are_plain_files_where_the_layout_says(store: LocalStore, tmp_path: Path) -> None:
    write(store, KEY, FILES)
    model = tmp_path / "the store/team/project/run-7/mo1a2b3c4d5e6f/model"
    assert {path: (model / path).read_bytes() for path in FILES} == FILES
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_the_files_are_read_only(store: LocalStore, tmp_path: Path) -> None:
    write(store, KEY, FILES)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) & 0o333 for path in files} == {0}


def test_the_url_is_percent_encoded(tmp_path: Path) -> None:
    url = LocalStore(tmp_path / "a b").url(StoreKey("ü", "p", None, "mo1"))
    assert url == f"file://{tmp_path}/a%20b/%25C3%25BC/p/uploads/mo1/model"


def test_another_store_at_the_same_root_sees_the_same(store: LocalStore, tmp_path: Path) -> None:
    url = write(store, KEY, FILES)
    assert read(LocalStore(str(tmp_path / "the store")), url) == FILES


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to("disk")
    store = LocalStore(tmp_path / "root")
    assert read(store, write(store, KEY, FILES)) == FILES
    store.remove(store.url(KEY))
    assert everything(tmp_path / "disk") == []


def test_removing_the_last_version_leaves_an_empty_root(store: LocalStore, tmp_path: Path) -> None:
    write(store, KEY, FILES)
    write(store, OTHER, FILES)
    store.remove(store.url(KEY))
    assert not (tmp_path / "the store/team/project/run-7").exists()
    store.remove(store.url(OTHER))
    assert everything(tmp_path) == ["the store"]


def test_what_somebody_else_put_beside_a_model_is_left_alone(store: LocalStore, tmp_path: Path) -> None:
    write(store, KEY, FILES)
    version = tmp_path / "the store/team/project/run-7/mo1a2b3c4d5e6f"
    (version / "note.txt").write_text("mine")
    store.remove(store.url(KEY))
    assert everything(version) == ["note.txt"]


def test_folders_that_no_key_leads_to_are_no_prefixes(store: LocalStore, tmp_path: Path) -> None:
    write(store, KEY, FILES)
    (tmp_path / "the store/lost and found/a/b/c/model").mkdir(parents=True)
    (tmp_path / "the store/team/project/file").write_text("")
    (tmp_path / "the store/team/project/link").symlink_to(".")
    assert list(store.prefixes()) == [(KEY.version_id, store.url(KEY))]


def test_a_link_inside_a_model_is_removed_and_what_it_leads_to_is_not(store: LocalStore, tmp_path: Path) -> None:
    write(store, KEY, FILES)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("keep")
    (tmp_path / "the store/team/project/run-7/mo1a2b3c4d5e6f/model/link").symlink_to(tmp_path / "precious")
    store.remove(store.url(KEY))
    assert everything(tmp_path) == ["precious", "precious/file", "the store"]


@pytest.mark.parametrize("swapped", ["team", "team/project", "team/project/run-7", "team/project/run-7/mo1a2b3c4d5e6f"])
def test_a_folder_swapped_for_a_link_is_not_followed(store: LocalStore, tmp_path: Path, swapped: str) -> None:
    outside = tmp_path / "outside"
    (outside / "project/run-7/mo1a2b3c4d5e6f/model").mkdir(parents=True)
    (outside / "model").mkdir()
    (outside / "model/precious").write_text("keep")
    before = everything(outside)
    link = tmp_path / "the store" / swapped
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(StorageUnavailable):
        write(store, KEY, FILES)
    with pytest.raises(StorageUnavailable):
        store.remove(store.url(KEY))
    assert everything(outside) == before


def test_an_incoming_folder_swapped_for_a_link_is_not_followed(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "the store/team/project/run-7/mo1a2b3c4d5e6f/.incoming/folder"

    def swap() -> None:
        with store.writing(KEY) as open_sink:
            with open_sink(entry("folder/a")):
                folder.rename(folder.with_name("moved"))
                folder.symlink_to(tmp_path / "outside")
            with open_sink(entry("folder/b")):
                pass

    with pytest.raises(StorageUnavailable):
        swap()
    assert everything(tmp_path / "outside") == []


def test_a_very_deep_tree_is_written_and_removed(store: LocalStore) -> None:
    """Deeper than Python recurses and a process may hold files open."""
    files = {"/".join(["d"] * 1_500) + "/f": b"1"}
    url = write(store, KEY, files)
    assert read(store, url) == files
    store.remove(url)
    assert list(store.prefixes()) == []


def test_versions_are_written_and_removed_at_the_same_time(store: LocalStore, tmp_path: Path) -> None:
    """Each removal takes the empty folders above away, just where the next version wants to be."""
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        key = StoreKey("team", "project", None, f"mo{worker}")
        try:
            for _ in range(25):
                assert read(store, write(store, key, FILES)) == FILES
                store.remove(store.url(key))
        except BaseException as exc:
            failures.append(exc)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert everything(tmp_path / "the store") == []


# --- what if this call fails


OLD = {"left": b"over", "by/an": b"earlier try"}


class Nth:
    """Stands in place of functions of the system, counts their calls, and acts before the n-th, or all from then on."""

    def __init__(self, patch: pytest.MonkeyPatch, names: Iterable[str], nth: int, act: Act, lasting: bool = False) -> None:
        self.calls = 0
        self._is_time = (lambda: self.calls >= nth) if lasting else (lambda: self.calls == nth)
        self._act = act
        for name in names:
            patch.setattr(os, name, self._wrapped(getattr(os, name)))
        if "open" in names:
            patch.setattr(folders, "open_beneath", self._wrapped(folders.open_beneath))

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self._is_time():
                self._act()
            return real(*args, **kwargs)

        return call


def fail(code: int) -> Act:
    def act() -> None:
        raise OSError(code, os.strerror(code))

    return act


def calls_made(names: tuple[str, ...], action: Callable[[], object]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        counter = Nth(patch, names, 0, lambda: None)
        action()
    return counter.calls


@pytest.mark.usefixtures("no_handle_is_left")
@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("name", WRITING_CALLS)
def test_an_operation_of_the_system_that_fails_leaves_nothing_visible(store: LocalStore, name: str, lasting: bool) -> None:
    store.remove(write(store, KEY, FILES))
    count = calls_made((name,), lambda: write(store, KEY, FILES))
    store.remove(store.url(KEY))
    assert count >= {"rename": 1}.get(name, 5)
    for nth in range(1, count + 1):
        with pytest.MonkeyPatch.context() as patch:
            Nth(patch, (name,), nth, fail(errno.EIO), lasting)
            with pytest.raises(StorageUnavailable, match="the disk reports an error") as caught:
                write(store, KEY, FILES)
        assert isinstance(caught.value.__cause__, OSError)
        assert not is_visible(store, KEY)
        assert list(store.prefixes()) == [] or lasting
    assert read(store, write(store, KEY, FILES)) == FILES


@pytest.mark.usefixtures("no_handle_is_left")
@pytest.mark.parametrize("name", WRITING_CALLS)
def test_an_operation_of_the_system_that_fails_leaves_the_version_that_was_to_be_replaced(store: LocalStore, name: str) -> None:
    write(store, KEY, OLD)
    for nth in range(1, calls_made((name,), lambda: write(store, KEY, OLD)) + 1):
        with pytest.MonkeyPatch.context() as patch:
            Nth(patch, (name,), nth, fail(errno.EIO))
            with suppress(StorageUnavailable):
                write(store, KEY, FILES)
        assert read(store, store.url(KEY)) in (OLD, FILES)
        assert read(store, write(store, KEY, OLD)) == OLD


@pytest.mark.usefixtures("no_handle_is_left")
@pytest.mark.parametrize("name", REMOVING_CALLS)
def test_a_removal_that_fails_leaves_all_of_it_or_nothing_visible(store: LocalStore, name: str) -> None:
    write(store, KEY, FILES)
    url = store.url(KEY)
    count = calls_made((name,), lambda: store.remove(url))
    assert count >= 1
    for nth in range(1, count + 1):
        write(store, KEY, FILES)
        with pytest.MonkeyPatch.context() as patch, suppress(StorageUnavailable):
            Nth(patch, (name,), nth, fail(errno.EACCES), True)
            store.remove(url)
        assert not is_visible(store, KEY) or read(store, url) == FILES
        store.remove(url)
        assert list(store.prefixes()) == []


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free space on the disk"),
        (errno.EDQUOT, "Disk quota exceeded; raise the quota"),
        (errno.EROFS, "Read-only file system; mount the disk"),
        (errno.EACCES, "Permission denied; let the user"),
        (errno.EIO, "Input/output error; the disk reports"),
        (errno.ESTALE, "Stale file handle; see that the folder"),
    ],
)
def test_a_failure_names_the_file_and_what_to_do(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int, advice: str
) -> None:
    monkeypatch.setattr(os, "write", lambda handle, data: fail(code)())
    with pytest.raises(StorageUnavailable, match=rf"mo1a2b3c4d5e6f/\.incoming/name\\xff: {advice}"):
        write(store, KEY, {"name\udcff": b"1"})


def test_a_write_that_the_system_takes_in_pieces_is_whole(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:1]))
    assert read(store, write(store, KEY, FILES)) == FILES


def test_early_syncs_change_no_byte(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "WRITEBACK_BYTES", 3)
    assert read(store, write(store, KEY, FILES)) == FILES


def test_no_sync_waits_for_more_than_was_written_since_the_last(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file from a fast source would keep a slow disk busy at its end for longer than healthy work is silent."""
    monkeypatch.setattr(local, "WRITEBACK_BYTES", 10)
    sizes: list[int] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            sizes.append(os.fstat(handle).st_size)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with store.writing(KEY) as open_sink, open_sink(entry("model", bytes(28))) as sink:
        for _ in range(7):
            sink.write(b"four")
    assert sizes == [12, 24, 28]


def test_a_file_system_that_cannot_sync_folders_is_good_enough(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            fail(errno.EINVAL)()
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    assert read(store, write(store, KEY, FILES)) == FILES


def test_all_is_synced_before_it_is_shown(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time of the rename every file and folder of the version was synced, and afterwards the name `model` is."""
    log: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(handle: int) -> None:
        log.append(os.readlink(f"/proc/self/fd/{handle}").removeprefix(str(tmp_path / "the store")))
        real_fsync(handle)

    def rename(*args: Any, **kwargs: Any) -> None:
        log.append("rename")
        real_rename(*args, **kwargs)

    first = write(store, KEY, {"f": b""})
    store.remove(first)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    write(store, KEY, {"a/b/f": b"1", "g": b""})
    version = "/team/project/run-7/mo1a2b3c4d5e6f"
    last_rename = len(log) - 1 - log[::-1].index("rename")
    incoming = {f"{version}/.incoming{path}" for path in ("", "/a", "/a/b", "/a/b/f", "/g")}
    own = {path for path in log[:last_rename] if not str(tmp_path).startswith(path) or not path}
    assert own - {"rename"} == {"", "/team", "/team/project", "/team/project/run-7"} | incoming
    assert log[last_rename:] == ["rename", version]


@pytest.mark.parametrize("is_there", [False, True])
def test_the_folders_above_a_new_store_are_synced_before_anything_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Also where a process that was killed had made them: until the first version, nobody knows that they were synced."""
    synced: list[str] = []
    real_fsync = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    root = tmp_path / "new" / "home" / "store"
    if is_there:
        root.mkdir(parents=True)
    store = LocalStore(root)
    write(store, KEY, FILES)
    above = [str(tmp_path / "new" / "home"), str(tmp_path / "new"), str(tmp_path)]
    assert synced[:3] == above
    synced.clear()
    write(store, OTHER, FILES)
    assert not set(above) & set(synced)


# --- what is not the version's own


@pytest.mark.parametrize("name", ["plain", "deep/er/file", "../../../../escape", "..", "/etc/escape", "a/../../b", "nul\0"])
def test_nothing_is_written_or_removed_outside_the_versions_own_folder(store: LocalStore, tmp_path: Path, name: str) -> None:
    """Whatever the files are called, and whether it is written, written again, given up or removed."""
    write(store, OTHER, FILES)
    version = tmp_path / "the store/team/project/run-7/mo1a2b3c4d5e6f"
    version.mkdir(parents=True)
    (version.parent / "beside").write_text("keep")
    (tmp_path / "outside").write_text("keep")

    def others() -> dict[Path, tuple[int, int]]:
        found = [path for path in tmp_path.rglob("*") if not path.is_relative_to(version) and not path.is_dir()]
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}

    before = others()
    assert len(before) == len(FILES) + 2
    for _ in range(2):
        with suppress(StorageUnavailable, ValueError):
            write(store, KEY, {"first": b"1", name: b"2"})
        assert others() == before
    with suppress(StorageUnavailable, ValueError, RuntimeError), store.writing(KEY) as open_sink, open_sink(entry(name)):
        raise RuntimeError
    assert others() == before
    store.remove(store.url(KEY))
    assert others() == before
    assert not version.exists()


# --- killed


def run_until_killed(action: Callable[[], object], nth: int) -> bool:
    """Run *action* in a process that dies before its n-th operation; tell whether it did die."""
    child = os.fork()
    if child == 0:
        try:
            with pytest.MonkeyPatch.context() as patch:
                Nth(patch, (*WRITING_CALLS, *REMOVING_CALLS[:2]), nth, lambda: os.kill(os.getpid(), signal.SIGKILL))
                action()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("before", [{}, OLD])
def test_a_process_that_is_killed_at_any_moment_leaves_nothing_visible_or_everything(
    store: LocalStore, before: dict[str, bytes]
) -> None:
    url, nth, seen = store.url(KEY), 0, set()
    was_killed = True
    while was_killed:
        nth += 1
        if before:
            write(store, KEY, before)
        was_killed = run_until_killed(lambda: write(store, KEY, FILES), nth)
        assert is_visible(store, KEY) or not before, "what was there already is never gone"
        if is_visible(store, KEY):
            found = read(store, url)
            assert found in (before, FILES)
            seen.add(len(found))
        assert read(store, write(store, KEY, FILES)) == FILES
        store.remove(url)
        assert list(store.prefixes()) == []
    assert nth > 40
    assert len(FILES) in seen


def test_a_removal_that_is_killed_at_any_moment_leaves_all_of_it_or_nothing_visible(store: LocalStore) -> None:
    url, nth, was_killed = store.url(KEY), 0, True
    while was_killed:
        nth += 1
        write(store, KEY, FILES)
        was_killed = run_until_killed(lambda: store.remove(url), nth)
        assert not is_visible(store, KEY) or read(store, url) == FILES
        store.remove(url)
        assert list(store.prefixes()) == []
    assert nth > 10


def test_what_a_killed_process_left_is_listed_and_can_be_removed(store: LocalStore) -> None:
    calls = calls_made(("write",), lambda: write(store, OTHER, FILES))
    assert calls > 2
    assert run_until_killed(lambda: write(store, KEY, FILES), 25)
    assert not is_visible(store, KEY)
    assert (KEY.version_id, store.url(KEY)) in list(store.prefixes())
    store.remove(store.url(KEY))
    assert list(store.prefixes()) == [(OTHER.version_id, store.url(OTHER))]


# --- a disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte and thirty files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=30", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and only where mounting is allowed")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("files", [{"small": b"1", "large": b"x" * 2_000_000}, dict.fromkeys(map(str, range(40)), b"")])
def test_a_full_disk_leaves_nothing_and_is_free_again(small_disk: Path, files: dict[str, bytes]) -> None:
    store = LocalStore(small_disk / "store")
    free = os.statvfs(small_disk).f_bfree
    with pytest.raises(StorageUnavailable, match="free space on the disk"):
        write(store, KEY, files)
    assert list(store.prefixes()) == []
    assert os.statvfs(small_disk).f_bfree >= free - 1
    assert read(store, write(store, KEY, FILES)) == FILES


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_store_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir(mode=0o500)
    with pytest.raises(StorageUnavailable, match="let the user that runs the worker write there"):
        write(LocalStore(tmp_path / "root"), KEY, FILES)


def test_a_root_that_is_a_file_is_storage_unavailable(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(StorageUnavailable):
        write(LocalStore(tmp_path / "root"), KEY, FILES)
    with pytest.raises(StorageUnavailable):
        list(LocalStore(tmp_path / "root").prefixes())
