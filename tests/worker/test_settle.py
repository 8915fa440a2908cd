"""Whether a tree has come to rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.tree import FileEntry, Passed, PassedOver
from worker.records import Look, NamedFile
from worker.settle import Settled, Wait, have_rested, rest_of, rest_of_broken, settle


def entry(path: str = "a", size: int = 1, version: str = "v", changed: float | None = None) -> FileEntry:
    return FileEntry(path, size, version, changed)


def test_files_that_rested_long_enough_are_settled_at_the_first_look() -> None:
    assert settle(None, Look(100.0, (entry(changed=94.0),)), 5.0) == Settled()


def test_a_file_that_changed_a_moment_ago_waits_for_the_rest_of_the_quiet_period() -> None:
    look = Look(100.0, (entry("a", changed=90.0), entry("b", changed=98.0)))
    assert settle(None, look, 5.0) == Wait(3.0, "files changed a moment ago", rest_of(look))


def test_a_file_without_a_time_is_looked_at_twice() -> None:
    look = Look(100.0, (entry(changed=None),))
    assert settle(None, look, 5.0) == Wait(5.0, "files changed a moment ago", rest_of(look))


def test_a_file_from_the_future_is_looked_at_twice() -> None:
    look = Look(100.0, (entry(changed=9e9),))
    assert settle(None, look, 5.0) == Wait(5.0, "files changed a moment ago", rest_of(look))


def test_files_are_as_old_as_their_own_clock_says() -> None:
    """And two looks are as far apart as the registry's says, which all workers share."""
    entries = (entry(changed=94.0),)
    late = Look(100.0, entries, files_at=97.0)
    assert settle(None, late, 5.0) == Wait(2.0, "files changed a moment ago", rest_of(late))
    assert settle(rest_of(Look(90.0, entries)), Look(95.0, entries, files_at=1.0), 5.0) == Settled()


def test_broken_files_from_the_future_are_not_waited_for_longer_than_others() -> None:
    assert rest_of_broken(Look(100.0, (entry(changed=7300.0),)), 5.0, 60.0) == 0.0


def test_what_is_still_being_uploaded_is_waited_for_unless_a_marker_or_the_event_says_that_all_is_there() -> None:
    upload = PassedOver("b", Passed.UNFINISHED, "is being uploaded since 12:00")
    look = Look(100.0, (entry(changed=1.0),), (upload,))
    assert settle(None, look, 5.0) == Wait(5.0, "b is being uploaded since 12:00", rest_of(look))
    assert settle(rest_of(look), Look(900.0, look.entries, (upload,)), 5.0) == Wait(
        5.0, "b is being uploaded since 12:00", rest_of(Look(900.0, look.entries, (upload,)))
    )
    assert settle(None, look, 5.0, (NamedFile("a", 1),)) == Settled()
    assert settle(None, Look(100.0, (entry("_SUCCESS"),), (upload,)), 5.0) == Settled()


def test_an_empty_tree_is_looked_at_twice() -> None:
    look = Look(100.0, ())
    assert settle(None, look, 5.0) == Wait(5.0, "files changed a moment ago", rest_of(look))
    assert settle(rest_of(look), Look(105.0, ()), 5.0) == Settled()


def test_an_equal_listing_of_long_enough_ago_is_settled() -> None:
    assert settle(rest_of(Look(100.0, (entry(),))), Look(105.0, (entry(),)), 5.0) == Settled()


def test_an_equal_listing_of_too_short_ago_keeps_the_older_look() -> None:
    before = rest_of(Look(100.0, (entry(),)))
    assert settle(before, Look(103.0, (entry(),)), 5.0) == Wait(2.0, "waiting for a second look", before)


def test_a_difference_starts_the_quiet_period_again_and_says_how_much_moved() -> None:
    now = Look(104.0, (entry("a"), entry("b", version="new", size=3)))
    before = rest_of(Look(100.0, (entry("a"), entry("b", version="old", size=2))))
    reason = "still changing: 2 files of 3 bytes before, 2 files of 4 bytes now"
    assert settle(before, now, 5.0) == Wait(5.0, reason, rest_of(now))


