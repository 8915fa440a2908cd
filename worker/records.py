"""The words of the service as frozen records: what is asked, what is known, what was registered.

They hold plain values, are valid once they exist, and travel between the pure steps, the borders and the doors.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from detectors.facts import Finding, Metric, ModelType
from detectors.tree import FileEntry, PassedOver
from worker.wholeness import Wholeness

DEFAULT_TEAM = "default"
DEFAULT_PROJECT = "default"


class Trigger(StrEnum):
    """Which door an ingestion came through."""

    CLI = "cli"
    """A person ran `modelport ingest` and watches it."""
    COMPLETION = "completion"
    """An experiment reported that it finished."""
    RESCAN = "rescan"
    """A person asked for another look at a path."""
    WATCH = "watch"
    """The watcher found a folder that has come to rest."""
    NOTIFICATION = "notification"
    """Object storage told of a new object of the run; whether it was the last one nobody knows."""
    UPLOAD = "upload"
    """Somebody sent the files themselves; they lie in the store, whole, before the event is accepted."""


GIVEN_WHOLE = frozenset({Trigger.CLI, Trigger.UPLOAD})
"""Who names what is there and expects nothing more to come: what such a model lacks is not waited for."""


class IngestionState(StrEnum):
    """Where an ingestion stands. All but the first three are ends, and each end is final."""

    RECEIVED = "received"
    """Accepted and committed; nobody works on it yet."""
    WAITING = "waiting"
    """Its files were still changing; it will be looked at again."""
    RUNNING = "running"
    """An owner works on it."""
    REGISTERED = "registered"
    """A new version was registered."""
    UNCHANGED = "unchanged"
    """The same content is registered already in this scope."""
    NOTHING_FOUND = "nothing_found"
    """There is no model below the path."""
    FAILED = "failed"
    """It ended with a reason that a person can read."""
    DISCARDED = "discarded"
    """A person ended it."""
    IGNORED = "ignored"
    """The event is recorded, and by its nature not scanned."""


class StoreMode(StrEnum):
    """How a version keeps its files."""

    COPY = "copy"
    """The store holds its own plain copy."""
    REFERENCE = "reference"
    """The files stay where they are; they were hashed once."""


class Condition(StrEnum):
    """How the files of a version were found when somebody looked at them where they are kept."""

    FINE = "fine"
    """They are those that were registered: by names, sizes and times, or byte for byte."""
    TOUCHED = "touched"
    """They have the names and sizes that were registered, but were written since; only their digests tell more."""
    CHANGED = "changed"
    """Their names, sizes or bytes are others than were registered."""
    MISSING = "missing"
    """Some of them are gone, or all."""
    UNREACHABLE = "unreachable"
    """Nobody could look: the place did not answer, or did not let us in."""


DRIFTED = frozenset({Condition.TOUCHED, Condition.CHANGED, Condition.MISSING})
"""What a look that fails does not take back."""


@dataclass(frozen=True, slots=True)
class FilesSeen:
    """How the files of a version were found: *condition* and a sentence, as of *at*. looked is when somebody last tried to
    look; where that failed since, *trouble* tells why, and is None where it did not. Times are by the clock of the registry.
    """

    condition: Condition
    says: str
    at: datetime
    looked: datetime
    trouble: str | None = None


class Policy(StrEnum):
    """What becomes of a version that is not clean: it is registered in any case."""

    RECORD = "record"
    """Registered like any other; what was found is told."""
    WARN = "warn"
    """The same, and whoever meets it is warned."""
    QUARANTINE = "quarantine"
    """Not to be served until a person releases it."""


@dataclass(frozen=True, slots=True)
class Objection:
    """What a policy holds against serving a version: *why* is a sentence, *is_quarantined* whether it is kept from serving or
    only warned of. causes are what is equal for what is known already (`policy`).
    """

    is_quarantined: bool
    why: str
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Released:
    """That a person let a version go: when, who, and why, in their own words. by is None for who may not know it."""

    at: datetime
    by: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """That a version is in quarantine since then, or was: why, by which causes, and how it was released, None for not yet."""

    since: datetime
    why: str
    causes: tuple[str, ...] = ()
    released: Released | None = None


class Kind(StrEnum):
    """What an experiment runs on; it decides where its model lies if nobody says so."""

    SINGLE_NODE = "singlenode"
    MULTI_NODE = "multinode"
    TUNING = "hyperparameter"


class Cluster(StrEnum):
    """Whose machines an experiment runs on."""

    PUBLIC = "public"
    PRIVATE = "private"


class ExperimentState(StrEnum):
    """How an experiment ended, in the words of the original system."""

    STOPPED = "stopped"
    """It ran to its end; shown as success."""
    ERROR = "error"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that the event says the model has: *path* below the model path, size in bytes, SHA-256 in hex or None."""

    path: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on a number of a run (`worker.gates`).

    name is `tensorflow:METRIC`, `onnx:METRIC` or `custom:ANYTHING`; aggregate is one of the statistics of the metric, and for
    custom ones a JSON pointer into the custom metadata. The number, rounded to *precision* decimal places, must lie between
    *above* and *below*, both excluded; None is no bound on that side, and one of the two is there.
    """

    name: str
    aggregate: str
    above: Decimal | None
    below: Decimal | None
    precision: int = 2
    is_rounded_up: bool = False
    passes_if_not_found: bool = False

    @property
    def target(self) -> str:
        """Return the range as people write it: `0.7..`, `..0.025`, `0.99..1.00`."""
        return f"{'' if self.above is None else self.above}..{'' if self.below is None else self.below}"


class GateOutcome(StrEnum):
    """What became of a gate."""

    PASSED = "passed"
    """The number lies in the range."""
    FAILED = "failed"
    """It does not, or is none."""
    NOT_FOUND = "not-found"
    """There is no such number; the gate says whether that passes."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What became of a *gate*: *value* is the number as it was found and *rounded* what was compared, both as text; None where
    there was none. *says* is a sentence."""

    gate: Gate
    outcome: GateOutcome
    value: str | None
    rounded: str | None
    says: str

    @property
    def is_passed(self) -> bool:
        """Tell whether the gate lets the version pass."""
        if self.outcome is GateOutcome.NOT_FOUND:
            return self.gate.passes_if_not_found
        return self.outcome is GateOutcome.PASSED


@dataclass(frozen=True, slots=True)
class CompletionEvent:
    """A run that finished, or a person who wants a path looked at.

    source and id together name the event: the same pair again is the same event. model_path is where the model is said to
    lie, empty where the default of kind and cluster counts. declared_type is what the sender says the model is, None where it
    does not say. name is the wanted name of the registered model, None for a generated one. files are all that the model
    has, as far as the sender says: once they are there nothing more is waited for. is_forced asks for a look even where
    nothing changed. traceparent names the span that it follows from, as W3C Trace Context writes it, None for none; it is no
    part of what the event says, so the same event in another trace is the same event. gates are those of the sender; the
    settings may have others.
    """

    source: str
    id: str
    model_path: str
    team: str = DEFAULT_TEAM
    project: str = DEFAULT_PROJECT
    experiment: str | None = None
    declared_type: ModelType | None = None
    name: str | None = None
    trigger: Trigger = Trigger.CLI
    kind: Kind | None = None
    cluster: Cluster = Cluster.PUBLIC
    state: ExperimentState = ExperimentState.STOPPED
    git_ref: str | None = None
    git_sha: str | None = None
    files: tuple[NamedFile, ...] = ()
    is_forced: bool = False
    traceparent: str | None = None
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """Where a model path is for this worker: *url* names it for good, *path* is the local folder or file, or the same `s3://`.

    root is the allowed folder that it must lie in wherever links lead, None where every path is allowed. is_in_store tells
    that the files lie where the store keeps those of their version, so that nothing need be copied; path only names them then.
    """

    url: str
    path: str
    mode: StoreMode
    root: str | None = None
    is_in_store: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """One listing, what it passed over, and when it was made: *at*, in seconds since 1970 by the registry's clock, which all
    workers share. *files_at* is the earliest that it may have been by the clock that stamped the files; None: *at*."""

    at: float
    entries: tuple[FileEntry, ...]
    passed_over: tuple[PassedOver, ...] = ()
    files_at: float | None = None

    @property
    def file_time(self) -> float:
        """When it was made, to compare with the times of its files."""
        return self.at if self.files_at is None else self.files_at


@dataclass(frozen=True, slots=True)
class Rest:
    """What is kept of a look until the next one, by whichever worker: when it was made, a digest of the listing, and its
    size in files and bytes, so that a person can be told what moves."""

    at: float
    digest: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SoFar:
    """What an ingestion went through: tries that failed, changes of its tree while it was read, seconds of waiting for rest."""

    failed: int = 0
    changes: int = 0
    waited_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Scope:
    """Inside one scope equal content is `unchanged`. For a bare path the location takes the experiment's place."""

    team: str
    project: str
    experiment: str | None
    location: str | None

    @property
    def key(self) -> str:
        """Return the scope as one string, different for different scopes."""
        last = ("experiment", self.experiment) if self.experiment else ("location", self.location or "")
        return json.dumps((self.team, self.project, *last))


