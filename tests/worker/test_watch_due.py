"""When a folder is done, on listings that were never on a disk."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from detectors.tree import FileEntry
from worker.records import Look, Trigger
from worker.watch_due import NEVER, Rule, Seen, WatchTrigger, event_of, is_due, listing_of, reported, see
from worker.watch_roots import Run

QUIET = Rule(WatchTrigger.QUIET, 900)
MARKER = Rule(WatchTrigger.MARKER, 900)
RUN = Run("/runs/r1", "/runs/r1", "digits", "r1")
TODAY = 1_000_000.0
"""The time of files at the first look."""


def look(**changed: float | None) -> Look:
    """Return a look at files, each with the time it last changed, which is also its version. `__` stands for a slash."""
    entries = [FileEntry(name.replace("__", "/"), 1, str(at), at) for name, at in sorted(changed.items())]
    return Look(TODAY, tuple(entries))


def seen(rule: Rule, *looks: tuple[float, Look]) -> Seen | None:
    """Return what is known after *looks*, each with the seconds that passed since the first."""
    known = None
    for now, one in looks:
        listing = listing_of(one, rule)
        assert listing is not None
        known = see(known, listing, rule, now, TODAY + now)
    return known


def due(rule: Rule, *looks: tuple[float, Look]) -> float:
    known = seen(rule, *looks)
    assert known is not None
    return known.due


def test_a_folder_that_has_rested_long_enough_is_due_at_the_first_look() -> None:
    assert due(QUIET, (0, look(model=TODAY - 900))) == 0
    assert due(QUIET, (0, look(model=TODAY - 5000))) == 0


def test_a_folder_that_changed_a_moment_ago_rests_for_what_is_left() -> None:
    assert due(QUIET, (0, look(model=TODAY - 5000, log=TODAY - 100))) == 800


def test_files_from_the_future_and_without_a_time_rest_from_now_on() -> None:
    assert due(QUIET, (7, look(model=TODAY + 86_400))) == 907
    assert due(QUIET, (7, look(model=None))) == 907


def test_a_change_begins_the_quiet_time_again() -> None:
    before = look(checkpoint_1=TODAY - 100)
    assert due(QUIET, (0, before), (500, look(checkpoint_1=TODAY - 100, checkpoint_2=TODAY + 490))) == 1400


def test_a_file_that_is_gone_begins_the_quiet_time_again() -> None:
    both = look(a=TODAY - 5000, b=TODAY - 5000)
    assert due(QUIET, (0, both), (10, look(a=TODAY - 5000))) == 910


def test_an_equal_listing_changes_nothing() -> None:
    one = look(model=TODAY)
    assert due(QUIET, (0, one), (300, one), (600, one)) == 900


def test_periodic_checkpoints_are_one_report() -> None:
    """A checkpoint every 100 s for a day, and a quiet time of 900 s: due once, 900 s after the last."""
    known, dues = None, []
    for number in range(864):
        now = number * 100.0
        listing = listing_of(look(checkpoint=TODAY + now), QUIET)
        assert listing is not None
        known = see(known, listing, QUIET, now, TODAY + now)
        dues.append(is_due(known, now))
    assert not any(dues)
    assert known is not None
    assert known.due == 86_300 + 900


def test_without_its_marker_a_folder_is_never_due() -> None:
    assert due(MARKER, (0, look(model=TODAY - 10_000_000))) == NEVER


def test_a_marker_that_was_written_last_is_due_at_once() -> None:
    assert due(MARKER, (0, look(model=TODAY - 1)), (3, look(model=TODAY - 1, _SUCCESS=TODAY + 2))) == 3
    assert due(MARKER, (3, look(model=TODAY, _SUCCESS=TODAY))) == 3


def test_a_marker_alone_is_due() -> None:
    assert due(MARKER, (3, look(_SUCCESS=TODAY))) == 3


def test_what_changed_after_the_marker_rests_until_the_marker_is_new() -> None:
    done, changed = look(model=TODAY - 9, _SUCCESS=TODAY - 5), look(model=TODAY + 90, _SUCCESS=TODAY - 5)
    assert due(MARKER, (0, done), (100, changed)) == 1000
    assert due(MARKER, (0, done), (100, changed), (200, look(model=TODAY + 90, _SUCCESS=TODAY + 195))) == 200


def test_a_marker_counts_as_deep_as_the_rule_says() -> None:
    nested = look(export__model=TODAY, export___SUCCESS=TODAY)
    assert due(MARKER, (0, nested)) == NEVER
    assert due(Rule(WatchTrigger.MARKER, 900, depth=1), (0, nested)) == 0


def test_the_name_of_the_marker_may_be_another() -> None:
    rule = Rule(WatchTrigger.MARKER, 900, markers=frozenset({"DONE"}))
    assert due(rule, (0, look(model=TODAY, _SUCCESS=TODAY))) == NEVER
    assert due(rule, (0, look(model=TODAY, DONE=TODAY))) == 0


def test_a_marker_means_nothing_where_quiet_is_wanted() -> None:
    assert due(QUIET, (0, look(model=TODAY, _SUCCESS=TODAY))) == 900


def test_a_folder_without_files_is_not_begun() -> None:
    assert listing_of(look(), QUIET) is None


def test_the_event_says_what_the_run_is() -> None:
    event = event_of(RUN, Seen("d1", 0), "red")
    assert (event.source, event.model_path, event.team, event.project) == ("watch", "/runs/r1", "red", "digits")
    assert (event.experiment, event.trigger) == ("r1", Trigger.WATCH)


def test_equal_listings_of_one_run_make_one_event() -> None:
    event = event_of(RUN, Seen("d1", 0), "red")
    assert event_of(RUN, Seen("d1", 77, is_reported=True), "red") == event
    others = [
        event_of(RUN, Seen("d2", 0), "red"),
        event_of(RUN, Seen("d1", 0), "blue"),
        event_of(Run("/runs/r1", "/runs/r1", "letters", "r1"), Seen("d1", 0), "red"),
        event_of(Run("/runs/r2", "/runs/r2", "digits", "r1"), Seen("d1", 0), "red"),
    ]
    assert len({event.id, *(other.id for other in others)}) == 5


LOOKS = st.lists(st.tuples(st.floats(0, 2000), st.integers(0, 3)), min_size=1, max_size=12)
"""(seconds since the look before, which of four contents was there)."""


@given(LOOKS)
def test_a_folder_that_changes_before_it_is_due_is_not_due(steps: list[tuple[float, int]]) -> None:
    now, known, contents = 0.0, None, []
    for passed, content in steps:
        now += passed
        listing = listing_of(look(model=TODAY + content), QUIET)
        assert listing is not None
        known = see(known, listing, QUIET, now, TODAY + now)
        contents.append((now, content))
        if is_due(known, now) and len(contents) > 1:
            since = next((later for (_, a), (later, b) in reversed(list(pairwise(contents))) if a != b), None)
            assert since is None or now - since >= 900


@given(LOOKS)
def test_the_same_listing_is_due_once(steps: list[tuple[float, int]]) -> None:
    now, known, last = 0.0, None, None
    for passed, content in steps:
        now += passed
        listing = listing_of(look(model=TODAY + content), QUIET)
        assert listing is not None
        known = see(known, listing, QUIET, now, TODAY + now)
        if is_due(known, now):
            assert last != (content,)
            known, last = reported(known), (content,)
        elif last != (content,):
            last = None