def test_a_file_that_appeared_is_a_difference() -> None:
    now = Look(105.0, (entry("a"), entry("c")))
    assert isinstance(settle(rest_of(Look(100.0, (entry("a"),))), now, 5.0), Wait)


@pytest.mark.parametrize("marker", ["_SUCCESS", "commit_success.txt", ".complete"])
def test_a_marker_at_the_top_ends_the_wait_at_once(marker: str) -> None:
    fresh = entry("model.onnx", changed=100.0)
    assert settle(None, Look(100.0, (entry(marker, changed=100.0), fresh)), 5.0) == Settled()
    assert isinstance(settle(None, Look(100.0, (entry(f"old/{marker}", changed=100.0), fresh)), 5.0), Wait)


def test_a_marker_that_an_earlier_run_left_says_nothing_of_newer_files() -> None:
    entries = (entry("_SUCCESS", changed=10.0), entry("model.onnx", changed=98.0))
    assert settle(None, Look(100.0, entries), 5.0) == Wait(3.0, "files changed a moment ago", rest_of(Look(100.0, entries)))
    assert settle(None, Look(103.0, entries), 5.0) == Settled()
    assert settle(None, Look(98.0, (entry("_SUCCESS"), entries[1])), 5.0) == Settled(), "storage that keeps no times"


@pytest.mark.parametrize(("quiet", "rest"), [(0.0, 0.0), (2.0, 14.0), (5.0, 50.0), (60.0, 50.0), (200.0, 140.0)])
def test_a_model_that_looks_broken_must_rest_for_longer(quiet: float, rest: float) -> None:
    """Twelve quiet periods, at most a minute, never less than one; and at most what the caller would wait at all."""
    look = Look(100.0, (entry("model.onnx", changed=90.0), entry("old", changed=1.0), entry("timeless")))
    assert rest_of_broken(look, quiet, 150.0) == pytest.approx(rest if quiet else -10.0)
    assert rest_of_broken(look, 60.0, 30.0) == 20.0


def test_a_model_that_looks_broken_is_one_where_its_writer_said_that_it_is_done() -> None:
    fresh = entry("model.onnx", changed=100.0)
    assert rest_of_broken(Look(100.0, (entry("_SUCCESS", changed=100.0), fresh)), 5.0, 60.0) == 0.0
    assert rest_of_broken(Look(100.0, (fresh,)), 5.0, 60.0, (NamedFile("model.onnx", 1),)) == 0.0
    assert rest_of_broken(Look(100.0, (entry("model.onnx"),)), 5.0, 60.0) == 0.0


def test_files_that_the_event_names_are_taken_once_all_are_there() -> None:
    named = (NamedFile("a", 2), NamedFile("b", 1))
    look = Look(100.0, (entry("a", 1, changed=0.0),))
    assert settle(None, look, 5.0, named) == Wait(5.0, "a: expected 2 bytes, found 1", rest_of(look))
    look = Look(101.0, (entry("a", 2, changed=100.0),))
    assert settle(None, look, 5.0, named) == Wait(5.0, "b: expected 1 bytes, found no such file", rest_of(look))
    assert settle(None, Look(102.0, (entry("a", 2, changed=102.0), entry("b", 1))), 5.0, named) == Settled()


@given(st.floats(0, 1e6), st.floats(0, 100), st.floats(0.1, 100))
def test_nothing_is_settled_before_the_quiet_period_is_over(at: float, age: float, quiet: float) -> None:
    decision = settle(rest_of(Look(at, (entry(),))), Look(at + age, (entry(),)), quiet)
    if isinstance(decision, Wait):
        assert 0 < decision.seconds <= quiet
    else:
        assert (at + age) - at >= quiet


def test_files_have_rested_where_each_says_that_it_changed_that_long_ago() -> None:
    old, young, silent = entry(changed=40.0), entry("young", changed=80.0), entry("silent")
    assert have_rested(Look(100.0, (old,)), 60.0)
    for other in (young, silent, entry("tomorrow", changed=86400.0)):
        assert not have_rested(Look(100.0, (old, other)), 60.0)