@dataclass(frozen=True, slots=True)
class StoreKey:
    """What names a version's prefix in the store: `<team>/<project>/<experiment or uploads>/<version id>/model`."""

    team: str
    project: str
    experiment: str | None
    version_id: str


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A stored file: *path* relative to the model, size in bytes, SHA-256 of its content in lower-case hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Ingestion:
    """One job of ours, from acceptance to its end.

    version_id is the id that its version has, or will have, if it registers one: the store's prefix is known beforehand,
    so that a second try writes to the same place. answered_version is the version that the answer names, None before the
    end and where there is none. turn is which turn of its team it is: lower ones are claimed first; while it pauses it has
    none, and gets one as if it were new when the pause is over (`lifecycle.paused_turn`). run_after is when it
    may be claimed again, None for at once; lease_until is how long its owner owns it without another sign of life, None
    where nobody does: both by the clock of the registry. format is that of the primary model that the last look at its files
    found, None where no look came so far or it found none; a retry keeps it until the next look. times are in UTC.
    """

    id: str
    event: CompletionEvent
    state: IngestionState
    reason: str | None
    message: str | None
    attempts: int
    version_id: str
    answered_version: str | None
    owner: str | None
    location: str | None
    created: datetime
    updated: datetime
    turn: int = 1
    so_far: SoFar = SoFar()
    rest: Rest | None = None
    run_after: datetime | None = None
    lease_until: datetime | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What somebody says of a model before they send its files. name is None for a generated one, declared_type where nothing
    is said; summary is any JSON value, None for none; notes are theirs to word."""

    team: str
    project: str = DEFAULT_PROJECT
    name: str | None = None
    declared_type: ModelType | None = None
    summary: Any = None
    notes: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upload:
    """A model whose id was promised and that is not registered yet. ingestion_id is the one that was accepted when its files
    were all there, None before."""

    id: str
    said: NewUpload
    created: datetime
    ingestion_id: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Why an ingestion is let go of, and for how long; what it went through by then, and what the next look compares with.

    is_attempt tells whether the attempt counts: waiting for files does not. *location* is where the model path led to, None
    where it led nowhere. format is that of the model that was found, None where nobody looked so far.
    """

    seconds: float
    is_attempt: bool
    reason: str
    message: str
    so_far: SoFar
    rest: Rest | None = None
    location: str | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How an ingestion ends: a final state, a reason code, a sentence, the version that is the answer, if there is one, and
    where the model path led to; None where it led nowhere, or nobody looked. format is that of the model that was found, None
    where nobody looked so far; backtrace is where an error that nobody foresaw came from (`worker.backtrace`).
    """

    state: IngestionState
    reason: str
    message: str
    version_id: str | None = None
    location: str | None = None
    format: str | None = None
    backtrace: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step in the life of an ingestion, never changed once written.

    version_id is the id that the attempt which begins with this step may register, None where none begins. backtrace is where
    an error came from that nobody foresaw, None for any other step; only who steers the queue is shown it.
    """

    at: datetime
    state: IngestionState
    reason: str | None
    message: str | None
    version_id: str | None = None
    backtrace: str | None = None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Everything that registration writes in one transaction.

    listing_key is the digest of location, listing and rules version: the same again means that no byte need be read.
    report is the scan report as JSON text. metadata_raw keeps the custom metadata as found, byte for byte. mark is what later
    looks at files that stay where they are compare their listing with (`drift.mark_of`), None for copies. gates are what became
    of the gates. arrival is what differs from the version before it (`worker.arrival`), None for a first one. objection is what
    the policy holds against serving it, None for nothing. wholeness is how whole its primary model is, None where nobody says.
    """

    id: str
    scope: Scope
    model_name: str
    is_generated_name: bool
    model_type: ModelType
    format: str
    location: str
    listing_key: str
    rules_version: str
    digest: str
    oms_digest: str
    store: StoreMode
    url: str
    size_bytes: int
    completeness: str
    verdict: str
    report: str
    summary: Mapping[str, Any]
    detail: tuple[Mapping[str, Any], ...]
    metadata_raw: bytes | None
    files: tuple[FileDigest, ...]
    metrics: tuple[Metric, ...]
    findings: tuple[Finding, ...]
    mark: str | None = None
    gates: tuple[GateResult, ...] = ()
    arrival: Mapping[str, Any] | None = None
    objection: Objection | None = None
    wholeness: Wholeness | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules *rules_version* of the scanner made of a version's content; names mean what they do in `NewVersion`."""

    rules_version: str
    model_type: ModelType
    format: str
    completeness: str
    verdict: str
    report: str
    summary: Mapping[str, Any]
    detail: tuple[Mapping[str, Any], ...]
    metadata_raw: bytes | None
    metrics: tuple[Metric, ...]
    findings: tuple[Finding, ...]
    objection: Objection | None = None
    wholeness: Wholeness | None = None


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered version. number counts within its model from 1. duplicate_of names the first version of the team with
    equal content in another scope, None where there is none. deleted is None while the version lives. notes and said_summary
    are what people wrote about it, None where nobody did. is_published tells whether its team lets all others read its model.
    rules_version is that of the rules that judged it. files_seen is how its files were found when somebody last looked, None
    where nobody did; mark as in `NewVersion`, None where no look noted it yet. gates are what became of the gates of the last
    ingestion that had some, and are no reason not to register it. arrival as in `NewVersion`; None too where the rest is brief.
    held is that it is or was in quarantine, None where it never was; warning is what the policy of the last look warns of, None
    for nothing. wholeness as in `NewVersion`, None too where it was last judged before it was kept.
    """

    id: str
    model_name: str
    number: int
    is_generated_name: bool
    team: str
    project: str
    experiment: str | None
    model_type: ModelType
    format: str
    location: str
    digest: str
    oms_digest: str
    duplicate_of: str | None
    store: StoreMode
    url: str
    size_bytes: int
    completeness: str
    verdict: str
    report: str
    tags: tuple[str, ...]
    created: datetime
    deleted: datetime | None
    notes: str | None = None
    said_summary: Any = None
    is_published: bool = False
    rules_version: str = ""
    files_seen: FilesSeen | None = None
    mark: str | None = None
    gates: tuple[GateResult, ...] = ()
    arrival: Mapping[str, Any] | None = None
    held: Held | None = None
    warning: str | None = None
    wholeness: Wholeness | None = None

    @property
    def is_quarantined(self) -> bool:
        """Tell whether the version is not to be served: a policy holds it, and no person has released it."""
        return self.held is not None and self.held.released is None


@dataclass(frozen=True, slots=True)
class Registration:
    """The answer to `register`: is_new is False where equal content was registered in this scope before."""

    version: ModelVersion
    is_new: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """What the run of a version reported, as the original system shaped it (`detectors.facts.Metrics`)."""

    summary: Mapping[str, Any]
    detail: tuple[Any, ...]


class SortKey(StrEnum):
    """What a list of versions is ordered by."""

    CREATED = "created"
    """The order of registration, whatever the clocks said."""
    NAME = "name"
    """The name of the model, whatever the case of its letters."""
    SIZE = "size"
    """The bytes of all files."""
    METRIC = "metric"
    """The headline value of a metric (`worker.registry.listing.headlines`)."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list; what is equal in it stands in the order of registration, or against it where *is_descending*.

    metric names the metric, None where the order is by something else. Versions without a finite value of it stand last in
    both directions, newest first.
    """

    by: SortKey
    metric: str | None = None
    is_descending: bool = False


NEWEST_FIRST = Order(SortKey.CREATED, is_descending=True)


class Attention(StrEnum):
    """Why a person should look at a version; one version may have several reasons."""

    NEEDS_LOOK = "needs-look"
    """Any of those below."""
    INCOMPLETE = "incomplete"
    """A part is missing, or bytes contradict each other."""
    FINDINGS = "findings"
    """A finding of severity high or critical."""
    NOT_FULLY_READ = "not-fully-read"
    """A file could not be read, or a limit stopped the reading, and nothing worse is known."""
    QUARANTINED = "quarantined"
    """It is in quarantine, and waits for a person to release it."""
    GATE_FAILED = "gate-failed"
    """A gate of the last ingestion that had some was not passed."""


@dataclass(frozen=True, slots=True)
class VersionQuery:
    """Which versions to list: every given field must match, and every one of *tags*; deleted ones are left out. Only those
    that stand behind the version *after* in the *order* are given, which may be deleted by now; limit is the most rows.
    is_latest leaves out those that their model has a later living version than. text is looked for in names and experiments,
    and is the beginning of a digest or a whole id. is_published lists what any team published, instead of all of the team's.
    is_brief leaves the reports empty, which may be large.
    """

    team: str = DEFAULT_TEAM
    project: str | None = None
    experiment: str | None = None
    model_type: ModelType | None = None
    tag: str | None = None
    name: str | None = None
    text: str | None = None
    after: str | None = None
    limit: int = 100
    is_latest: bool = False
    order: Order = NEWEST_FIRST
    attention: Attention | None = None
    tags: tuple[str, ...] = ()
    is_published: bool = False
    is_brief: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    """How much a team has: models, versions, and for how many models the latest version should be looked at, by reason."""

    models: int
    versions: int
    attention: Mapping[Attention, int]


@dataclass(frozen=True, slots=True)
class IngestionQuery:
    """Which ingestions to list: every given field must match. Only older ones than the ingestion *after* are given; limit is
    the most, newest first. team is None for those of all teams that there are. format is that of the model that was found,
    `NO_FORMAT` for those of which none is known."""

    team: str | None = DEFAULT_TEAM
    state: IngestionState | None = None
    experiment: str | None = None
    reason: str | None = None
    after: str | None = None
    limit: int = 100
    trigger: Trigger | None = None
    model_path: str | None = None
    format: str | None = None


NO_FORMAT = "none"
"""Stands for the format where none is known."""


@dataclass(frozen=True, slots=True)
class Queue:
    """How the queue stands: ingestions by state; how many may be claimed now, or could be if it were not paused; when the
    oldest of those that have not ended was accepted, None where all have."""

    states: Mapping[IngestionState, int]
    due: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The failed ingestions that have one reason: how many there are, and the one of them that failed last."""

    reason: str
    count: int
    newest: Ingestion


