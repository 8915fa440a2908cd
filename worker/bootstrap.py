"""The composition root: the only place that knows every border. It builds them from settings and hands them inward.

The embedded default is SQLite and a folder below HOME, used by one process at a time or by several. With PostgreSQL, several
machines share one registry.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

import structlog

from detectors.facts import ModelType
from detectors.scan import Scan, scan
from detectors.tree import FileEntry, FileTree, readable
from worker import deliver, filesystems, liveness, operations, spool, traced, verify
from worker.connections import PATIENCE_SECONDS, Answer, Asked, Connections, Leaned
from worker.deliver import Deliverer, Rounds
from worker.doorbell import broker_shown, look_at_broker
from worker.errors import (
    BadSetting,
    MigrationNeeded,
    RegistryUnavailable,
    RejectedLocation,
    StorageUnavailable,
    UnsafeHome,
    WorkerError,
)
from worker.ingest import Borders, Step, untold
from worker.inspector.in_process import InProcessInspector
from worker.inspector.isolated import STALL_SECONDS, IsolatedInspector, Patience
from worker.locations import resolve
from worker.masks import masked
from worker.operations import Check
from worker.ports import Destination, Inspector, OpenSink, SetAside, Store
from worker.reach import holds, is_on_network, lies_in, open_location
from worker.records import (
    DEFAULT_TEAM,
    CompletionEvent,
    Gate,
    Location,
    ModelVersion,
    Policy,
    StoreKey,
    StoreMode,
    Trigger,
    Worker,
)
from worker.registry.clock import RegistryClock
from worker.registry.engine import parse_url, shown
from worker.registry.migrate import check_newest, migrate
from worker.registry.sql import SqlRegistry
from worker.rejudging import InItsOwnTime
from worker.s3_url import is_s3, parse_s3
from worker.set_aside import set_aside_at
from worker.settings import Settings, load
from worker.signatures import PublicKey
from worker.signing_keys import public_key
from worker.storage.download import new_folder
from worker.storage.local import LocalStore
from worker.storage.probe import look_at_folder, look_at_place
from worker.storage.s3.client import S3Connection
from worker.storage.s3.open import open_s3
from worker.storage.s3.store import S3Store
from worker.teams import existing_team
from worker.tracing import SILENT, Traces, are_wanted
from worker.upkeep import keep_of

SEEN_EVERY_SECONDS, LIVING_SECONDS = 4.0, 12.0
"""How often a worker says that it lives, and how old its last word may be."""

WELL_AGAIN_SECONDS = 1.5
"""How soon a worker that was not well is looked at again."""

STALL_PER_LEASE = 2 / 3
"""How much of a lease an inspection may take without a word; an attempt whose lease has run out can decide nothing."""

QUIET_SECONDS = 5.0
QUIET_SECONDS_ON_NETWORK = 60.0
"""How long files must have rested where no setting says so: a network file system shows changes late."""

log = structlog.get_logger("modelport.bootstrap")


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embedded default, ready for one command."""

    settings: Settings
    registry: SqlRegistry
    store: Store
    connection: S3Connection
    clock: RegistryClock
    owner: str
    inspector: Inspector
    rounds: Rounds
    connections: Connections
    trusted_keys: Mapping[str, PublicKey]
    traces: Traces = SILENT
    team: str = DEFAULT_TEAM

    def acting_for(self, team: str | None) -> Embedded:
        """Return the same for a command that works for *team*, for None for the team of the settings.

        Raises:
            NotFound: there is no such team.
        """
        return replace(self, team=existing_team(self.registry, self.settings.team if team is None else team))

    def borders(
        self,
        step: Step = lambda name: None,
        expect: Callable[[int], None] = lambda size: None,
        progress: Callable[[int], None] = lambda count: None,
    ) -> Borders:
        """Return what the use cases touch, with a display for their progress."""
        borders = Borders(
            registry=self.registry,
            store=self.store,
            open_tree=self.open_location,
            inspect=self.inspect,
            resolve=self._resolve,
            clock=self.clock,
            owner=self.owner,
            is_dead=_is_dead(self.settings),
            quiet_seconds=self._quiet_seconds,
            patience_seconds=self.settings.settle_timeout_seconds,
            lease_seconds=self.settings.lease_seconds,
            file_time=time.time,
            open_version=self.open_version,
            retention=self.settings.retention(),
            policy=Policy(self.settings.policy),
            drift_days=self.settings.drift_days,
            trusted_keys=self.trusted_keys,
            verify_waiting=self._verify_waiting if self.settings.verify == "after-registration" else None,
            step=step,
            expect=expect,
            progress=progress,
            gates=self._gates,
            attempt=untold if self.traces is SILENT else partial(traced.attempt, self.traces),
        )
        if self.settings.rescan_outdated == "off":
            return borders
        return replace(borders, judge_some=partial(InItsOwnTime().turn, borders))

    def _gates(self, event: CompletionEvent) -> tuple[Gate, ...]:
        return self.settings.standing_gates().of(event.project, event.gates)

    def _verify_waiting(self) -> int:
        """Make the load checks that wait, and return how many that were."""
        return verify.verify_waiting(self.registry, self.open_version, self._look, self.clock, self.owner)

    def _resolve(self, event: CompletionEvent) -> Location:
        """Return where the model path of *event* is; what was uploaded is where the store keeps it."""
        if event.trigger is not Trigger.UPLOAD:
            return resolve(event, self.settings.places())
        url = self.store.url(StoreKey(event.team, event.project, None, event.id))
        return Location(url, event.model_path, StoreMode.COPY, is_in_store=True)

    def open_location(self, location: Location) -> AbstractContextManager[FileTree]:
        """Open the files at *location*.

        Raises:
            RejectedLocation: as `open_location`; or the folder holds our own database or store, which never come to rest;
                or it is to be referenced and lies in our store, where nothing outlives its version.
        """
        if location.is_in_store:
            return self.store.opened(location.url)
        for own in (self.settings.database_folder, self.settings.store_place or self.settings.store_folder):
            if own is not None and holds(location, str(own)):
                raise RejectedLocation(f"{readable(location.path)} holds modelport's own files in {own}; name the run's folder")
        kept = self.settings.store_place or self.settings.store_folder
        if location.mode is StoreMode.REFERENCE and lies_in(location, str(kept)):
            raise RejectedLocation(
                f"{readable(location.path)} lies in modelport's own store {kept}, whose files go with their versions; it "
                "can be copied from there, and not referenced"
            )
        return open_location(location, self._look, self.connection)

    def _look(self, tree: FileTree) -> Scan:
        """Scan *tree* on its own: which team it is of is not known here, so it shares the inspection with none."""
        return self.inspect(tree, None, tuple(tree.files()), f"alone, {secrets.token_hex(4)}")

    def inspect(self, tree: FileTree, declared_type: ModelType | None, entries: Sequence[FileEntry], team: str) -> Scan:
        """Return what lies in *tree*, as `Inspector.inspect`; what nobody foresaw in a reader is told in the log."""
        found = self.inspector.inspect(tree, declared_type, entries, team)
        for one in found.unforeseen:
            said, calls = masked(one.says), "\n".join(one.calls)
            log.error("error in a reader", reader=one.reader, path=readable(one.path), why=said, backtrace=calls)
        return found

    def _quiet_seconds(self, location: Location) -> float:
        if location.is_in_store:
            return 0.0
        if self.settings.settle_seconds is not None:
            return self.settings.settle_seconds
        return QUIET_SECONDS_ON_NETWORK if is_on_network(location) else QUIET_SECONDS

    @property
    def quiet_seconds_on_network(self) -> float:
        """Return how long files must have rested that come over a network, such as those on object storage."""
        return QUIET_SECONDS_ON_NETWORK if self.settings.settle_seconds is None else self.settings.settle_seconds

    def open_version(self, version: ModelVersion) -> AbstractContextManager[FileTree]:
        """Open the files of a version, wherever they are kept."""
        if version.store is StoreMode.COPY:
            return self.store.opened(version.url)
        location = version.location
        path = location if is_s3(location) else unquote(urlsplit(location).path, errors="surrogateescape")
        return open_location(Location(location, path, version.store), connection=self.connection)

    @contextmanager
    def seen_as_worker(
        self, is_well: Callable[[], bool] = lambda: True, name: str | None = None, process: int | None = None
    ) -> Iterator[None]:
        """Let a worker be known while the block runs; a thread gives its signs of life while it *is_well*.

        It is this process, by the name that owns its work; or *process*, whose *name* those of its processes begin with.
        """
        started, over = self.clock.now(), threading.Event()
        name, process = name or self.owner, process or os.getpid()

        def see() -> None:
            pause = 0.0
            while not over.wait(pause):
                pause = WELL_AGAIN_SECONDS
                if is_well():
                    pause = SEEN_EVERY_SECONDS
                    with suppress(RegistryUnavailable):
                        self.registry.see(Worker(name, socket.gethostname(), process, started, self.clock.now()))

        thread = threading.Thread(target=see, name="signs of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with suppress(RegistryUnavailable):
                self.registry.leave(name)

    def living_workers(self, host: str | None = None) -> int:
        """Return how many workers gave a sign of life a moment ago, on every machine or on *host* alone."""
        living = self.registry.workers(self.clock.now() - timedelta(seconds=LIVING_SECONDS))
        return sum(host in (None, worker.host) for worker in living)

    @property
    def set_aside(self) -> SetAside:
        """Where messages are that no worker could read."""
        return set_aside_at(self.settings.broker_url)

    def new_folder(self, path: Path) -> AbstractContextManager[OpenSink]:
        """Open a folder that does not exist yet for writing."""
        return new_folder(path)

    def new_id(self) -> str:
        """Return an id that nobody used before."""
        return secrets.token_hex(16)


@contextmanager
def embedded(environment: Mapping[str, str], folder: Path, role: str = "cli", worker: str | None = None) -> Iterator[Embedded]:
    """Give the embedded default: home made, database at its newest state, this process known as alive.

    *role* says what the process is; its owner name begins with it, behind the name of the *worker* that it is a process of.

    Raises:
        BadSetting: a setting cannot be used.
        MigrationNeeded: the database is a server's, and older than this code.
        UnsafeHome: the database would lie where it is not safe.
        RegistryUnavailable: the database cannot be opened.
    """
    settings = load(environment, folder)
    prepare_home(settings)
    _prepare_database(settings)
    owner = "-".join(filter(None, (worker, role, secrets.token_hex(8))))
    trusted = trusted_keys(settings)
    with _working_as(owner, settings), closing(_traces(environment, "worker" if worker else role, owner)) as traces:
        told = _destinations(settings, environment)
        wants = {name: one.wants for name, one in told.items()}
        registry = SqlRegistry(settings.database, lease_seconds=settings.lease_seconds, destinations=wants)
        if traces is not SILENT:
            registry = cast(SqlRegistry, traced.TracedRegistry(registry, traces))
            told = traced.traced(told, registry, traces)
        try:
            with closing(_inspector(role, settings)) as inspector:
                connection, clock = S3Connection(settings.s3_endpoint_url, settings.s3_region), RegistryClock(registry.now)
                store = _store(settings, connection)
                with closing(Rounds(Deliverer(registry, told, clock, owner))) as rounds:
                    leaned = Connections(_leaned_on(settings, registry))
                    yield Embedded(
                        settings, registry, store, connection, clock, owner, inspector, rounds, leaned, trusted, traces
                    )
        finally:
            registry.close()


def trusted_keys(settings: Settings) -> Mapping[str, PublicKey]:
    """Return the keys whose signatures are checked, by their names.

    Raises:
        BadSetting: a file is no such key, or what reads keys is not installed.
    """
    try:
        return {name: public_key(Path(path)) for name, path in settings.signing_keys.items()}
    except BadSetting as exc:
        raise BadSetting(f"MODELPORT_SIGNING_KEYS: {exc}") from exc


def _leaned_on(settings: Settings, registry: SqlRegistry) -> Sequence[Asked]:
    """Return what the service leans on, and how each is asked; without a broker, none is."""

    def database() -> Answer:
        registry.is_due(datetime.now(UTC))
        return Answer()

    asked = [Asked(Leaned.DATABASE, _shown(settings), database)]
    if settings.broker_url is not None:
        broker = partial(look_at_broker, settings.broker_url, PATIENCE_SECONDS)
        asked.append(Asked(Leaned.BROKER, broker_shown(settings.broker_url), broker))
    if settings.store_place is not None:
        hasty = S3Connection(settings.s3_endpoint_url, settings.s3_region, PATIENCE_SECONDS, attempts=1)
        place = partial(look_at_place, hasty, settings.store_place)
        asked.append(Asked(Leaned.STORE, str(settings.store_place), place))
    elif settings.store_folder is not None:
        asked.append(Asked(Leaned.STORE, readable(str(settings.store_folder)), partial(look_at_folder, settings.store_folder)))
    asked.append(Asked(Leaned.HOME, str(settings.home), partial(look_at_folder, settings.home)))
    return asked


def _traces(environment: Mapping[str, str], role: str, owner: str) -> Traces:
    """Return who listens to traces: nobody, unless the *environment* names a collector; then alone anything is imported."""
    if not are_wanted(environment):
        return SILENT
    try:
        from worker import otel
    except ImportError as exc:
        log.warning("no traces are sent", why=f"{exc}; pip install 'modelport[otel]' brings what is needed")
        return SILENT
    return otel.Otel(environment, role, owner)


def _destinations(settings: Settings, environment: Mapping[str, str]) -> Mapping[str, Destination]:
    """Return whom to tell of what happens, by the names that their deliveries carry; where nobody is, nothing is imported."""
    told: dict[str, Destination] = {}
    if settings.mlflow_tracking_uri is not None:
        from worker import mlflow_sink

        reached = mlflow_sink.access(settings.mlflow_tracking_uri, environment)
        told[mlflow_sink.NAME] = mlflow_sink.Mlflow(reached, partial(_page, settings.api_url))
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        from worker import webhook_sink

        now = partial(datetime.now, UTC)
        signed = (settings.webhook_url, settings.webhook_secret)
        told[webhook_sink.NAME] = webhook_sink.webhook(*signed, settings.webhook_may(), now, settings.api_url)
    return told


def _page(api_url: str | None, version: ModelVersion) -> str | None:
    """Return where a person with a browser finds *version*; None where nobody said where the API and its pages are."""
    return None if api_url is None else f"{api_url.rstrip('/')}/versions/{version.id}"


def _store(settings: Settings, connection: S3Connection) -> Store:
    if settings.store_place is not None:
        return S3Store(connection, settings.store_place)
    assert settings.store_folder is not None
    return LocalStore(settings.store_folder)


def _inspector(role: str, settings: Settings) -> Inspector:
    """Return what looks at trees: the files of a person at the command line in this process, those of strangers in a child."""
    if role == "cli":
        return InProcessInspector()
    stall_seconds = min(STALL_SECONDS, settings.lease_seconds * STALL_PER_LEASE)
    return IsolatedInspector(patience=Patience(stall_seconds=stall_seconds))


def scan_place(url: str, declared: ModelType | None, environment: Mapping[str, str], folder: Path) -> Scan:
    """Return the scan of the place *url* on object storage; nothing is registered, and no home is made.

    Raises:
        BadSetting: a setting cannot be used.
        RejectedLocation: *url* names no place, nothing is there, or the server refuses us.
        TreeError: the storage did not answer, or changed meanwhile.
    """
    with opened_place(url, environment, folder) as tree:
        return scan(tree, declared)


@contextmanager
def opened_place(url: str, environment: Mapping[str, str], folder: Path) -> Iterator[FileTree]:
    """Give the files at the place *url* on object storage.

    Raises:
        BadSetting, RejectedLocation, TreeError: as `scan_place`.
    """
    settings = load(environment, folder)
    try:
        place = parse_s3(url)
    except ValueError as exc:
        raise RejectedLocation(f"{readable(url)}: {exc}") from exc
    with open_s3(S3Connection(settings.s3_endpoint_url, settings.s3_region), place) as tree:
        yield tree


def check_start(environment: Mapping[str, str], folder: Path) -> Settings:
    """Return the settings of a worker, or raise what would keep each of its processes from starting.

    A database that does not answer yet is waited for, and so no reason.

    Raises:
        BadSetting, UnsafeHome, MigrationNeeded: as `embedded`.
    """
    settings = load(environment, folder)
    prepare_home(settings)
    trusted_keys(settings)
    with suppress(RegistryUnavailable):
        _prepare_database(settings)
    return settings


def _prepare_database(settings: Settings) -> None:
    """Bring a database in a file to the newest state. One on a server is others' too, and must have been brought there.

    Raises:
        MigrationNeeded: it was not.
        BadSetting: the database is newer than this code.
        RegistryUnavailable: it cannot be opened.
    """
    if settings.database_folder is None:
        check_newest(settings.database)
    else:
        migrate(settings.database)


def migrate_database(environment: Mapping[str, str], folder: Path) -> tuple[str, Sequence[str]]:
    """Bring the database to the newest state. Return its address without the password, and the steps that were applied."""
    settings = load(environment, folder)
    prepare_home(settings)
    return _shown(settings), migrate(settings.database)


def examine(
    environment: Mapping[str, str],
    folder: Path,
    repair: bool,
    with_digests: bool = False,
    with_drift: bool = False,
    step: Step = lambda name: None,
    expect: Callable[[int], None] = lambda size: None,
    progress: Callable[[int], None] = lambda count: None,
) -> Iterator[Check]:
    """Yield every check of `doctor`; a check that cannot be made is trouble, and ends the examination."""
    try:
        settings = load(environment, folder)
        yield Check("settings", "ok", f"home is {settings.home}")
        prepare_home(settings)
        yield Check("home", "ok", _where_database_lies(settings))
        yield from _reports(settings.home)
        with embedded(environment, folder) as service:
            yield Check("database", "ok", _shown(settings))
            yield from _broker(settings)
            borders = service.borders(step, expect, progress)
            keep = keep_of(borders.retention, borders.clock.now())
            yield from operations.examine(borders, service.open_version, repair, with_digests, with_drift, keep)
            yield from deliver.examine(service.rounds.deliverer)
    except WorkerError as exc:
        yield Check(_subject(exc), "trouble", str(exc))


def _broker(settings: Settings) -> Iterator[Check]:
    """Yield a check of the broker, where one is set. Workers get on without it, and so does the examination."""
    if settings.broker_url is not None:
        trouble = look_at_broker(settings.broker_url, PATIENCE_SECONDS).trouble
        where = broker_shown(settings.broker_url)
        yield Check("broker", "ok", f"{where} answers") if trouble is None else Check("broker", "trouble", trouble)


SUBJECTS: tuple[tuple[type[WorkerError], str], ...] = (
    (BadSetting, "settings"),
    (UnsafeHome, "home"),
    (MigrationNeeded, "database"),
    (RegistryUnavailable, "database"),
    (StorageUnavailable, "store"),
)
"""What is wrong where a check cannot be made, as a person calls it."""


def _subject(error: WorkerError) -> str:
    return next((subject for kind, subject in SUBJECTS if isinstance(error, kind)), "examination")


def _reports(home: Path) -> Iterator[Check]:
    """Yield a check of the reports of this home that no server took, where there are any."""
    kept, refused = spool.counted(home)
    if kept or refused:
        advice = "the next report to the same server sends those that wait; look at the .refused ones, which are sent no more"
        yield Check("reports", "trouble", f"{kept} wait and {refused} were refused, in {home / 'spool'}; {advice}")


def prepare_home(settings: Settings) -> None:
    """Make the home folder, for its user alone.

    Raises:
        UnsafeHome: it cannot be made or written, or lies on a file system where the database is not safe.
    """
    for folder in (settings.home, settings.database_folder or settings.home):
        kind = filesystems.filesystem_of(folder)
        if settings.database_folder is not None and kind in filesystems.NETWORK:
            raise UnsafeHome(
                f"{folder} lies on {kind}, where SQLite may lose data; set MODELPORT_HOME to a folder on a local disk"
            )
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            advice = "set MODELPORT_HOME to a folder that you may write"
            raise UnsafeHome(f"{folder} cannot be made: {exc.strerror}; {advice}") from exc
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UnsafeHome(f"{folder} may not be written; set MODELPORT_HOME to a folder that you may write")


def _where_database_lies(settings: Settings) -> str:
    if settings.database_folder is None:
        return "the database is a server"
    return f"the database lies on {filesystems.filesystem_of(settings.database_folder) or 'an unknown file system'}"


def _shown(settings: Settings) -> str:
    """Return the URL of the database without its password."""
    return shown(parse_url(settings.database))


def _working_as(owner: str, settings: Settings) -> AbstractContextManager[object]:
    """Let others know that *owner* lives, where they can: who shares a server may work on another machine."""
    folder = _owners(settings)
    return nullcontext() if folder is None else liveness.working_as(owner, folder)


def _is_dead(settings: Settings) -> Callable[[str], bool]:
    """Return what tells that an owner has ended. Of who shares a server nobody knows; there, leases decide."""
    folder = _owners(settings)
    return (lambda owner: False) if folder is None else partial(liveness.is_dead, folder=folder)


def _owners(settings: Settings) -> Path | None:
    """Return the folder of the owners' locks: beside the database, so that whoever shares one shares the other.

    None where the database is a server.
    """
    return None if settings.database_folder is None else settings.database_folder / "owners"
