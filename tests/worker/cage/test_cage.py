"""What a caged process can and cannot do, in each kind of cage; and what is told of what it tried."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.process import descendants, until
from tests.worker.cage.probe import WAYS
from tests.worker.cage.seat import BOTH, BUBBLEWRAP, LANDLOCK, Kind, model_file, subject
from worker.cage.launcher import Limits
from worker.cage.view import NOBODY
from worker.verification import Ending, Seen, Tried

SECRET = "MODELPORT_TOKEN"
LIMITS = Limits(seconds=60, memory_bytes=1 << 30, tmp_bytes=8 << 20)

OPEN_IN_LANDLOCK = {"much disk"}
"""What one call does not stop there: the launcher ends a child whose files take too much (test_launcher)."""


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every user may read and write: it is the cage alone that keeps anybody out."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "writable").mkdir()
    (folder / "writable").chmod(0o777)
    (folder / "readable").write_text("secret")
    model_file(folder)
    return folder


def probe(kind: Kind, outside: Path) -> Seen:
    abstract = secrets.token_hex(8)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0" + abstract)
        unix.listen()
        return kind.cage().run(
            subject(
                "probe",
                model_file(outside),
                port=listener.getsockname()[1],
                abstract=abstract,
                outside=str(outside),
                model_path="model.bin",
                secret=SECRET,
                pid=os.getppid(),
                other_user=1234,
                # What it writes in Landlock is little, or the launcher may see it and end the probe.
                tmp_bytes=LIMITS.tmp_bytes if kind is BUBBLEWRAP else 0,
                cpu_seconds=LIMITS.of_child(0)["cpu_seconds"],
            ),
            LIMITS,
        )


@pytest.fixture(scope="module")
def probed(outside: Path) -> Iterator[dict[str, Seen]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SECRET, "hidden")
        yield {}


def seen_of(kind: Kind, probed: dict[str, Seen], outside: Path) -> Seen:
    """Return what the probe found in the cage of this kind; it runs once for all tests of a kind."""
    if kind.excuse not in probed:
        probed[kind.excuse] = probe(kind, outside)
    seen = probed[kind.excuse]
    assert seen.ending is Ending.ANSWERED, seen.detail
    assert seen.claims is not None
    return seen


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.slow
def test_no_way_leads_out_of_bubblewrap(way: str, probed: dict[str, Seen], outside: Path) -> None:
    claims = seen_of(BUBBLEWRAP, probed, outside).claims
    assert claims is not None
    run = next(run for run in claims.runs if run.name == way)
    assert not run.runs, run.error


@pytest.mark.parametrize("way", sorted(WAYS))
def test_few_ways_lead_out_of_landlock(way: str, probed: dict[str, Seen], outside: Path) -> None:
    claims = seen_of(LANDLOCK, probed, outside).claims
    assert claims is not None
    run = next(run for run in claims.runs if run.name == way)
    assert run.runs is (way in OPEN_IN_LANDLOCK), run.error


def test_at_least_twenty_five_ways_are_tried() -> None:
    assert len(WAYS) >= 25


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_is_left_outside(kind: Kind, probed: dict[str, Seen], outside: Path) -> None:
    seen_of(kind, probed, outside)
    assert list((outside / "writable").iterdir()) == []
    assert (outside / "model.bin").read_text() == "the model"


@pytest.mark.parametrize("kind", BOTH)
def test_what_was_tried_is_told(kind: Kind, probed: dict[str, Seen], outside: Path) -> None:
    seen = seen_of(kind, probed, outside)
    tried = {(one.what, one.target) for one in seen.tried}
    assert seen.is_watched
    assert ("call", "socket (internet)") in tried
    assert ("call", "socket (unix)") in tried
    assert ("call", "clone") in tried
    assert ("call", "execve") in tried
    assert ("call", "bpf") in tried
    assert ("read", "/etc/shadow") in tried
    assert ("read", str(outside / "readable")) in tried
    assert ("write", str(outside / "writable" / "mark")) in tried


@pytest.mark.parametrize("kind", BOTH)
def test_a_call_that_hands_over_in_memory_how_it_opens_is_told_as_what_it_is(kind: Kind, outside: Path) -> None:
    """Its own Python may be read, so that opening it is told where somebody would write."""
    own = os.__file__
    opened = [(own, os.O_RDONLY), ("/etc/shadow", os.O_RDONLY), (own, os.O_WRONLY), (own, os.O_RDWR), ("/etc/hosts", None)]
    seen = kind.cage().run(subject("hostile", model_file(outside), how="openat2", opened=opened), LIMITS)
    assert seen.claims is not None
    first, *others = seen.claims.error.split()
    assert (first, len(others), "opened" in others) == ("opened", 4, False)
    assert seen.tried == (Tried("read", "/etc/shadow", 1), Tried("write", own, 2), Tried("write", "/etc/hosts", 1))


@pytest.mark.parametrize("kind", BOTH)
def test_its_own_model_can_be_read(kind: Kind, outside: Path) -> None:
    seen = kind.cage().run(subject("hostile", model_file(outside), how="read", wanted_path="model.bin"), LIMITS)
    assert seen.claims is not None
    assert seen.claims.error == "read the model"
    assert seen.tried == ()


@pytest.mark.skipif(os.getuid() != 0, reason="another user is root's to be")
@pytest.mark.slow
def test_root_is_nobody_inside_bubblewrap(outside: Path) -> None:
    """What root starts could read whatever root can, if it were not another user."""
    secret = outside / "of root"
    secret.write_text("secret")
    secret.chmod(0o600)
    seen = BUBBLEWRAP.cage().run(subject("hostile", {"model.bin": str(secret)}, how="read", wanted_path="model.bin"), LIMITS)
    assert seen.claims is not None
    assert "PermissionError" in seen.claims.error


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_is_left_of_a_child_when_run_returns(kind: Kind) -> None:
    """Nothing of the child is left when `run` returns."""
    before = set(descendants(os.getpid()))
    kind.cage().run(subject("hostile", how="sleep"), Limits(seconds=0.5))
    assert until(lambda: set(descendants(os.getpid())) <= before, 2.0)


@pytest.mark.parametrize("kind", BOTH)
def test_a_cage_is_there_soon(kind: Kind) -> None:
    began = time.monotonic()
    kind.cage().run(subject("hostile", how="nothing"), LIMITS)
    assert time.monotonic() - began < 5.0


def test_nobody_is_a_user_without_files() -> None:
    assert NOBODY == 65534
