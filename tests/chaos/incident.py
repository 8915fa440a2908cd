"""A played incident: the store is cut off, every worker is killed, one job kills its workers, and thousands wait.

Page and alerts have to tell it within half a minute; what brings the work back are an operator's clicks, and workers that are
started again.

What is seen stays in build/screenshots.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from playwright.sync_api import expect

from tests.browser.seat import Seat, browsing, seat
from tests.chaos.row import Row
from tests.chaos.site import operator_token, served
from tests.chaos.stack import Stack, kill_group, stack, until
from tests.servers.moto import moto_server
from tests.servers.prometheus import PrometheusServer, prometheus_server
from tests.servers.proxy import CuttingProxy, cutting_proxy
from tests.servers.s3 import REGION

TOLD_SECONDS = 30.0
"""How soon page and alerts have to tell what is wrong."""

PATIENCE_SECONDS = 120.0
SOON = 20_000
"""Milliseconds in which a page has asked again, also on a busy machine."""

SCRAPE_SECONDS = 5
"""As deploy/prometheus/prometheus.yml has it."""

LATE = 30
"""Runs whose folder is not there yet when they are looked at."""


@dataclass
class Scene:
    """What stands, who looks at it, and how many seconds after it went wrong what was told."""

    standing: Stack
    store: CuttingProxy
    prometheus: PrometheusServer
    seat: Seat
    told: dict[str, float] = field(default_factory=dict)
    wrong: dict[str, float] = field(default_factory=dict)

    def goes_wrong(self, what: str) -> None:
        """Note that *what* goes wrong now."""
        self.wrong[what] = time.monotonic()

    def wait(self, who: str, what: str, holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until *holds*, by which *who* tells *what* went wrong, and note when that was."""
        if not until(holds, seconds):
            raise AssertionError(f"{who}: {what}: not within {seconds:g} s\n{self.standing.log()}")
        self.told[f"{who}: {what}"] = time.monotonic() - self.wrong[what]

    def says(self, words: str) -> bool:
        """Tell whether the page has these words, which asks for news by itself."""
        return words in self.seat.page.locator("main").inner_text()

    def is_worried(self) -> bool:
        """Tell whether Prometheus finds that a person has to come, be it for this moment."""
        return any(one["labels"]["severity"] == "critical" for one in self.prometheus.ask("alerts")["alerts"])

    def fires(self, alert: str) -> bool:
        alerts = self.prometheus.ask("alerts")["alerts"]
        return any(one["labels"]["alertname"] == alert and one["state"] == "firing" for one in alerts)


def play(folder: Path, waiting: int, models: int) -> Row:
    """Let *waiting* ingestions come, of which *models* leave a model, and play the incident over them."""
    with _scene(folder) as scene:
        standing = scene.standing
        _work_well(scene)
        poison = _strike(scene, waiting, models)
        _be_told(scene, waiting)
        came_back = _bring_back(scene, poison)
        standing.kill_workers()
        audit = standing.audit()
    slowest = max(scene.told, key=lambda what: scene.told[what])
    seen = (
        f"{', '.join(f'{what} {seconds:.0f} s' for what, seconds in scene.told.items())}; all done {came_back:.0f} s after the "
        f"store was back; {audit.registered} registered, {audit.lost} lost, {audit.duplicated} twice, promise {audit.promise}"
    )
    again = LATE + 1  # ended a second time because a person said so
    whole = replace(audit, ended_twice=audit.ended_twice - again).is_clean
    whole = whole and (audit.registered, audit.failed) == (models + LATE + FIRST, 0)
    fault = f"store cut off, all workers killed, a job that kills workers, {waiting} waiting"
    wanted = f"page and alerts tell within {TOLD_SECONDS:.0f} s, clicks bring it back, nothing lost or twice"
    return Row(fault, wanted, seen, whole, scene.told[slowest] <= TOLD_SECONDS)


FIRST = 5
"""Models that are registered before anything happens."""


def _work_well(scene: Scene) -> None:
    """Let a few models be registered, and a page and a Prometheus find nothing wrong."""
    standing = scene.standing
    for _ in range(2):
        standing.start_worker()
    for run in standing.make_models(FIRST):
        standing.accept(run)
    if not standing.wait_until_done(60):
        raise AssertionError(f"the first models were not registered\n{standing.log()}")
    for number in range(LATE):
        standing.accept(standing.folder / "late" / f"l{number:05}")
    if not standing.wait_until_done(60):
        raise AssertionError(f"what is not there was not refused\n{standing.log()}")
    scene.seat.go("/operations")
    expect(scene.seat.page.get_by_role("heading", name="Quiet")).to_be_visible(timeout=SOON)
    scene.seat.keep("incident-1-before")
    assert until(lambda: not scene.is_worried(), TOLD_SECONDS), scene.prometheus.ask("alerts")


