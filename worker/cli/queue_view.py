"""How the work of a team looks at a terminal: the verdict first, then what waits, what fails by which reason, and who works.

In goes what `modelport queue status` tells as JSON, out comes what Rich prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from detectors.printable import printable
from worker.figures import exact
from worker.layout import NOTHING, Line, print_rows
from worker.terminal import moment

SIGNS = {"ok": "✓", "warn": "▲", "bad": "⬣", "pause": "‖"}
STYLES = {"is-bad": "bold red", "is-warn": "bold yellow", "": "bold green"}
WORKER_STYLES = {"Silent": "red", "Working": "cyan", "A command": "cyan", "Idle": ""}

INSIDE = (0, 0, 0, 4)
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))

MOST_HELD = 3
"""What one worker holds that is shown; JSON has it all."""


def show_status(console: Console, told: Mapping[str, Any]) -> None:
    """Print how the work of a team stands."""
    said = told["verdict"]
    style = STYLES[said["level"]]
    title = said["title"].upper() if told["paused"] else said["title"]
    console.print(Text.assemble((f"{SIGNS[said['sign']]} {title}", style), (f"  team {printable(told['team'])}", "dim")))
    console.print(Line(Text(printable(said["says"]))))
    console.print()
    print_rows(console, [_depth(told)], head=("OLDEST WAITING",))
    console.print()
    _show_failures(console, told)
    console.print()
    _show_workers(console, told)


def _depth(told: Mapping[str, Any]) -> dict[str, Text]:
    states, oldest = told["states"], told["oldestWaitingSeconds"]
    failed, finished = sum(group["count"] for group in told["failures"]), sum(told["finishedLastHour"].values())
    late = STYLES[told["verdict"]["level"]] if told["late"] else ""
    return {
        "OLDEST WAITING": Text(NOTHING if oldest is None else span(oldest), late),
        ">QUEUED": Text(exact(states["received"])),
        ">WAITING": Text(exact(states["waiting"])),
        ">RUNNING": Text(exact(states["running"])),
        ">FAILED": Text(exact(failed), "red" if failed else ""),
        ">FINISHED, 1 h": Text(exact(finished)),
        "LAST": Text(_ago(told["lastFinish"], told["at"])),
    }


def _show_failures(console: Console, told: Mapping[str, Any]) -> None:
    if not told["failures"]:
        console.print(Text("No failure waits for a decision.", "dim"))
        return
    console.print(Text("Failures by reason", "bold"))
    width = max(len(exact(group["count"])) for group in told["failures"])
    for group in told["failures"]:
        newest = group["newest"]
        line = Text.assemble((exact(group["count"]).rjust(width), "red"), "  ", (printable(group["reason"]), "bold"))
        line.append(f"  last {_ago(newest['at'], told['at'])}, ").append(newest["id"], "cyan")
        console.print(Line(line))
        for sentence, style in ((group["meaning"], ""), (newest["message"], "dim")):
            if sentence:
                console.print(Padding(Line(Text(printable(sentence), style)), (0, 0, 0, width + 2), expand=False))
    console.print(Text("modelport ingestions retry --all --reason REASON tries them again", "dim"))


def _show_workers(console: Console, told: Mapping[str, Any]) -> None:
    if not told["workers"]:
        console.print(Text("No worker. What is reported waits until one is started: modelport worker, or modelport up.", "dim"))
        return
    print_rows(console, [_worker(one, told["at"]) for one in told["workers"]], head=("WORKER", "STATE"))


def _worker(one: Mapping[str, Any], at: str) -> dict[str, Text]:
    where = NOTHING if one["host"] is None else f"{one['host']}, process {one['pid']}"
    return {
        "WORKER": Text(printable(one["name"])),
        "STATE": Text(one["state"].lower(), WORKER_STYLES.get(one["state"], "")),
        "SIGN OF LIFE": Text(_ago(one["seen"], at)),
        "HOLDS": _held(one["holds"], at),
        "WHERE": Text(printable(where)),
    }


def _held(holds: Sequence[Mapping[str, Any]], at: str) -> Text:
    """Return what a worker works on, and for how long."""
    told = [
        Text.assemble((one["id"], "cyan"), printable(f" {one['experimentId'] or one['modelPath']}, {_since(one['since'], at)}"))
        for one in holds[:MOST_HELD]
    ]
    if len(holds) > MOST_HELD:
        told.append(Text(f"and {len(holds) - MOST_HELD} more", "dim"))
    return Text("\n").join(told) if told else Text(NOTHING)


def span(seconds: float) -> str:
    """Return a time in one unit, and in the next smaller one below ten: `4 s`, `2 min 10 s`, `38 min`."""
    whole = max(0, int(seconds))
    for place, (unit_seconds, unit) in enumerate(UNITS):
        if whole >= unit_seconds:
            count, rest = divmod(whole, unit_seconds)
            below_seconds, below = UNITS[place + 1] if place + 1 < len(UNITS) else (1, "s")
            return f"{count} {unit}" + (f" {rest // below_seconds} {below}" if count < 10 and rest >= below_seconds else "")
    return f"{whole} s"


def _since(then: str, at: str) -> str:
    return span((datetime.fromisoformat(at) - datetime.fromisoformat(then)).total_seconds())


def _ago(then: str | None, at: str) -> str:
    return NOTHING if then is None else f"{_since(then, at)} ago"


def show_messages(console: Console, told: Mapping[str, Any], is_lone: bool = False) -> None:
    """Print the messages that could not be read, the newest first, each with its bytes as text that does nothing."""
    if not told["kept"]:
        console.print("No message was set aside." if told["broker"] else NO_BROKER)
        return
    for one in told["messages"]:
        head = Text.assemble((one["id"], "cyan"), "  ", f"{one['size']:,} bytes" if one["size"] else "", "  ")
        head.append(NOTHING if one["at"] is None else f"{moment(one['at'])} UTC").append(
            f"  from {printable(one['queue'] or '?')}"
        )
        console.print(Line(head))
        if one["why"]:
            console.print(Padding(Line(Text(printable(one["why"]), "yellow")), INSIDE, expand=False))
        console.print(Padding(Text(one["preview"], "dim", overflow="fold"), INSIDE, expand=False))
    if told["kept"] > len(told["messages"]) and not is_lone:
        console.print(Text(f"and {told['kept'] - len(told['messages']):,} more", "dim"))


NO_BROKER = "There is no broker, and so no message: workers look at the database."
