"""All of many failures are tried again by one click, while workers work them off and others look at the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from tests.browser.seat import browsing, seat
from tests.chaos.row import Row
from tests.chaos.site import operator_token, served
from tests.chaos.stack import Stack, stack, until
from worker.records import Action, AuditQuery, End, IngestionState

USABLE_SECONDS = 1.0
"""How soon the page has to be there for whoever looks meanwhile."""

ANSWERED_MILLISECONDS = 60_000

IN_FLIGHT = (IngestionState.RECEIVED, IngestionState.WAITING, IngestionState.RUNNING)

MODELS_SHARE = 20
"""One run of so many left a model."""

WENT_AWAY = End(IngestionState.FAILED, "source-unavailable", "the share did not answer for a day")


def retry_all(folder: Path, count: int, seconds: float) -> Row:
    """Let *count* ingestions fail, and an operator retry them all; they have to be worked off within *seconds*."""
    with stack(folder, "postgresql") as standing, served(standing) as url, browsing() as browser, seat(browser, url) as here:
        models = _fail(standing, count)
        token = operator_token(standing)
        here.sign_in(token)
        standing.start_worker()
        with _looking(url, token) as looks:
            _click(here.page, url, count)
            is_done = until(lambda: _has_ended(standing), seconds)
            here.go("/operations")
            here.keep("retry-all")
        standing.kill_workers()
        audit = standing.audit()
        noted = _retried(standing)
    whole = is_done and replace(audit, ended_twice=audit.ended_twice - count).is_clean
    whole = whole and (audit.registered, audit.failed) == (models, 0) and sorted(noted) == sorted(standing.journal)
    looks.sort()
    slow = looks[int(len(looks) * 0.95)]
    return Row(
        f"{count} failures retried from the page, 1 worker of 2, PostgreSQL",
        f"one click, each once; the page within {USABLE_SECONDS:g} s meanwhile (95 %)",
        f"{len(noted)} retried once each, {audit.registered} registered, {audit.duplicated} twice; "
        f"the page after {slow:.2f} s (95 % of {len(looks)}), {looks[-1]:.2f} s (most)",
        whole,
        slow <= USABLE_SECONDS,
    )


def _fail(standing: Stack, count: int) -> int:
    """Let *count* ingestions have failed whose files are there by now; return how many of them have a model."""
    models = max(1, count // MODELS_SHARE)
    empty = [standing.folder / "runs" / f"e{number:05}" for number in range(count - models)]
    runs = [*standing.make_models(models), *empty]
    for run in empty:
        run.mkdir()
        (run / "notes.txt").write_bytes(b"it was no use")
    registry, now = standing.service.registry, standing.service.clock.now()
    standing.accept_all(runs)
    while (one := registry.claim_next("gone", now)) is not None:
        registry.finish(one.id, "gone", WENT_AWAY, now)
    return models


def _click(page: Page, url: str, count: int) -> None:
    """Retry all from the page by one click."""
    page.goto(f"{url}/operations")
    page.get_by_role("link", name=f"Retry all {count:,}…").click()
    page.get_by_role("button", name=f"Retry {count:,}").click(timeout=ANSWERED_MILLISECONDS)
    expect(page.get_by_text("queued again.")).to_be_visible(timeout=ANSWERED_MILLISECONDS)


@contextmanager
def _looking(url: str, token: str) -> Iterator[list[float]]:
    """Look at the page again and again while the block runs, and give how many seconds it took each time."""
    took: list[float] = []
    over = threading.Event()

    def look() -> None:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            while not over.wait(0.5):
                began = time.monotonic()
                client.get("/operations").raise_for_status()
                took.append(time.monotonic() - began)

    thread = threading.Thread(target=look, name="who looks")
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()


def _has_ended(standing: Stack) -> bool:
    """Tell whether nothing has failed any more, and all has ended."""
    states = standing.service.registry.queue(standing.service.clock.now()).states
    return not any(states.get(state, 0) for state in (IngestionState.FAILED, *IN_FLIGHT))


def _retried(standing: Stack) -> Sequence[str]:
    """Return the ids of what the audit log says that people retried."""

    def query(after: str | None) -> AuditQuery:
        return AuditQuery(standing.service.team, action=Action.INGESTION_RETRIED, after=after, limit=1000)

    found: list[str] = []
    after = None
    while page := standing.service.registry.audit(query(after)):
        found += [entry.object_id for entry in page]
        after = page[-1].id
    return found
