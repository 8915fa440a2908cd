"""The pages of operations: how a team's work stands, lists of ingestions, one ingestion with its history; and what an operator
does about them, with one or with all that match.

Each change of many begins with a link that opens its question on the list (`?ask=`), which says how many there are, and ends
with a form that is sent; so all of it works without a script. With one, what stands there is asked for again by itself.
"""

from __future__ import annotations

import zlib
from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from worker import lifecycle, operations
from worker.api import queue
from worker.api.pages import Experiment, Text
from worker.api.queue import OVER_ALL, may_steer_all
from worker.api.service import Inside, Service
from worker.api.web import wording
from worker.api.web.durations import counted_times, exact_times
from worker.api.web.format import format_name
from worker.api.web.reached import lines, verdict_with
from worker.api.web.render import is_part, page
from worker.api.web.timeline import timeline, whole_minutes
from worker.api.web.visitors import Fields, Steward, Visit
from worker.api.web.whose import AskedTeam, Whose, chosen
from worker.api.web.wording import TRIGGERS
from worker.bootstrap import LIVING_SECONDS
from worker.errors import NotFound, RegistryUnavailable, RejectedEvent
from worker.events import MAX_ID_CHARACTERS
from worker.health import (
    DEAD_LETTERED,
    MEANING,
    MOST_HELD,
    REMEMBERED,
    SHOWN,
    STALLED_AFTER,
    Verdict,
    hands,
    verdict,
    verdict_of_all,
)
from worker.lifecycle import Mover
from worker.operations import MAX_NOTE_CHARACTERS, MOST_AT_ONCE, Moved
from worker.ports import Registry
from worker.records import NO_FORMAT, HistoryEntry, Ingestion, IngestionQuery, IngestionState, Standing, Trigger
from worker.registry.counters import FORMATS
from worker.repeats import told_once
from worker.verdict import UNFORESEEN

PAGE = 50
"""Ingestions on one page of a list."""

MOST_STEPS = 200
"""Steps of a history that are shown, the latest."""

STATES = [(state.value, shown.words) for state, shown in SHOWN.items()]
DOORS = [(trigger.value, words) for trigger, words in TRIGGERS.items()]
KINDS = [*sorted(((one, format_name(one)) for one in FORMATS), key=lambda kind: kind[1].lower()), (NO_FORMAT, "Not known")]
"""What the form offers."""

OUTCOMES: tuple[tuple[str, str, str, tuple[IngestionState, ...]], ...] = (
    ("registered", "Registered a minute", "", (IngestionState.REGISTERED,)),
    ("failed", "Failed a minute", "and not tried again since", (IngestionState.FAILED,)),
    (
        "otherwise",
        "Nothing new a minute",
        "unchanged or empty",
        (IngestionState.UNCHANGED, IngestionState.NOTHING_FOUND),
    ),
)
"""What is drawn of the last hour, and which ends it counts."""

RETRIED, DISCARDED = "retried", "discarded"

DONE = {
    RETRIED: "It is queued again, and begins anew.",
    DISCARDED: "It is discarded, and is not tried again.",
}
"""What the page of one says after it was done."""

TO = {"retry": IngestionState.RECEIVED, "discard": IngestionState.DISCARDED}
"""What the list can be asked to ask, and the state that it leads to."""

Ask = Annotated[str, Query(max_length=20)]
Kind = Annotated[str, Query(max_length=40)]
Counted = Annotated[int, Query(ge=0, le=MOST_AT_ONCE)]