@dataclass(frozen=True, slots=True)
class Halt:
    """That the queue is paused: since then no worker begins anything of *team*, None for all teams, until a person resumes it.

    by is who paused it, note why, None where they gave no reason. An ingestion that pauses before its next attempt is another
    thing: `Pause`.
    """

    team: str | None
    since: datetime
    by: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How the work of one team stands, or that of all, all of one moment.

    in_flight are ingestions that have not ended, by state. due is how many may be claimed now; due_since is since when the
    next in line may be, or the first whose pause is over, whichever is longer, and None where none is due. finished are those
    that workers brought to an end lately and that are there still, by the minute and by state; last_finish is when the last
    one came to it, None for never. failures are the reasons of what has failed, the most frequent ones first, at most
    `MOST_REASONS`. counted_since is from when on all that finished are counted where a team finished more than `MOST_FINISHED`
    since then, None where all are. took are the seconds from acceptance to end of the last ones, at most `MOST_TIMED`.

    halts are why no worker begins any of it, that of all teams first; what is due then could be claimed without them.
    """

    in_flight: Mapping[IngestionState, int]
    due: int
    due_since: datetime | None
    finished: Mapping[datetime, Mapping[IngestionState, int]]
    last_finish: datetime | None
    failures: Sequence[FailureGroup]
    took: Sequence[float] = ()
    counted_since: datetime | None = None
    halts: Sequence[Halt] = ()

    @property
    def ends(self) -> Counter[IngestionState]:
        """How many of those that finished lately came to which end."""
        return sum((Counter(states) for states in self.finished.values()), Counter[IngestionState]())


MOST_FINISHED = 100_000
"""How many of those that finished lately are counted of a team; what is more is not looked at."""

MOST_TIMED = 1000
"""How many of those that finished lately it is told of how long they took."""

MOST_REASONS = 100
"""Reasons that a standing tells of; this code has fewer."""


class Counted(StrEnum):
    """What a registry counts from its first ingestion on; after each, the labels that it is told apart by."""

    ACCEPTED = "accepted"
    """Events that became an ingestion: trigger."""
    RETRIED = "retried"
    """Failed ingestions that a person had tried again: trigger."""
    CLAIMED = "claimed"
    """Attempts that began: trigger."""
    FREED = "freed"
    """Ingestions that were taken from an owner who was lost: trigger."""
    ENDED = "ended"
    """Ends, one for each that was accepted and one for each that was retried: outcome, reason, trigger, format. The format is
    that of the version where one was registered, and `none` elsewhere."""
    PUT_AWAY = "put_away"
    """Failed ingestions that a person discarded, whose end was counted when they failed: trigger."""
    WAITED = "waited"
    """First claims by the time since the ingestion was accepted or retried: le, the most seconds of a bucket. Each is counted
    in the lowest bucket that holds it, and in no other."""
    WAITED_MICROSECONDS = "waited_microseconds"
    """The sum of those times."""
    STEPPED = "stepped"
    """Steps of attempts by how long they took: step, and le as in `WAITED`. Counted beside the work, and so not exact."""
    STEPPED_MICROSECONDS = "stepped_microseconds"
    """The sums of those times: step."""
    BYTES = "bytes"
    """Bytes of files that were read whole to be registered: outcome, which is `unchanged` where their content was known."""


Labels = tuple[tuple[str, str], ...]
"""Names and words of labels, sorted by name; each word is one of a closed set."""


@dataclass(frozen=True, slots=True)
class Count:
    """How often something with these labels happened so far, or how much of it there was."""

    name: Counted
    labels: Labels
    value: int


STEPS = ("resolve", "settle", "detect", "store", "register")
"""The steps of an attempt whose times are counted, in their order: finding the place, seeing that the files have settled,
looking at them, reading and keeping every byte, registering."""


@dataclass(frozen=True, slots=True)
class Took:
    """How long a step of an attempt took; *step* is one of `STEPS`."""

    step: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that works off the queue: its name, where it runs, since when, and when it last gave a sign of life."""

    name: str
    host: str
    pid: int
    started: datetime
    seen: datetime


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a registry says about the work of everybody, all of one moment: what was counted so far; ingestions that have not
    ended by state, and those of them that pause by why they do; how many may be claimed now, and since when the first of them
    may be, None where none is; the workers that gave a sign of life lately.

    is_paused tells whether the queue of all teams is, and then what may be claimed could be without that; paused_teams is how
    many teams are by themselves, whose ingestions may not be claimed.
    """

    counts: Sequence[Count]
    in_flight: Mapping[IngestionState, int]
    pausing: Mapping[str, int]
    due: int
    due_since: datetime | None
    workers: Sequence[Worker]
    is_paused: bool = False
    paused_teams: int = 0


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days things are kept after they came to an end; 0 for ever. The names are those of `Keep`."""

    history_days: float = 0
    deliveries_days: float = 0
    audit_days: float = 0


