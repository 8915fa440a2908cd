"""The contract suite of `Store`: what every store must do, wherever it keeps the bytes.

A store joins by subclassing `StoreContract` and giving it a fixture `store`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest

from detectors.errors import TreeChanged
from detectors.tree import FileEntry
from worker.errors import RejectedLocation, StorageUnavailable
from worker.ports import Store
from worker.records import StoreKey

KEY = StoreKey("team", "project", "run-7", "mo1a2b3c4d5e6f")
OTHER = StoreKey("team", "project", "run-8", "moother0000000")
FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"index", "variables/deep/er/x": b"", "a.b": b"\x00\xff"}

HOSTILE_NAMES = ["../../x", "", ".", "..", "x" * 5000, "é/ü", "a b", "\0", "\udcff", "\ud800", "~", "%"]


class Interrupted(Exception):
    """What goes wrong in a test on purpose."""


def entry(path: str, data: bytes = b"") -> FileEntry:
    return FileEntry(path, len(data), "1")


def write(store: Store, key: StoreKey, files: Mapping[str, bytes]) -> str:
    """Write *files*, each in two pieces, and return their URL."""
    with store.writing(key) as open_sink:
        for path, data in files.items():
            with open_sink(entry(path, data)) as sink:
                sink.write(data[:2])
                sink.write(data[2:])
    return store.url(key)


def read(store: Store, url: str) -> dict[str, bytes]:
    """Return everything below *url*."""
    with store.opened(url) as tree:
        return {file.path: tree.read(file.path, 0, file.size) for file in tree.files()}


def is_visible(store: Store, key: StoreKey) -> bool:
    try:
        read(store, store.url(key))
    except StorageUnavailable:
        return False
    return True


class StoreContract:
    """The laws of any store."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("the subclass says which store")

    def test_what_was_written_is_read_again(self, store: Store) -> None:
        assert read(store, write(store, KEY, FILES)) == FILES

    def test_a_version_without_files_is_an_empty_tree(self, store: Store) -> None:
        assert read(store, write(store, KEY, {})) == {}

    def test_nothing_is_visible_before_the_context_ends(self, store: Store) -> None:
        with store.writing(KEY) as open_sink:
            with open_sink(entry("a")) as sink:
                sink.write(b"1")
            assert not is_visible(store, KEY)
        assert is_visible(store, KEY)

    @pytest.mark.parametrize("error", [Interrupted, TreeChanged("a", "gone"), KeyboardInterrupt, StorageUnavailable("full")])
    def test_an_error_inside_comes_out_as_it_is_and_leaves_nothing(self, store: Store, error: BaseException) -> None:
        def fail() -> None:
            with store.writing(KEY) as open_sink, open_sink(entry("a/b")) as sink:
                sink.write(b"1")
                raise error

        with pytest.raises(error if isinstance(error, type) else type(error)):
            fail()
        assert not is_visible(store, KEY)
        assert list(store.prefixes()) == []

    def test_an_error_after_the_last_file_leaves_nothing(self, store: Store) -> None:
        with suppress(Interrupted), store.writing(KEY) as open_sink:
            with open_sink(entry("a")) as sink:
                sink.write(b"1")
            raise Interrupted
        assert not is_visible(store, KEY)

    def test_the_end_gives_signs_of_life_and_what_they_raise_leaves_nothing(self, store: Store) -> None:
        def write_owned_by_another() -> None:
            with store.writing(KEY, 2, lose) as open_sink:
                with open_sink(entry("a/b", b"1")) as sink:
                    sink.write(b"1")
                assert not signs

        def lose() -> None:
            signs.append(1)
            raise Interrupted

        signs: list[int] = []
        with pytest.raises(Interrupted):
            write_owned_by_another()
        assert signs
        assert not is_visible(store, KEY)
        assert list(store.prefixes()) == []

    def test_a_file_that_failed_spoils_the_version_even_if_the_error_is_swallowed(self, store: Store) -> None:
        def swallow() -> None:
            with store.writing(KEY) as open_sink, suppress(Interrupted), open_sink(entry("half")) as sink:
                sink.write(b"1")
                raise Interrupted

        with pytest.raises(StorageUnavailable, match="half was not written to its end"):
            swallow()
        assert not is_visible(store, KEY)

    def test_writing_again_replaces_what_an_earlier_try_left(self, store: Store) -> None:
        write(store, KEY, {"old": b"1", "both": b"22", "folder/old": b"3"})
        again = {"both": b"4", "folder": b"now a file"}
        assert read(store, write(store, KEY, again)) == again

    def test_a_version_that_is_written_anew_is_there_all_the_time_as_it_was_or_as_it_is_now(self, store: Store) -> None:
        url = write(store, KEY, FILES)
        with store.writing(KEY) as open_sink:
            with open_sink(FileEntry("new", 1, "v")) as sink:
                sink.write(b"1")
            assert read(store, url) == FILES
        assert read(store, url) == {"new": b"1"}

    def test_a_second_try_that_fails_leaves_the_first_as_it_was(self, store: Store) -> None:
        url = write(store, KEY, FILES)
        with suppress(Interrupted), store.writing(KEY):
            raise Interrupted
        assert read(store, url) == FILES

    def test_what_earlier_attempts_left_changes_nothing_about_what_is_written(self, store: Store) -> None:
        left, never = store.url(OTHER), store.url(StoreKey("team", "project", "run-9", "monever0000000"))
        write(store, OTHER, {"a": b"left", "folder/b": b"left too"})
        with store.writing(KEY, 0, lambda: None, [left, never]) as open_sink, open_sink(entry("a", b"new")) as sink:
            sink.write(b"new")
        assert read(store, store.url(KEY)) == {"a": b"new"}
        assert read(store, left) == {"a": b"left", "folder/b": b"left too"}

    def test_the_same_file_twice_is_refused(self, store: Store) -> None:
        with pytest.raises(StorageUnavailable):
            self._write_pairs(store, [("a", b"1"), ("a", b"2")])
        assert not is_visible(store, KEY)

    @pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", "a/.", "..", "", "a/", "a\0b"])
    def test_a_path_that_leads_elsewhere_is_refused(self, store: Store, path: str) -> None:
        with pytest.raises(ValueError, match="not the path of a listed file"):
            self._write_pairs(store, [(path, b"1")])
        assert not is_visible(store, KEY)

    @pytest.mark.parametrize(
        "name",
        ["\udcff\udcfe.onnx", "new\nline", "n" * 255, "модель", "-rf", "back\\slash", " ", ".incoming", "model", "...", "%2e"],
    )
    def test_odd_names_come_back_as_they_were(self, store: Store, name: str) -> None:
        files = {name: b"1", f"{name}.d/{name}"[:250]: b"2"}
        if any(map(self.is_refused, files)):
            self._check_refused(store, files)
        else:
            assert read(store, write(store, KEY, files)) == files

    def test_a_path_longer_than_the_system_takes_comes_back(self, store: Store) -> None:
        path = "/".join(["folder" * 30] * 30) + "/file"
        assert len(path) > 4096
        if self.is_refused(path):
            self._check_refused(store, {path: b"1"})
        else:
            assert read(store, write(store, KEY, {path: b"1"})) == {path: b"1"}

    @staticmethod
    def is_refused(path: str) -> bool:
        """Tell whether what lies below the store knows no such name."""
        return False

    @staticmethod
    def _check_refused(store: Store, files: Mapping[str, bytes]) -> None:
        with pytest.raises(RejectedLocation, match=r"object storage takes no name|its key would take"):
            write(store, KEY, files)
        assert not is_visible(store, KEY)

    @pytest.mark.parametrize("hostile", HOSTILE_NAMES)
    def test_hostile_keys_are_prefixes_of_their_own(self, store: Store, hostile: str) -> None:
        keys = [StoreKey(hostile, "p", "e", "m"), StoreKey("t", hostile, "e", "m"), StoreKey("t", "p", hostile, "m")]
        urls = [write(store, key, {"f": str(number).encode()}) for number, key in enumerate(keys)]
        assert [read(store, url) for url in urls] == [{"f": b"0"}, {"f": b"1"}, {"f": b"2"}]

    def test_no_experiment_is_uploads(self, store: Store) -> None:
        assert store.url(StoreKey("t", "p", None, "mo1")).endswith("/t/p/uploads/mo1/model")

    def test_the_url_is_known_before_and_does_not_change(self, store: Store) -> None:
        before = store.url(KEY)
        assert before.endswith("/team/project/run-7/mo1a2b3c4d5e6f/model")
        assert write(store, KEY, FILES) == before == store.url(KEY)

    def test_a_version_that_is_not_there_is_storage_unavailable(self, store: Store) -> None:
        with pytest.raises(StorageUnavailable):
            read(store, store.url(KEY))

    def test_remove_takes_one_version_and_leaves_the_others(self, store: Store) -> None:
        write(store, KEY, FILES)
        write(store, OTHER, FILES)
        store.remove(store.url(KEY))
        assert not is_visible(store, KEY)
        assert read(store, store.url(OTHER)) == FILES
        assert list(store.prefixes()) == [(OTHER.version_id, store.url(OTHER))]

    def test_remove_twice_is_harmless(self, store: Store) -> None:
        write(store, KEY, FILES)
        for _ in range(3):
            store.remove(store.url(KEY))
        assert list(store.prefixes()) == []

    def test_a_removed_version_can_be_written_again(self, store: Store) -> None:
        store.remove(write(store, KEY, {"a": b"1"}))
        assert read(store, write(store, KEY, {"b": b"2"})) == {"b": b"2"}

    @pytest.mark.parametrize(
        "change", ["{root}", "{root}/", "{url}/", "{url}/..", "{root}/../../../model", "{url}?x", "", "/etc"]
    )
    def test_only_a_version_of_this_store_is_removed_or_read(self, store: Store, change: str) -> None:
        url = write(store, KEY, FILES)
        other = change.format(url=url, root=url.removesuffix("/team/project/run-7/mo1a2b3c4d5e6f/model"))
        for refused in (store.remove, lambda it: read(store, it)):
            with pytest.raises(StorageUnavailable, match="not a version in the store"):
                refused(other)
        assert read(store, url) == FILES

    @pytest.mark.parametrize("part", ["", ".", "..", "a/b", "%2e%2e", "\0", "%2Fetc"])
    def test_a_url_that_no_key_gives_is_refused(self, store: Store, part: str) -> None:
        with pytest.raises(StorageUnavailable, match="not a version in the store"):
            store.remove(store.url(KEY).replace("run-7", part))

    def test_prefixes_lists_finished_and_unfinished_versions(self, store: Store) -> None:
        write(store, KEY, FILES)
        with store.writing(OTHER):
            expected = {(KEY.version_id, store.url(KEY)), (OTHER.version_id, store.url(OTHER))}
            assert set(store.prefixes()) == expected

    def test_an_empty_store_has_no_prefixes(self, store: Store) -> None:
        assert list(store.prefixes()) == []

    def test_who_is_overtaken_by_another_try_cannot_publish(self, store: Store) -> None:
        """A process that slept through its own replacement wakes up and goes on."""

        def oversleep() -> None:
            with store.writing(KEY) as open_sink, open_sink(entry("stale")) as sink:
                sink.write(b"1")
                write(store, KEY, {"fresh": b"2"})

        with pytest.raises(StorageUnavailable):
            oversleep()
        assert read(store, store.url(KEY)) == {"fresh": b"2"}

    @staticmethod
    def _write_pairs(store: Store, files: list[tuple[str, bytes]]) -> None:
        with store.writing(KEY) as open_sink:
            for path, data in files:
                with open_sink(entry(path, data)) as sink:
                    sink.write(data)