router = APIRouter(tags=["page"])
log = structlog.get_logger("modelport.api")


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for, as the form has it; None for anything."""

    whose: Whose
    state: IngestionState | None = None
    trigger: Trigger | None = None
    reason: str | None = None
    experiment: str | None = None
    format: str | None = None

    @property
    def given(self) -> dict[str, str]:
        """What is filtered, by its name in an address."""
        said = {
            "state": self.state,
            "reason": self.reason,
            "format": self.format,
            "trigger": self.trigger,
            "experimentId": self.experiment,
        }
        return self.whose.given | {name: str(value) for name, value in said.items() if value}

    def address(self, **more: str) -> str:
        """Return the address of the list with these filters and *more*."""
        query = self.given | more
        return f"/operations/ingestions?{urlencode(query)}" if query else "/operations/ingestions"

    def query(self, after: str | None = None) -> IngestionQuery:
        """Return the query of a page behind *after*, with one more than a page has."""
        team, format = self.whose.team, self.format
        return IngestionQuery(team, self.state, self.experiment, self.reason, after, PAGE + 1, self.trigger, format=format)


def asked_for(
    whose: AskedTeam,
    state: Ask = "",
    trigger: Ask = "",
    reason: Text = None,
    experiment: Experiment = None,
    format: Kind = "",
) -> Filters:
    """Return what is asked for; a word that is no choice of the form asks for anything."""
    known = next((one for one in IngestionState if one == state), None)
    door = next((one for one in Trigger if one == trigger), None)
    kind = next((one for one, _ in KINDS if one == format), None)
    return Filters(whose, known, door, (reason or "").strip() or None, (experiment or "").strip() or None, kind)


Asked = Annotated[Filters, Depends(asked_for)]


@router.get("/operations", include_in_schema=False)
def show_operations(
    request: Request, visit: Steward, service: Inside, whose: AskedTeam, told: Ask = "", ask: Ask = "", of: Ask = ""
) -> Response:
    """Show how the work of the team stands, or of all teams; as a part, what changes by itself, with the verdict where it is
    not what was *told*.
    """
    now = service.clock.now()
    standing = service.registry.standing(whose.team, now, whole_minutes(now)[0])
    running = service.registry.ingestions(IngestionQuery(whose.team, IngestionState.RUNNING, limit=MOST_HELD))
    workers = service.registry.workers(now - REMEMBERED)
    shown = hands(workers, running, now - timedelta(seconds=LIVING_SECONDS))
    leaned = service.connections()
    is_over_all = may_steer_all(visit.caller)
    judge = verdict_of_all if whose.team is None else verdict
    said = verdict_with(judge(standing, shown, now, is_over_all), leaned, now)
    mark = _mark(said, standing)
    context: dict[str, Any] = {
        "whose": whose,
        "times": [exact_times("From acceptance to the end", standing.took)] if standing.took else [],
        "counted": counted_times(service.registry.counters()) if whose.sees_all else [],
        "backtraces": _backtraces(service, standing),
        "verdict": said,
        "mark": mark,
        "is_news": mark != told,
        "hands": shown[:MOST_HELD],
        "hands_more": max(0, len(shown) - MOST_HELD),
        "living": sum(hand.is_living for hand in shown),
        "connections": lines(leaned, now),
        "meaning": MEANING,
        "dead_lettered": DEAD_LETTERED,
        "wording": wording,
        "resumable": [halt for halt in standing.halts if halt.team is not None or is_over_all],
        "is_over_all": is_over_all,
        **_numbers(standing, now),
    }
    if is_part(request):
        return page(request, "operations_now.html", now=now, is_live=True, **context)
    context |= {"ask": ask if ask in ("pause", "resume") else "", "of": of, "longest_note": MAX_NOTE_CHARACTERS}
    return page(request, "operations.html", "Operations", now=now, is_live=False, **context)


@router.post("/operations/pause", include_in_schema=False)
def pause(visit: Steward, service: Inside, fields: Fields) -> Response:
    """Let no worker begin anything of the team, or of any."""
    is_all, whose = _of_all(visit, fields), chosen(visit, service, fields.get("team", ""))
    queue.pause(service, visit.caller, whose.team or whose.own, is_all, fields.get("note"))
    return RedirectResponse(_with("/operations", whose.given), 303)


@router.post("/operations/resume", include_in_schema=False)
def resume(visit: Steward, service: Inside, fields: Fields) -> Response:
    """Let workers begin again."""
    is_all, whose = _of_all(visit, fields), chosen(visit, service, fields.get("team", ""))
    queue.resume(service, visit.caller, whose.team or whose.own, is_all, fields.get("note"))
    return RedirectResponse(_with("/operations", whose.given), 303)


def _with(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _of_all(visit: Visit, fields: Mapping[str, str]) -> bool:
    """Tell whether a form means all teams.

    Raises:
        Problem: it does, and who sent it may steer only their own.
        RejectedEvent: it does not say whom it means.
    """
    of = fields.get("of", "team")
    if of not in ("all", "team"):
        raise RejectedEvent(f"of: expected all or team, found {of[:80]!a}")
    if of == "all":
        OVER_ALL.admitted(visit.caller)
    return of == "all"


def _mark(said: Verdict, standing: Standing) -> str:
    """Return what stands for all that a verdict says: only another one is read out."""
    words = f"{said.title} {said.says} {sum(group.count for group in standing.failures)}"
    return f"{zlib.crc32(words.encode('utf-8', 'backslashreplace')):08x}"


def _backtraces(service: Service, standing: Standing) -> dict[str, str]:
    """Return where the newest errors came from that nobody foresaw, by their reason."""
    newest = [(group.reason, group.newest) for group in standing.failures if group.reason == UNFORESEEN]
    found = ((reason, _backtrace(service.registry.history(one.id))) for reason, one in newest)
    return {reason: backtrace for reason, backtrace in found if backtrace is not None}


def _backtrace(history: Sequence[HistoryEntry]) -> str | None:
    """Return where the last error came from that nobody foresaw, None where there was none, or before that was kept."""
    return next((step.backtrace for step in reversed(history) if step.backtrace), None)


def _pictures(standing: Standing, now: datetime) -> list[tuple[str, str, Markup]]:
    """Return what is drawn of the last hour, each with its heading and what stands beside it."""
    since = standing.counted_since
    minutes = [(at, standing.finished.get(at, {})) for at in whole_minutes(now)]
    drawn = []
    for id, title, beside, states in OUTCOMES:
        counts = [None if since and at < since else sum(ends.get(state, 0) for state in states) for at, ends in minutes]
        drawn.append((title, beside, timeline(title, counts, now, id)))
    return drawn


def _numbers(standing: Standing, now: datetime) -> dict[str, Any]:
    states = standing.in_flight
    waited = None if standing.due_since is None else now - standing.due_since
    finished = standing.ends.total()
    return {
        "standing": standing,
        "waited_seconds": None if waited is None else max(0.0, waited.total_seconds()),
        "is_late": waited is not None and waited >= STALLED_AFTER,
        "alarm_seconds": STALLED_AFTER.total_seconds(),
        "queued": states.get(IngestionState.RECEIVED, 0),
        "waiting": states.get(IngestionState.WAITING, 0),
        "running": states.get(IngestionState.RUNNING, 0),
        "failed": sum(group.count for group in standing.failures),
        "finished": finished,
        "is_more_finished": standing.counted_since is not None,
        "pictures": _pictures(standing, now) if standing.finished else [],
        "registered": standing.ends[IngestionState.REGISTERED],
    }


@router.get("/operations/ingestions", include_in_schema=False)
def show_ingestions(
    request: Request,
    visit: Steward,
    service: Inside,
    filters: Asked,
    after: Text = None,
    ask: Ask = "",
    done: Ask = "",
    count: Counted = 0,
    more: Ask = "",
) -> Response:
    """Show a page of ingestions, newest first; as a part, the list alone."""
    registry, whose = service.registry, filters.whose
    found = registry.ingestions(filters.query(after))
    moves = _moves(filters)
    context: dict[str, Any] = {
        "rows": found[:PAGE],
        "filters": filters,
        "is_first": after is None,
        "older": filters.address(after=found[PAGE - 1].id) if len(found) > PAGE else None,
        "moves": moves if found else (),
        "matching": registry.count_ingestions(filters.query()) if moves and found else 0,
        "most": MOST_AT_ONCE,
        "shown": SHOWN,
        "doors": TRIGGERS,
        "now": service.clock.now(),
    }
    if is_part(request):
        part = page(request, "ingestions_list.html", **context)
        part.headers["HX-Replace-Url"] = filters.address()
        return part
    context |= {
        "ask": ask if ask in moves else "",
        "done": _done_with_all(done, count, more),
        "states": [("", "Any state"), *STATES],
        "triggers": [("", "Any trigger"), *DOORS],
        "reasons": _reasons(service, whose, filters.reason),
        "kinds": [("", "Any format"), *KINDS],
        "meaning": MEANING.get(filters.reason or "", ""),
        "words": _in_words(filters),
        "longest": MAX_ID_CHARACTERS,
        "longest_note": MAX_NOTE_CHARACTERS,
    }
    return page(request, "ingestions.html", "Operations", **context)


def _moves(filters: Filters) -> tuple[str, ...]:
    """Return what can be done with all that match; nothing where no state is asked for, or one that nobody leaves."""
    return tuple(what for what, to in TO.items() if filters.state in lifecycle.movable(to, Mover.PERSON))


def _reasons(service: Service, whose: Whose, chosen: str | None) -> list[tuple[str, str]]:
    """Return the reasons that the form offers: those that something failed by, and the one that is *chosen*."""
    now = service.clock.now()
    known = {group.reason for group in service.registry.standing(whose.team, now, now).failures} | (
        {chosen} if chosen else set()
    )
    return [("", "Any reason"), *((reason, reason) for reason in sorted(known))]


def _in_words(filters: Filters) -> list[tuple[str, str]]:
    """Return what is filtered, and by what, in words."""
    state = None if filters.state is None else SHOWN[filters.state].words.lower()
    trigger = None if filters.trigger is None else TRIGGERS[filters.trigger].lower()
    format = None if filters.format is None else dict(KINDS)[filters.format]
    team = filters.whose.team if filters.whose.choices else None
    said = (
        ("team", team),
        ("state", state),
        ("reason", filters.reason),
        ("format", format),
        ("trigger", trigger),
        ("experiment", filters.experiment),
    )
    all_teams = [("teams", "all")] if filters.whose.choices and team is None else []
    return [*all_teams, *((what, by) for what, by in said if by is not None)]


def _done_with_all(done: str, count: int, more: str) -> str:
    if done not in DONE:
        return ""
    what = f"{count:,} {'was' if count == 1 else 'were'} {'queued again' if done == RETRIED else 'discarded'}."
    if more == "follow":
        return f"{what} The others follow by themselves; those that are still to come stand below."
    return f"{what} More match: they are shown below, and can be {done} in the same way." if more else what


@router.get("/operations/ingestions/{ingestion_id}", include_in_schema=False)
def show_ingestion(
    request: Request, ingestion_id: str, visit: Steward, service: Inside, whose: AskedTeam, ask: Ask = "", done: Ask = ""
) -> Response:
    """Show one ingestion with its history; as a part, what changes by itself."""
    registry, one = service.registry, _found(service, whose, ingestion_id)
    team = one.event.team
    history = registry.history(one.id)
    steps: list[HistoryEntry | int] = [*told_once(history[::-1], _said)]
    moves = tuple(what for what, to in TO.items() if one.state in lifecycle.movable(to, Mover.PERSON))
    version = None if one.answered_version is None else registry.version(team, one.answered_version)
    context: dict[str, Any] = {
        "one": one,
        "version": version,
        "title": title_of(one),
        "state": SHOWN[one.state],
        "shown": SHOWN,
        "is_over": lifecycle.is_end(one.state),
        "meaning": MEANING.get(one.reason or "", "") if one.state is IngestionState.FAILED else "",
        "door": TRIGGERS[one.event.trigger],
        "whose": whose,
        "backtrace": _backtrace(history),
        "history": steps[:MOST_STEPS],
        "history_more": sum(step if isinstance(step, int) else 1 for step in steps[MOST_STEPS:]),
        "moves": moves,
        "here": f"/operations/ingestions/{quote(one.id, safe='')}",
        "project": registry.renamed_projects(team).get(one.event.project, one.event.project),
        "now": service.clock.now(),
    }
    if is_part(request):
        return page(request, "ingestion_now.html", **context)
    context |= {"ask": ask if ask in moves else "", "done": DONE.get(done, ""), "longest_note": MAX_NOTE_CHARACTERS}
    return page(request, "ingestion.html", "Operations", **context)


def _found(service: Service, whose: Whose, ingestion_id: str) -> Ingestion:
    """Return the ingestion of the own team, or of any for who sees all.

    Raises:
        NotFound: there is no such one for them.
    """
    one = service.registry.ingestion(whose.reach, ingestion_id)
    if one is None:
        raise NotFound(f"there is no ingestion {ingestion_id[:80]!a}")
    return one


def _said(step: HistoryEntry) -> object:
    """Return what a step says, whoever made it."""
    return step.state, step.reason, step.reason == "claimed" or step.message


def title_of(one: Ingestion) -> str:
    """Return what people call an ingestion: the name that its model is to have, its experiment, or its path."""
    return one.event.name or one.event.experiment or one.event.model_path or one.id


@router.post("/operations/ingestions/{ingestion_id}/retry", include_in_schema=False)
def retry(ingestion_id: str, visit: Steward, service: Inside, whose: AskedTeam, fields: Fields) -> Response:
    """Let a failed ingestion be tried again from the beginning."""
    team, now = _found(service, whose, ingestion_id).event.team, service.clock.now()
    again = operations.retry(service.registry, team, ingestion_id, visit.caller.name, now, fields.get("note"))
    service.ring()
    return _back(again, RETRIED, visit)


@router.post("/operations/ingestions/{ingestion_id}/discard", include_in_schema=False)
def discard(ingestion_id: str, visit: Steward, service: Inside, whose: AskedTeam, fields: Fields) -> Response:
    """End an ingestion that has not ended well."""
    team, now = _found(service, whose, ingestion_id).event.team, service.clock.now()
    gone = operations.discard(service.registry, team, ingestion_id, visit.caller.name, now, fields.get("note"))
    return _back(gone, DISCARDED, visit)


@router.post("/operations/retry", include_in_schema=False)
def retry_all(visit: Steward, service: Inside, fields: Fields) -> Response:
    """Let the failed ingestions that the filters of the form find be tried again; of many, some before it is answered."""
    return _move_all(visit, service, fields, operations.retry_all, RETRIED, service.ring)


@router.post("/operations/discard", include_in_schema=False)
def discard_all(visit: Steward, service: Inside, fields: Fields) -> Response:
    """End those that the filters of the form find and that have not ended well; of many, some before it is answered."""
    return _move_all(visit, service, fields, operations.discard_all, DISCARDED, lambda: None)


MoveAll = Callable[[Registry, IngestionQuery, str, datetime, str | None], Moved]


def _move_all(
    visit: Visit, service: Service, fields: Mapping[str, str], move: MoveAll, done: str, ring: Callable[[], None]
) -> Response:
    """Move the first that the form finds, and lead back to the list; the others follow once that is answered.

    Where this process ends meanwhile, those that were not moved yet stay as they were, and on the list.
    """
    filters, who, note = _sent(fields, visit, service), visit.caller.name, fields.get("note")

    def several(query: IngestionQuery) -> Moved:
        moved = move(service.registry, query, who, service.clock.now(), note)
        if moved.ids:
            ring()
        log.info(done, count=len(moved.ids), team=filters.whose.team or "all", who=who)
        if moved.trouble is not None:
            log.error("the registry does not answer", why=moved.trouble)
        return moved

    async def follow(query: IngestionQuery, first: Moved) -> None:
        others = operations.further(several, query, first)
        try:
            while await run_in_threadpool(next, others, None) is not None:
                pass  # here a server that is to end takes its leave: a thread that goes on would keep it
        except CancelledError:
            log.warning("the others stay as they are", why="the server ends", who=who)
        except RegistryUnavailable as exc:
            log.error("the registry does not answer", why=str(exc))

    query = filters.query()
    first = several(query)
    is_followed = first.more_are_left and first.trouble is None
    left = {"more": "follow" if is_followed else "yes"} if first.more_are_left else {}
    behind = BackgroundTask(follow, query, first) if is_followed else None
    return RedirectResponse(filters.address(done=done, count=str(len(first.ids)), **left), 303, background=behind)


def _sent(fields: Mapping[str, str], visit: Visit, service: Service) -> Filters:
    """Return the filters that came with a form. A word that nobody knows would mean more than its sender thought.

    Raises:
        RejectedEvent: the form says no state, or a word that is no choice.
        NotFound, Problem: it names a team that there is not, or that is not theirs.
    """
    given = {name: fields.get(name, "") for name in ("state", "trigger", "reason", "experimentId", "format")}
    for name in ("reason", "experimentId"):
        if len(given[name]) > MAX_ID_CHARACTERS:
            raise RejectedEvent(f"{name}: expected at most {MAX_ID_CHARACTERS} characters, found {len(given[name])}")
    whose = chosen(visit, service, fields.get("team", ""))
    filters = asked_for(whose, *given.values())
    if filters.state is None:
        raise RejectedEvent(f"state: expected the state of those that are meant, found {given['state'][:80]!a}")
    if given["trigger"] and filters.trigger is None:
        raise RejectedEvent(f"trigger: expected one of {', '.join(Trigger)}, found {given['trigger'][:80]!a}")
    if given["format"] and filters.format is None:
        raise RejectedEvent(f"format: expected a format that is known, or {NO_FORMAT}, found {given['format'][:80]!a}")
    return filters


def _back(one: Ingestion, done: str, visit: Visit) -> Response:
    log.info(done, ingestion=one.id, team=one.event.team, who=visit.caller.name)
    return RedirectResponse(f"/operations/ingestions/{quote(one.id, safe='')}?{urlencode({'done': done})}", 303)