FOR_EVER = Retention()


@dataclass(frozen=True, slots=True)
class Keep:
    """What is old enough to be removed: what ended, was delivered or was done before these moments; None for nothing of it.

    history is about ingestions that ended without a version, with their steps; deliveries about those that were taken; audit
    about the log of what people did; workers about processes that gave no sign of life since.
    """

    history: datetime | None = None
    deliveries: datetime | None = None
    audit: datetime | None = None
    workers: datetime | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows of each kind were removed, or would be: the names are those of `Keep`."""

    history: int = 0
    deliveries: int = 0
    audit: int = 0
    workers: int = 0


UNSAID = "somebody who gave no name"
"""Who did what a caller of the registry asked for without saying for whom."""


class Action(StrEnum):
    """What a person did that is written down. Words are never renamed: they stand in lines that nobody changes."""

    MODEL_RENAMED = "model.renamed"
    """A model got another name, and so all its versions."""
    MODEL_PUBLISHED = "model.published"
    """All teams may read a model from now on."""
    MODEL_WITHDRAWN = "model.withdrawn"
    """No team but its own may, from now on."""
    VERSION_TAGGED = "version.tagged"
    """A version got tags or lost some."""
    VERSION_NOTED = "version.noted"
    """A version got other notes; what they say is not repeated."""
    VERSION_DELETED = "version.deleted"
    """A version was deleted."""
    VERSION_QUARANTINED = "version.quarantined"
    """The policy put a version into quarantine, again perhaps; nobody else does."""
    VERSION_RELEASED = "version.released"
    """A person let a version go that was in quarantine."""
    VERSION_TAKEN = "version.taken"
    """Somebody took files of a version that is in quarantine, to look into them."""
    UPLOAD_BEGUN = "upload.begun"
    """An id was promised to a model whose files are to come."""
    UPLOAD_TAGGED = "upload.tagged"
    """Such a model got other tags before it was registered."""
    UPLOAD_ENDED = "upload.ended"
    """It was given up."""
    PROJECT_CREATED = "project.created"
    """A project was made before any event named it."""
    PROJECT_RENAMED = "project.renamed"
    """A project is called otherwise."""
    INGESTION_RETRIED = "ingestion.retried"
    """A failed ingestion is to be tried again."""
    INGESTION_DISCARDED = "ingestion.discarded"
    """An ingestion that had not ended well was ended."""
    QUEUE_PAUSED = "queue.paused"
    """No worker begins anything of a team, or of any, from now on."""
    QUEUE_RESUMED = "queue.resumed"
    """Workers do again."""
    MESSAGE_REMOVED = "queue.message_removed"
    """A message that no worker could read, or all of them, was thrown away."""
    TEAM_CREATED = "team.created"
    """A team was made; it is the first line of its log."""
    TOKEN_CREATED = "token.created"  # noqa: S105 - a word
    """A token was made."""
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - a word
    """A token was taken back."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of a team's log: who did what to what, and when.

    object_id and object_name say what it was done to, as it is called since; details are small, plain and hold no secret.
    """

    id: str
    at: datetime
    team: str
    who: str
    action: Action
    object_id: str
    object_name: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines of a team's log are wanted, newest first; None is any. *who* is a name as a line has it, or a token's id.

    *after* is the id of a line: wanted are those before it in time.
    """

    team: str
    who: str | None = None
    action: Action | None = None
    after: str | None = None
    limit: int = 100