def _strike(scene: Scene, waiting: int, models: int) -> str:
    """Let everything happen at once, and return the id of the job that kills its workers."""
    standing = scene.standing
    runs = _make_runs(standing, waiting, models)
    scene.store.cut()
    scene.goes_wrong("the store")
    poison = standing.accept(runs[0]).id
    for run in runs[1:4]:
        standing.accept(run)
    time.sleep(2)  # what runs when the workers die
    scene.goes_wrong("no worker")
    standing.kill_workers()
    scene.goes_wrong("how many wait")
    standing.accept_all(runs[4:])
    return poison


def _make_runs(standing: Stack, waiting: int, models: int) -> list[Path]:
    """Make folders of runs: one that kills who looks at it, those with models, and those that left none."""
    made = standing.make_models(models + 1, poison=1, start=FIRST)
    empty = [standing.folder / "runs" / f"e{number:05}" for number in range(waiting - len(made))]
    for run in empty:
        run.mkdir()
        (run / "notes.txt").write_bytes(b"it was no use")
    return [made[-1], *made[:-1], *empty]


def _be_told(scene: Scene, waiting: int) -> None:
    """Wait until page and alerts tell what is wrong, while nobody touches anything."""
    scene.wait("page", "the store", lambda: scene.says("Store unreachable"))
    scene.wait("page", "no worker", lambda: scene.says("No worker gives a sign of life"))
    scene.wait("page", "how many wait", lambda: scene.says(f"{waiting - 4:,}") or scene.says(f"{waiting - 3:,}"))
    scene.seat.keep("incident-2-told")
    scene.wait("alert", "no worker", lambda: scene.fires("ModelportNoWorker"))
    scene.wait("alert", "the store", lambda: scene.fires("ModelportStoreUnreachable"))


def _bring_back(scene: Scene, poison: str) -> float:
    """Do what an operator does, and return how many seconds after the store was back all was done."""
    standing, page = scene.standing, scene.seat.page
    began = time.monotonic()
    scene.store.heal()
    (standing.folder / "late").mkdir()
    for run in standing.make_models(LATE, start=100_000):
        run.rename(standing.folder / "late" / f"l{int(run.name[1:]) - 100_000:05}")
    _click_all(scene, "Retry", LATE)
    scene.seat.go("/operations")
    if not until(lambda: _is_done(standing, poison), PATIENCE_SECONDS + len(standing.journal) / 10):
        raise AssertionError(f"{standing.unfinished()} are still to be done\n{standing.log()}")
    seconds = time.monotonic() - began
    scene.seat.go("/operations")
    scene.seat.keep("incident-4-given-up")
    _click_all(scene, "Discard", 1)
    expect(page.get_by_text("1 was discarded.")).to_be_visible(timeout=SOON)
    scene.seat.go("/operations")
    expect(page.get_by_role("heading", name="Quiet")).to_be_visible(timeout=SOON)
    scene.seat.keep("incident-5-after")
    return seconds


def _click_all(scene: Scene, what: str, count: int) -> None:
    """Retry or discard all that failed, *count* of them, from the page."""
    page = scene.seat.page
    scene.seat.go("/operations/ingestions?state=failed")
    page.get_by_role("link", name=f"{what} {'it' if count == 1 else f'all {count:,}'}…").click()
    scene.seat.keep(f"incident-3-{what.lower()}")
    page.get_by_role("button", name=f"{what} {count:,}").click()


def _is_done(standing: Stack, poison: str) -> bool:
    """Tell whether all has ended; who kills a worker meets one that is started again, as by systemd."""
    for worker in [one for one in standing.workers if one.poll() is not None]:
        kill_group(worker)
        standing.workers.remove(worker)
    while len(standing.workers) < 2:
        standing.start_worker()
    return standing.unfinished() == 0


@contextmanager
def _scene(folder: Path) -> Iterator[Scene]:
    """Give an installation on PostgreSQL with a store behind a link that can be cut, its API, a Prometheus and a browser."""
    with ExitStack() as servers:
        for name in ("s3", "prometheus"):
            (folder / name).mkdir()
        s3 = servers.enter_context(moto_server(folder / "s3"))
        store = servers.enter_context(cutting_proxy(s3.port))
        keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key, "AWS_DEFAULT_REGION": REGION}
        servers.enter_context(patch.dict(os.environ, keys))  # in which the SDK of S3 looks for them
        more = {
            **keys,
            "MODELPORT_STORE_URL": f"s3://{s3.new_bucket()}/kept",
            "MODELPORT_S3_ENDPOINT_URL": f"http://127.0.0.1:{store.port}",
            "MODELPORT_LEASE_SECONDS": "6",
        }
        standing = servers.enter_context(stack(folder, "postgresql", more))
        url = servers.enter_context(served(standing))
        token = operator_token(standing)
        prometheus = servers.enter_context(
            prometheus_server(folder / "prometheus", url.removeprefix("http://"), token, SCRAPE_SECONDS)
        )
        here = servers.enter_context(seat(servers.enter_context(browsing()), url))
        here.sign_in(token)
        yield Scene(standing, store, prometheus, here)
