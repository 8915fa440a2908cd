"""`modelport queue`: how the work stands, and pausing, as a person at a terminal and a program see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.worker.conftest import json_of
from worker.bootstrap import Embedded
from worker.cli import queue_view, run, steering
from worker.set_aside import MemorySetAside
from worker.stranded import wrapped


def text_of(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert run(list(words)) == status
    return capsys.readouterr().out


def test_an_empty_queue_is_quiet(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json_of(capsys, "queue", "status")
    assert (told["verdict"]["title"], told["states"], told["failures"], told["workers"], told["paused"]) == (
        "Quiet",
        {"received": 0, "waiting": 0, "running": 0},
        [],
        [],
        False,
    )
    shown = text_of(capsys, "queue", "status").splitlines()
    assert shown[0] == "✓ Quiet  team default"
    assert shown[-1].startswith("No worker. What is reported waits until one is started")


def test_failures_are_told_by_reason_with_what_they_mean(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_of(capsys, "complete", "x", "--model-path", str(tmp_path / "late"), status=2)
    told = json_of(capsys, "queue", "status")
    [group] = told["failures"]
    assert (group["reason"], group["count"], told["finishedLastHour"]) == ("nothing-there", 1, {"failed": 1})
    shown = text_of(capsys, "queue", "status")
    assert "1  nothing-there  last " in shown
    assert "Nothing lies at the path. A retry fails again until something does." in shown
    assert group["newest"]["message"] in shown


def test_what_is_paused_is_not_begun_and_is_told_until_it_is_resumed(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paused = json_of(capsys, "queue", "pause", "--note", "the store moves")
    assert (paused["of"], paused["note"], paused["running"]) == ("team", "the store moves", 0)
    assert json_of(capsys, "rescan", str(model))["state"] == "received"
    again = text_of(capsys, "queue", "pause", "--note", "another reason")
    assert again.endswith(", and stays so for the reason given then: “the store moves”; nothing runs\n")
    told = json_of(capsys, "queue", "status")
    assert (told["paused"], told["pauses"][0]["note"], told["due"]) == (True, "the store moves", 1)
    shown = text_of(capsys, "queue", "status")
    assert shown.startswith("‖ PAUSED  team default\nSince ")
    assert (
        "“the store moves”. No worker begins anything of the team default. 1 ingestion may begin once it is resumed." in shown
    )
    assert text_of(capsys, "queue", "pause", "--all").startswith("the work of all teams is paused since ")
    resumed = text_of(capsys, "queue", "resume")
    assert resumed.endswith("; the work of all teams is still paused\n")
    assert json_of(capsys, "queue", "resume", "--all")["pauses"] == []
    assert text_of(capsys, "queue", "resume") == "it was not paused\n"
    assert json_of(capsys, "ingestions", "discard", told_id(capsys), "--note", "not needed")["state"] == "discarded"
    assert json_of(capsys, "audit", "--limit", "1")["audit"][0]["details"] == {"note": "not needed"}
    assert run(["queue", "pause", "--note", "x" * 501]) == 2


def told_id(capsys: pytest.CaptureFixture[str]) -> str:
    return str(json_of(capsys, "ingestions", "list")["ingestions"][0]["id"])


class Enough(Exception):
    """A test has seen enough."""


def test_it_is_watched_until_stopped(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) % 2 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(steering.time, "sleep", sleep)
    assert run(["queue", "status", "--watch", "--format", "json"]) == 130
    assert [json.loads(line)["team"] for line in capsys.readouterr().out.splitlines()] == ["default"] * 2
    assert run(["queue", "status", "--watch"]) == 130
    assert capsys.readouterr().out.count("✓ Quiet") == 2
    assert pauses == [2.0] * 4
    assert run(["queue", "status", "--watch", "--output", str(home / "x")]) == 4


def test_what_is_drawn_in_place_is_no_higher_than_the_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json_of(capsys, "queue", "status")
    console = Console(width=60, height=6, force_terminal=True)
    drawn = steering._drawn(console, told).plain.splitlines()
    assert len(drawn) == 6
    assert drawn[-1].startswith("as of ")
    assert drawn[-2].startswith("and ")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (130, "2 min 10 s"),
        (38 * 60 + 5, "38 min"),
        (7500, "2 h 5 min"),
        (1e6, "11 d"),
    ],
)
def test_a_time_is_told_in_one_unit_or_two(seconds: float, told: str) -> None:
    assert queue_view.span(seconds) == told


@pytest.fixture
def messages(home: Path, monkeypatch: pytest.MonkeyPatch) -> MemorySetAside:
    from datetime import UTC, datetime

    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    kept = MemorySetAside([wrapped(b"\x1b[31m<b>", "modelport", "no JSON", at), b"of an earlier release"])
    monkeypatch.setattr(Embedded, "set_aside", kept)
    return kept


def test_messages_that_nobody_could_read_are_shown_and_removed(
    messages: MemorySetAside, capsys: pytest.CaptureFixture[str]
) -> None:
    told: dict[str, Any] = json_of(capsys, "queue", "undecodable")
    first = told["messages"][0]
    assert (told["kept"], first["preview"], first["body"]) == (2, "\\x1b[31m<b>", None)
    assert json_of(capsys, "queue", "undecodable", "--id", first["id"])["messages"][0]["body"] == "G1szMW08Yj4="
    shown = text_of(capsys, "queue", "undecodable")
    assert "\x1b" not in shown
    assert "8 bytes  2026-11-20 12:00:00 UTC  from modelport\n    no JSON\n    \\x1b[31m<b>\n" in shown
    assert text_of(capsys, "queue", "undecodable", "--limit", "1").endswith("and 1 more\n")
    assert run(["queue", "undecodable", "--remove"]) == run(["queue", "undecodable", "--remove-all"]) == 4
    assert run(["queue", "undecodable", "--id", "nobody"]) == 2
    capsys.readouterr()
    assert text_of(capsys, "queue", "undecodable", "--remove", "--id", first["id"], "--yes") == "1 removed\n"
    assert json_of(capsys, "queue", "undecodable", "--remove-all", "--yes") == {"removed": 1}
    assert text_of(capsys, "queue", "undecodable") == "No message was set aside.\n"


def test_without_a_broker_there_is_no_message(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert text_of(capsys, "queue", "undecodable").startswith("There is no broker")
