"""A child that has been taken over: whatever it does, what is returned is bounded, and in time."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.worker.cage.hostile import HONEST
from tests.worker.cage.seat import BOTH, LANDLOCK, Kind, subject
from worker.cage.launcher import KEPT_BYTES, Limits, Subject
from worker.verification import MAX_ANSWER_BYTES, Ending, Seen

MB = 1 << 20


def run(kind: Kind, wanted: Subject, **limits: float) -> Seen:
    return kind.cage().run(wanted, Limits(**{"seconds": 30.0, "memory_bytes": 512 * MB, **limits}))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", BOTH)
def test_who_sleeps_is_ended_in_time(kind: Kind) -> None:
    began = time.monotonic()
    seen = run(kind, subject("hostile", how="sleep"), seconds=1.0)
    assert (seen.ending, seen.detail) == (Ending.TIME, "1 s")
    assert 1.0 <= seen.seconds < 1.5
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize("kind", BOTH)
def test_who_spins_is_ended_in_time(kind: Kind) -> None:
    assert run(kind, subject("hostile", how="spin"), seconds=1.0).ending is Ending.TIME


def test_processor_time_is_limited_by_itself() -> None:
    """Two seconds of one processor, whatever the clock says: the kernel counts them."""
    limits = Limits(seconds=30.0, processors=1).of_child(0)
    assert limits["cpu_seconds"] == 30
    assert Limits(seconds=0.2).of_child(0)["cpu_seconds"] == 1


@pytest.mark.parametrize("kind", BOTH)
def test_who_wants_all_memory_gets_none(kind: Kind) -> None:
    seen = run(kind, subject("hostile", how="heap"), memory_bytes=256 * MB)
    assert seen.ending is Ending.MEMORY
    assert seen.peak_bytes <= 1.1 * 256 * MB


@pytest.mark.parametrize("kind", BOTH)
def test_memory_that_is_no_heap_counts(kind: Kind) -> None:
    seen = run(kind, subject("hostile", how="mapped", bytes=300 * MB), memory_bytes=200 * MB)
    assert seen.ending is Ending.MEMORY
    assert seen.detail.endswith(f"{200 * MB} allowed")


@pytest.mark.parametrize("kind", BOTH)
def test_temporary_files_are_limited(kind: Kind) -> None:
    seen = run(kind, subject("hostile", how="disk"), tmp_bytes=4 * MB)
    assert seen.ending in (Ending.DISK, Ending.CRASHED)
    assert seen.ending is Ending.DISK or "No space left" in seen.detail


@pytest.mark.parametrize("kind", BOTH)
def test_threads_are_limited(kind: Kind) -> None:
    seen = run(kind, subject("hostile", how="threads"), threads=20)
    assert seen.claims is not None
    of_memory = 512 * MB // (8 * MB)  # the kernel counts no threads of root; their stacks take memory all the same
    assert 5 <= int(seen.claims.framework) <= (of_memory if os.getuid() == 0 else 40)


@pytest.mark.parametrize("kind", BOTH)
def test_who_crashes_is_told_by_the_signal(kind: Kind) -> None:
    seen = run(kind, subject("hostile", how="crash"))
    assert (seen.ending, seen.detail) == (Ending.CRASHED, "SIGSEGV")


def test_who_leaves_without_a_word_is_told_by_the_status() -> None:
    seen = run(LANDLOCK, subject("hostile", how="exit"))
    assert (seen.ending, seen.detail) == (Ending.CRASHED, "exit status 3")


@pytest.mark.parametrize("kind", BOTH)
def test_who_hangs_up_and_goes_on_is_ended(kind: Kind) -> None:
    began = time.monotonic()
    seen = run(kind, subject("hostile", how="hang up"))
    assert (seen.ending, seen.detail) == (Ending.NONSENSE, "it hung up without an answer, and went on")
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("kind", BOTH)
def test_memory_that_was_taken_for_a_moment_is_told(kind: Kind) -> None:
    """However soon it was over: the kernel remembers the most, and who answered is looked at before it ends."""
    seen = run(kind, subject("hostile", how="allocate", bytes=100 * MB))
    assert seen.ending is Ending.ANSWERED
    assert 100 * MB < seen.peak_bytes < 200 * MB


@pytest.mark.parametrize("kind", BOTH)
def test_a_gigabyte_of_output_is_read_and_dropped(kind: Kind) -> None:
    seen = run(kind, subject("hostile", how="stdout", bytes=1 << 30))
    assert seen.ending is Ending.ANSWERED
    assert KEPT_BYTES == 16 << 10


@pytest.mark.parametrize(
    "body",
    [
        b"\0" * 10,
        b"{",
        json.dumps(HONEST | {"load_seconds": float("nan")}).encode(),
        json.dumps(HONEST | {"load_seconds": -1}).encode(),
        json.dumps(HONEST).encode() * 2,
        b'{"lacks": 1}',
    ],
)
def test_nonsense_is_told(body: bytes) -> None:
    seen = run(LANDLOCK, subject("hostile", how="raw", hex=body.hex()))
    assert (seen.ending, seen.claims) == (Ending.NONSENSE, None)
    assert seen.detail.isprintable()


@pytest.mark.parametrize("kind", BOTH)
def test_whatever_the_child_says_what_is_returned_is_bounded(kind: Kind) -> None:
    """Whatever the child says, what is returned is bounded."""
    seen = run(kind, subject("hostile", how="long", hex=(b"a" * 65536).hex(), times=100_000))
    assert (seen.ending, seen.detail) == (Ending.NONSENSE, f"it is longer than {MAX_ANSWER_BYTES} bytes")


def test_control_characters_are_escaped() -> None:
    answer = json.dumps(HONEST | {"error": "\x1b]0;evil\x07\r"}).encode()
    seen = run(LANDLOCK, subject("hostile", how="raw", hex=answer.hex()))
    assert seen.claims is not None
    assert seen.claims.error == "\\x1b]0;evil\\x07\\r"


def test_without_a_listener_it_is_as_tight_and_says_less() -> None:
    from worker.cage.launcher import run as run_in
    from worker.verification import Rung

    LANDLOCK.cage()
    seen = run_in(subject("hostile", how="nothing"), Rung.LANDLOCK, Limits(seconds=30), may_listen=False)
    assert (seen.ending, seen.is_watched, seen.tried) == (Ending.ANSWERED, False, ())


def test_limits_are_above_nothing() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Limits(seconds=0)
