"""Hostile ONNX models: what they name outside is told, placed, and never read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from detectors.facts import Finding, State
from detectors.local_tree import LocalTree
from detectors.scan import Scan, Verdict, scan
from tests.attacks import onnx as attack
from tests.attacks.scan_each import BEGIN
from tests.servers.process import NoServer, skip_without

PROJECT = Path(__file__).parents[2]


def look_at(folder: Path) -> Scan:
    with LocalTree(folder) as tree:
        return scan(tree)


def of_external_data(findings: tuple[Finding, ...]) -> set[tuple[attack.Told, str]]:
    """Return what was found but for the symbolic link itself, which is told wherever it lies."""
    return {(attack.Told(one.rule, one.severity), one.place) for one in findings if one.rule != "link-outside"}


@pytest.mark.parametrize("position", attack.POSITIONS)
@pytest.mark.parametrize("is_large", [False, True])
def test_whatever_is_wrong_with_external_data_is_told_at_its_place(
    position: str, is_large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small models are parsed as they are, large ones without their weights."""
    if is_large:
        monkeypatch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", -1)
    attack.write_outside(tmp_path)
    for case in attack.cases_at(position, str(tmp_path)):
        found = look_at(attack.write(tmp_path, case.name, case.files))
        (model,) = found.models
        assert of_external_data(found.findings) == {(told, case.place) for told in case.told}, case.name
        completeness = model.extraction.completeness
        assert (completeness.state is State.COMPLETE) is case.is_complete, case.name
        assert all(case.place in problem.problem for problem in completeness.problems), case.name
        assert completeness.problems or found.findings, case.name


def test_the_matrix_is_at_least_as_large_as_was_asked_for() -> None:
    assert len(attack.POSITIONS) >= 12
    assert len(attack.FORMS) >= 20
    assert len(attack.FAULTS) == 7
    assert len(list(attack.cases("/x"))) == 14 * 23 * 7


@pytest.mark.parametrize("position", attack.POSITIONS)
def test_external_data_with_nothing_wrong_is_clean_at_every_place(position: str, tmp_path: Path) -> None:
    found = look_at(attack.write(tmp_path, "honest", attack.honest_files(position)))
    assert found.verdict is Verdict.CLEAN
    assert found.findings == ()
    assert found.models[0].extraction.facts.details["external_data"][0]["location"] == "data/w.bin"


def test_files_of_one_tree_may_be_hard_links_of_each_other(tmp_path: Path) -> None:
    """Two models that share their weights, as some writers of several variants save them."""
    first = attack.write(tmp_path, "run/1", attack.honest_files("initializer"))
    second = {attack.MAIN: (first / attack.MAIN).read_bytes(), "data/w.bin": attack.HardLink("../1/data/w.bin")}
    attack.write(tmp_path, "run/2", second)
    both = look_at(tmp_path / "run")
    assert (len(both.models), both.findings) == (2, ())
    assert [found.rule for found in look_at(tmp_path / "run/2").findings] == ["hard-link-outside"]


TRACED = "open,openat,openat2,creat,read,pread64,readv,preadv,preadv2,mmap,sendfile,splice,copy_file_range,io_uring_setup"
NAMED = "stat,newfstatat,statx"
OPENED = re.compile(r" (?:open|creat).*\) = \d+<(.*)>$")
"""What `strace -y` says of a file that was opened."""


def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        raise NoServer("strace is missing: apt-get install strace")
    tried = subprocess.run([found, "-o", os.devnull, "true"], capture_output=True, text=True, timeout=60)
    if tried.returncode:
        raise NoServer(f"strace may not look at a process: {tried.stderr.strip()}")
    return found


@dataclass
class Seen:
    """What a traced program did after it asked for the file `BEGIN`: files it opened, calls that gave the marker, sockets."""

    said: str
    opened: list[str]
    leaked: list[str]
    sockets: list[str]


def traced(log: Path, *command: str) -> Seen:
    watch = [strace(), "-f", "-y", "-s", "100", "-e", f"trace={TRACED},{NAMED},%network", "--seccomp-bpf", "-o", str(log)]
    ended = subprocess.run([*watch, *command], check=True, capture_output=True, text=True, timeout=300, cwd=PROJECT)
    calls = log.read_text(encoding="utf-8", errors="replace").partition(BEGIN)[2].splitlines()[1:]
    return Seen(
        ended.stdout,
        [match[1] for call in calls if (match := OPENED.search(call))],
        [call for call in calls if attack.MARKER.decode() in call],
        [call for call in calls if "socket(" in call or "connect(" in call or "io_uring" in call],
    )


@pytest.mark.slow
def test_nothing_outside_is_opened_or_read_whatever_models_name(tmp_path: Path) -> None:
    """All cases in one process, seen by the kernel: what was opened lies in the folders, and no read gave the marker."""
    skip_without(strace, "WITHOUT_STRACE")
    attack.write_outside(tmp_path)
    made = list(attack.cases(str(tmp_path)))
    for number, case in enumerate(made):
        attack.write(tmp_path, f"{number:04}", case.files)
    seen = traced(tmp_path / "calls", sys.executable, "-m", "tests.attacks.scan_each", str(tmp_path))
    inside = re.compile(re.escape(str(tmp_path)) + r"/\d{4}(/|$)")
    assert len(seen.said.splitlines()) == len(made)
    assert len({path.removeprefix(f"{tmp_path}/")[:4] for path in seen.opened}) == len(made)
    assert [path for path in seen.opened if not inside.match(path)] == []
    assert (seen.leaked, seen.sockets) == ([], [])


@pytest.mark.slow
def test_a_program_that_reads_outside_or_calls_somebody_would_be_seen(tmp_path: Path) -> None:
    skip_without(strace, "WITHOUT_STRACE")
    attack.write_outside(tmp_path)
    naughty = f"""
import os, socket
os.path.exists({BEGIN!r})
open({str(tmp_path / attack.WHOLE)!r}, "rb").read()
socket.socket()
"""
    seen = traced(tmp_path / "calls", sys.executable, "-S", "-c", naughty)
    assert str(tmp_path / attack.WHOLE) in seen.opened
    assert (len(seen.leaked), len(seen.sockets)) == (1, 1)


@pytest.mark.slow
def test_bombs_cost_seconds_and_are_never_clean() -> None:
    """ONNX models and SavedModels of at most 25 MB, each in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.attacks.scan_bombs"], check=True, capture_output=True, text=True, timeout=300, cwd=PROJECT
    )
    costs = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(costs) > 50
    for cost in costs:
        assert cost["verdict"] in ("findings", "inconclusive") or (cost["verdict"] == "clean" and cost["findings"]), cost
        assert cost["seconds"] <= 5, cost
        assert cost["bytes"] < 1 << 30, cost