class TokenScope(StrEnum):
    """What the holder of a token may do, within its team but for `operate:all`."""

    COMPLETION_WRITE = "completion:write"
    """Report that an experiment finished, and look at what became of it."""
    MODEL_READ = "model:read"
    """Look at models, versions and ingestions."""
    MODEL_WRITE = "model:write"
    """Add, rename, tag and delete models; ask for another look at a path."""
    OPERATE = "operate"
    """Steer the queue: retry, discard, pause, resume."""
    OPERATE_ALL = "operate:all"
    """Watch the work of all teams, in figures that name none; with `operate` too, see it and steer it."""
    ADMIN = "admin"
    """Everything that the team may do."""


@dataclass(frozen=True, slots=True)
class Team:
    """Who owns projects, models and tokens. Nothing of one team is shown or told to another."""

    name: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Project:
    """A team's project; it is known from the first event that names it, or since somebody made it.

    id is its first name and never changes; name is how it is called now. Any name that it ever had leads to it and to no other.
    """

    team: str
    id: str
    name: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: whom it speaks for, what it allows, and the SHA-256 of its text in lower-case hex.

    expires is when its time is over, revoked when it was taken back, last_used when it was used, to the minute; None for
    never.
    """

    id: str
    team: str
    name: str
    digest: str = field(repr=False)
    scopes: frozenset[TokenScope]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    last_used: datetime | None = None
