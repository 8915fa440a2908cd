"""What the use cases need from outside, as small protocols. Each has a real border and a shipped in-memory fake,
and both pass the same contract suite in `tests/contracts/`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from detectors.facts import Finding, Metrics, ModelType, Severity
from detectors.scan import Scan
from detectors.tree import FileEntry, FileTree
from worker.delivery import Delivery, DeliveryKind, DeliveryQuery
from worker.errors import RejectedEvent
from worker.records import (
    UNSAID,
    AuditEntry,
    AuditQuery,
    CompletionEvent,
    Count,
    End,
    FileDigest,
    FilesSeen,
    GateResult,
    Halt,
    HistoryEntry,
    Ingestion,
    IngestionQuery,
    IngestionState,
    Judgement,
    Keep,
    Location,
    ModelVersion,
    NewUpload,
    NewVersion,
    Overview,
    Pause,
    Project,
    Pulse,
    Queue,
    Registration,
    Removed,
    Scope,
    Standing,
    StoreKey,
    StoreMode,
    Summary,
    Team,
    Token,
    TokenScope,
    Took,
    Upload,
    VersionQuery,
    Worker,
)
from worker.stranded import Aside, Stranded
from worker.verification import Verified


class Registry(Protocol):
    """The truth about models, versions and ingestions. A method is one transaction, whole or not at all, but for two: `free`
    makes one for each ingestion, and `token_by_digest` notes the use of a token apart from reading it.

    *now* is the time by one clock that all who share a registry go by (`Clock`): leases and pauses are compared with it.

    Raises:
        RegistryUnavailable: the database did not answer; nothing was changed, but for what `free` had freed by then. Where the
            connection was lost while the transaction was committed, it may have been whole: nobody knows.
    """

    @property
    def outbox(self) -> Outbox:
        """What is to be told to others. Whatever registers, judges, releases or deletes a version, and whatever ends an
        ingestion as failed, adds to it in its transaction (`worker.occurrences` says when)."""
        ...

    @property
    def care(self) -> Care:
        """What keeps a registry in good order over years."""
        ...

    @property
    def verifications(self) -> Verifications:
        """What load checks came to, and who makes the next one."""
        ...

    def now(self) -> datetime:
        """Return the time in UTC by the clock that all who share this registry share; `registry.clock` carries it on."""
        ...

    def submit(
        self, event: CompletionEvent, now: datetime, owner: str | None = None, end: End | None = None
    ) -> tuple[Ingestion, bool]:
        """Return the ingestion of *event*, and whether it was known before. A repeated source and id is the same ingestion.

        A new one is claimed for *owner* in the same transaction, where one is given: who works on it at once leaves no
        moment in which it is nobody's. It gets the turn after its team's last, and no earlier one than whose turn it is
        now: so a team that sends ten waits behind ten of another's ten thousand. What pauses has no turn, and gets one in
        the same way when its pause is over.

        Where *end* is given, a new one ends so at once: it is recorded, and nobody ever works on it. A project may be named by
        any name that it ever had, and the ingestion's event has its id; one that is not known yet is from now on.

        Raises:
            RejectedEvent: a name in the event is empty, too long, or holds what cannot be printed.
            ConflictingEvent: the same source and id said something else before.
        """
        ...

    def submit_all(
        self, events: Sequence[tuple[CompletionEvent, End | None]], now: datetime
    ) -> Sequence[tuple[Ingestion, bool] | RejectedEvent]:
        """As `submit`, for events that came together, each with how it ends at once: in their order, and in one transaction.

        What `submit` would raise for one is the answer to it; the others are accepted.
        """
        ...

    def claim(self, ingestion_id: str, owner: str, now: datetime) -> Ingestion | None:
        """Make *owner* its owner, count the attempt, and return it; None where it has ended or another owns it.

        A pause that has not passed yet does not stand in the way: who asks for this very one knows why. Where the queue is
        paused, None for everybody but its owner, who goes on with what was begun before.
        """
        ...

    def claim_next(self, owner: str, now: datetime) -> Ingestion | None:
        """Make *owner* the owner of the one whose turn it is, and return it; None where nothing may be claimed now.

        Two who ask at once get two different ones. What is paused is passed over, and gets its turn when it is resumed.
        """
        ...

    def beat(self, ingestion_id: str, owner: str, now: datetime) -> bool:
        """Let the owner's lease last anew from *now*; False, and nothing changed, where *owner* does not own it any more."""
        ...

    def wait(self, ingestion_id: str, owner: str, pause: Pause, now: datetime) -> bool:
        """Let go of an ingestion until *pause* has passed.

        False, and nothing changed, where *owner* does not own it any more.
        """
        ...

    def free(
        self,
        now: datetime,
        dead: Callable[[str], bool] = lambda owner: False,
        tell: Callable[[Ingestion], object] = lambda ingestion: None,
    ) -> Sequence[Ingestion]:
        """Take what runs from owners whose lease has run out, or whom *dead* knows to be so; return it as it stands now.

        Each is a transaction of its own, and *tell* hears of it right after that, before the next one's begins.

        Raises:
            RegistryUnavailable: not all could be freed; *tell* has heard of those that were.
        """
        ...

    def sweeping(self) -> AbstractContextManager[bool]:
        """Tell whether nobody else who shares this registry sweeps, and keep all others from it until the block ends.

        Who ends in the middle, even killed, keeps nobody from it any more.
        """
        ...

    def retry(
        self, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None, traceparent: str | None = None
    ) -> Ingestion | None:
        """Receive a failed ingestion of the team anew; None, and nothing changed, where there is no such one.

        *note* is why, and is kept in the log of what people did. Its attempts follow from the span *traceparent* from now on,
        for None from the same one as before.
        """
        ...

    def discard(self, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None) -> Ingestion | None:
        """End an ingestion of the team that has not ended well, whoever works on it; None where there is no such one.

        *note* is why, as for `retry`.
        """
        ...

    def finish(self, ingestion_id: str, owner: str, end: End, now: datetime) -> bool:
        """End the ingestion; False, and nothing changed, where *owner* does not own it any more.

        Raises:
            ValueError: the state is no end, or is `registered`, which `register` alone says.
        """
        ...

    def register(self, ingestion_id: str, owner: str, version: NewVersion, now: datetime) -> Registration | None:
        """Write the version, its files, metrics and findings, and end the ingestion, all or nothing.

        Where the scope holds equal content already, that version is the answer: it takes over the new listing key, and what
        the new look made of the content, quarantine included (`policy.stands`). The ingestion stays its owner's, who removes
        what was copied in vain and then finishes it. A generated name is that of the scope's newest version, which somebody may
        have given another one.

        None, and nothing changed, where *owner* does not own the ingestion any more.

        Raises:
            RejectedEvent: a name, a path or a size in *version* cannot be kept.
            ValueError: the version is not the one planned for this ingestion, or is of another team.
        """
        ...

    def kept_at(self, version_id: str, store: StoreMode, url: str, location: str) -> None:
        """Note where a version's files are kept from now on, and where they came from; its content stays what it is."""
        ...

    def note_gates(self, version: ModelVersion, gates: Sequence[GateResult], ingestion_id: str, now: datetime) -> None:
        """Note what became of the gates of an ingestion that *version* answers; earlier results are forgotten. Tell of a failed
        one, once of this ingestion.
        """
        ...

    def predecessor(self, version: NewVersion) -> ModelVersion | None:
        """Return the newest living version of the model that *version* would be registered under, None where it has none."""
        ...

    def same_listing(self, scope: Scope, listing_key: str) -> ModelVersion | None:
        """Return the living version of this scope whose listing key this is, or None."""
        ...

    def owned(self) -> Sequence[Ingestion]:
        """Return the ingestions that somebody owns."""
        ...

    def queue(self, now: datetime, team: str | None = None) -> Queue:
        """Return how many ingestions stand in each state, and what waits: the team's, or everybody's for None."""
        ...

    def standing(self, team: str | None, now: datetime, since: datetime) -> Standing:
        """Return how the work of a team, None for all that there are, stands at one moment, with what finished at *since* or
        later.

        Reads no row of what has ended but the newest failure of each reason and those that finished last: all else is counted
        in indexes.
        """
        ...

    def contradictions(self, now: datetime) -> Sequence[str]:
        """Return what in the registry contradicts itself, one sentence for each, naming an id; empty where all is well.

        Looked for are: an end without its version, a version without its end, an owner without a run, a run without an owner,
        a lease that ran out long ago and was not freed; and a state in which the counters say more ingestions, or fewer, than
        there are.
        """
        ...

    def counters(self) -> Sequence[Count]:
        """Return all that was counted so far, by name and labels; what never happened is left out.

        Each is counted in the transaction in which it happens, and so survives what the registry survives.
        """
        ...

    def took(self, steps: Sequence[Took]) -> None:
        """Count how long *steps* of attempts took."""
        ...

    def pulse(self, now: datetime, since: datetime) -> Pulse:
        """Return how the work of all teams stands at one moment, with the workers that were seen at *since* or later.

        Reads what is in flight, and no row of what has ended.
        """
        ...

    def is_due(self, now: datetime) -> bool:
        """Tell whether any ingestion may be claimed now; none may that is paused."""
        ...

    def pause_queue(self, team: str, is_all: bool, now: datetime, who: str = UNSAID, note: str | None = None) -> Halt | None:
        """Let no worker begin anything of the team, or of any if *is_all*, and return since when; None, and nothing changed,
        where that is so already.

        When it returns, whatever was begun is known to run: nobody is still about to claim. What runs goes on to its end, and
        all that is reported is accepted. The line is written in the log of *team*, whose person did it.

        Raises:
            RegistryUnavailable: also where others hold what a claim needs for too long; nothing was changed.
        """
        ...

    def resume_queue(self, team: str, is_all: bool, now: datetime, who: str = UNSAID, note: str | None = None) -> Halt | None:
        """Let workers begin again what `pause_queue` with the same words kept them from, and return what that was; None, and
        nothing changed, where it was not paused so. A team of a queue that is paused for all stays paused.
        """
        ...

    def note_removal(
        self, team: str, message_id: str | None, now: datetime, who: str = UNSAID, note: str | None = None
    ) -> None:
        """Write in the team's log that *who* removes a message that was set aside, None for all of them.

        They are not in the registry: the line is written before they are removed.
        """
        ...

    def halts(self, team: str | None) -> Sequence[Halt]:
        """Return why no worker begins anything of the team, None for any; that of all teams first. Empty where they do."""
        ...

    def see(self, worker: Worker) -> None:
        """Note that *worker* lives, as of its `seen`."""
        ...

    def leave(self, name: str) -> None:
        """Forget the worker *name*; harmless where it is not known."""
        ...

    def workers(self, since: datetime) -> Sequence[Worker]:
        """Return the workers that were seen at *since* or later, by name."""
        ...

    def ingestions(self, query: IngestionQuery) -> Sequence[Ingestion]:
        """Return matching ingestions of a team, or of all that there are, newest first."""
        ...

    def count_ingestions(self, query: IngestionQuery) -> int:
        """Return how many ingestions match, wherever a list of them begins and however long it is."""
        ...

    def ingestion(self, team: str | None, ingestion_id: str) -> Ingestion | None:
        """Return one ingestion of the team, or of whatever team for None; None where there is no such one."""
        ...

    def history(self, ingestion_id: str) -> Sequence[HistoryEntry]:
        """Return the steps of an ingestion, oldest first."""
        ...

    def versions(self, query: VersionQuery) -> Sequence[ModelVersion]:
        """Return matching versions in the order that is asked for."""
        ...

    def count(self, query: VersionQuery) -> int:
        """Return how many versions match, wherever a list of them begins and however long it is."""
        ...

    def overview(self, team: str) -> Overview:
        """Return how much a team has, without counting it: it was kept as it changed."""
        ...

    def tags(self, team: str) -> Sequence[str]:
        """Return the tags of the team's living versions, each once, by name; no more is read than there are tags."""
        ...

    def metric_names(self, team: str) -> Sequence[str]:
        """Return the names of the metrics that the team's living versions can be ordered by, each once, by name; no more is
        read than there are names.
        """
        ...

    def summaries(self, version_ids: Collection[str], is_brief: bool = False) -> Mapping[str, Summary]:
        """Return what the runs of those of *version_ids* that are known reported, without the single values.

        is_brief leaves out the details, which tell every step and may be large.
        """
        ...

    def courses(self, wanted: Mapping[str, tuple[str, str]], most: int) -> Mapping[str, Sequence[float | None]]:
        """Return what became of a metric across the versions of a model, oldest first, up to each version in *wanted*, which
        tells its name and session by the id of that version.

        Of the last *most* numbers of the model those count that are living versions; None stands for one that did not report
        the metric. An id that nobody knows, or of whose model there are none, is left out.
        """
        ...

    def named(self, team: str, name: str, number: int | None = None) -> Sequence[ModelVersion]:
        """Return the version with this number, or the latest, of every model of the team with this name, newest first.

        Names are unique within a project; what it means that two projects have the name is for the caller to decide.
        """
        ...

    def version(self, team: str, version_id: str) -> ModelVersion | None:
        """Return one living version by its id, or None."""
        ...

    def readable(self, team: str, version_id: str) -> ModelVersion | None:
        """Return one living version by its id that the team may read, its own or a published one; or None.

        Nothing but reading goes by this: who changes or lists asks `version` and `versions`.
        """
        ...

    def files(self, version_id: str) -> Sequence[FileDigest]:
        """Return the files of a version, sorted by path."""
        ...

    def metrics(self, version_id: str) -> Metrics | None:
        """Return what the run of a version reported, its values in the order given; None where there is no such version."""
        ...

    def severities(self, version_ids: Collection[str]) -> Mapping[str, Mapping[Severity, int]]:
        """Return how many findings of which severity those of *version_ids* have that have any."""
        ...

    def findings(self, version_id: str) -> Sequence[Finding]:
        """Return the findings of a version, in the order given."""
        ...

    def origin(self, version_id: str) -> Ingestion | None:
        """Return the ingestion that registered a version, deleted or not; None where there is no such version."""
        ...

    def metadata(self, version_id: str) -> bytes | None:
        """Return the custom metadata of a version, byte for byte; None where there is none."""
        ...

    def rename(self, team: str, version_id: str, name: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        """Give the version's model, and so all its versions, another name, no longer a generated one; return the version.

        None where there is no such living version.

        Raises:
            NameTaken: another model of the project has that name.
            RejectedEvent: the name cannot be kept.
        """
        ...

    def tag(
        self,
        team: str,
        version_id: str,
        add: Iterable[str],
        remove: Iterable[str],
        now: datetime | None = None,
        who: str = UNSAID,
    ) -> ModelVersion | None:
        """Add tags, then remove tags, and return the version; None where there is no such living version.

        *now* is None for the registry's own time.

        Raises:
            RejectedEvent: a tag to add cannot be kept.
        """
        ...

    def note(self, team: str, version_id: str, notes: str | None, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        """Keep what a person wrote about the version, None for nothing, and return it; None where it does not live."""
        ...

    def delete(self, team: str, version_id: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        """Mark the version as deleted and return it; None where there is no such living version."""
        ...

    def publish(self, team: str, version_id: str, is_published: bool, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        """Let all teams read the version's model, and so all its versions, also later ones; or no team but its own.

        Return the version; None where there is no such living version.
        """
        ...

    def release(self, team: str, version_id: str, reason: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        """Let a version go that is in quarantine, and return it; None where there is no such living version.

        What is in none is returned as it is, and nothing changed: who released it first, and why, is what stands.
        """
        ...

    def note_taking(self, team: str, version_id: str, now: datetime, who: str = UNSAID) -> ModelVersion | None:
        """Write in the team's log that *who* takes files of a version that is in quarantine, and return it; None where there is
        no such living version. Of what is in none, nothing is written.
        """
        ...

    def begin_upload(self, said: NewUpload, now: datetime, who: str = UNSAID) -> Upload:
        """Promise an id to a model whose files are to come, and return it. A project that is not known yet is from now on.

        Raises:
            RejectedEvent: a name, a tag or a text cannot be kept.
        """
        ...

    def upload(self, team: str, upload_id: str) -> Upload | None:
        """Return what the team was promised an id for; None where it was given up, or is registered by now."""
        ...

    def take_upload(self, team: str, upload_id: str, writer: str, now: datetime) -> bool:
        """Let *writer* alone bring the files, for as long as a lease lasts; False where another does, or they are there."""
        ...

    def beat_upload(self, upload_id: str, writer: str, now: datetime) -> bool:
        """Let the writer's lease last anew from *now*; False, and nothing changed, where it has none any more."""
        ...

    def leave_upload(self, upload_id: str, writer: str) -> None:
        """Let others bring the files: *writer* has not done it. Harmless where it has no lease any more."""
        ...

    def seal_upload(self, upload_id: str, writer: str, event: CompletionEvent, now: datetime) -> Ingestion | None:
        """Accept *event*, whose files *writer* has brought, so that nobody brings others; return its ingestion.

        The version that it registers gets the id that was promised, and with it the upload's notes, summary and tags.
        None, and nothing changed, where the writer has no lease any more.

        Raises:
            RejectedEvent: a name in the event cannot be kept.
        """
        ...

    def tag_upload(self, team: str, upload_id: str, tags: Iterable[str], now: datetime, who: str = UNSAID) -> Upload | None:
        """Give the upload these tags and no others; None where there is none, as for `upload`.

        Raises:
            RejectedEvent: a tag cannot be kept.
        """
        ...

    def end_upload(self, team: str, upload_id: str, now: datetime, who: str = UNSAID) -> Upload | None:
        """Give an upload up: nobody brings files for it any more. None where there is none, as for `upload`."""
        ...

    def kept_uploads(self, since: datetime) -> frozenset[str]:
        """Return the ids of uploads whose files must stay though no version has them: those whose ingestion has not ended or
        may be tried again, and those that nobody gave up and that were begun, or written to, at *since* or later.
        """
        ...

    def create_team(self, name: str, now: datetime, who: str = UNSAID) -> Team | None:
        """Make a team and return it; None, and nothing changed, where one has that name in any case of its letters.

        The team `default` is there from the beginning.

        Raises:
            RejectedEvent: the name cannot be kept.
        """
        ...

    def teams(self) -> Sequence[Team]:
        """Return all teams by name."""
        ...

    def projects(self, team: str) -> Sequence[Project]:
        """Return the team's projects by name."""
        ...

    def project(self, team: str, name: str) -> Project | None:
        """Return the team's project that *name* means: the one whose id it is, or that has or had this name; None for none.

        What a name means never changes, so events, queries and people may use any.
        """
        ...

    def renamed_projects(self, team: str) -> Mapping[str, str]:
        """Return how those of the team's projects are called that are not called by their ids, by id."""
        ...

    def create_project(self, team: str, name: str, now: datetime, who: str = UNSAID) -> Project | None:
        """Make a project whose id is *name*, and return it; None, and nothing changed, where *name* means one already.

        Raises:
            RejectedEvent: the name cannot be kept.
        """
        ...

    def rename_project(self, team: str, name: str, new_name: str, now: datetime, who: str = UNSAID) -> Project | None:
        """Call the project that *name* means *new_name*, and return it; None where it means none. Its id stays.

        Raises:
            NameTaken: the new name is or was that of another project.
            RejectedEvent: it cannot be kept.
        """
        ...

    def create_token(
        self,
        team: str,
        name: str,
        digest: str,
        scopes: frozenset[TokenScope],
        now: datetime,
        expires: datetime | None = None,
        who: str = UNSAID,
    ) -> Token | None:
        """Keep what is to be kept of a new token, and return it; None, and nothing changed, where there is no such team.

        Raises:
            RejectedEvent: the name cannot be kept.
        """
        ...

    def token_by_digest(self, digest: str, now: datetime) -> Token | None:
        """Return the token with this digest, whether it is valid or not; None where there is none.

        That a valid one is used at *now* is noted, at most once a minute; where the note cannot be written, it is left out.
        """
        ...

    def tokens(self, team: str) -> Sequence[Token]:
        """Return the team's tokens, newest first, revoked and expired ones too."""
        ...

    def has_tokens(self) -> bool:
        """Tell whether any team has a token, or ever had one."""
        ...

    def revoke_token(self, team: str, token_id: str, now: datetime, who: str = UNSAID) -> Token | None:
        """Take a token of the team back, and return it; None where there is none. One taken back before stays as it is."""
        ...

    def audit(self, query: AuditQuery) -> Sequence[AuditEntry]:
        """Return matching lines of a team's log of what people did, newest first.

        Each method that does something for a person takes who that is, and writes its line in the transaction that does it:
        no change is without a line, and no line without its change. What changes nothing writes none.
        """
        ...

    def signing_key(self) -> bytes:
        """Return 32 random bytes that all who share this registry sign with; made at the first call, then always the same."""
        ...

    def attempts_among(self, version_ids: Collection[str]) -> Mapping[str, IngestionState]:
        """Return those of *version_ids* that were given to an attempt, each with the state of its ingestion now."""
        ...

    def uploads_among(self, version_ids: Collection[str]) -> frozenset[str]:
        """Return those of *version_ids* that were promised to an upload, whatever became of it."""
        ...

    def store_keys(self) -> Iterable[tuple[str, bool]]:
        """Yield (version id, whether its files must be in the store) for every version ever registered."""
        ...


class SetAside(Protocol):
    """The messages that workers could not use, wherever the broker keeps them. They hold no work: a message is only a bell.

    Raises:
        ServerUnavailable: the broker did not answer in time.
    """

    def look(self, most: int) -> Aside:
        """Return the newest of them, *most* at most, and how many there are."""
        ...

    def find(self, message_id: str) -> Stranded | None:
        """Return the one that is called so, None where there is none."""
        ...

    def count(self) -> int:
        """Return how many are kept."""
        ...

    def remove(self, message_id: str | None) -> int:
        """Remove what is called so, None for all, and return how many that were."""
        ...


class Outbox(Protocol):
    """What is to be told to others of what happened, and how each stands: one delivery for each destination that was
    configured when it happened.

    Raises:
        RegistryUnavailable: as for `Registry`.
    """

    def claim(self, destination: str, owner: str, now: datetime) -> Delivery | None:
        """Make *owner* deliver what is due for longest to *destination*, and return it; None where nothing is due.

        Two who ask at once get two different ones.
        """
        ...

    def keep(self, delivery: Delivery, owner: str) -> bool:
        """Write how a delivery that *owner* runs stands now; False, and nothing changed, where it does not any more."""
        ...

    def retry(self, team: str, delivery_id: str, now: datetime) -> Delivery | None:
        """Have a delivery of the team tried anew, whether it was taken or given up; None where there is none, or it runs."""
        ...

    def delivery(self, team: str, delivery_id: str) -> Delivery | None:
        """Return one delivery of the team, or None."""
        ...

    def deliveries(self, query: DeliveryQuery) -> Sequence[Delivery]:
        """Return matching deliveries of a team, newest first."""
        ...


class Care(Protocol):
    """What keeps a registry in good order over years: how files are found later, judging anew, removing what is old.

    Raises:
        RegistryUnavailable: as for `Registry`.
    """

    def note_files(self, version: ModelVersion, seen: FilesSeen, mark: str | None) -> bool:
        """Note how the files of *version* were found, and the mark that later looks compare with.

        False, and nothing changed, where it was deleted, or is kept elsewhere by now.
        """
        ...

    def to_look_at(self, before: datetime, most: int) -> Sequence[ModelVersion]:
        """Return living versions of all teams whose files nobody looked at since *before*: at most *most*, those that nobody
        ever looked at first, then those looked at longest ago. Without their reports; no more is read than is returned.
        """
        ...

    def deleted_among(self, version_ids: Collection[str]) -> frozenset[str]:
        """Return those of *version_ids* that were registered and deleted since."""
        ...

    def judged_by(self) -> Mapping[str, int]:
        """Return how many living versions each version of the rules judged."""
        ...

    def judged_before(self, rules_version: str, after: str | None, most: int) -> Sequence[ModelVersion]:
        """Return living versions of all teams that these rules judged: at most *most*, oldest first, behind *after*, without
        their reports.
        """
        ...

    def judge(self, version: ModelVersion, judgement: Judgement, now: datetime) -> bool:
        """Replace what is said of the content of *version*; its identity, its listing and what people said stay. Whether it is
        in quarantine then is `policy.stands`'s to say.

        False, and nothing changed, where it was deleted, or other rules than those that *version* names judged it by now.
        """
        ...

    def removable(self, keep: Keep) -> Removed:
        """Return how much `remove` would remove, if it were called until nothing is left. It may take long: it counts."""
        ...

    def remove(self, keep: Keep, most: int) -> Removed:
        """Remove what is older than *keep* says, at most *most* of each kind, and return how much that was.

        What people uploaded stays, and what failed, which a person may have tried again; so does what a delivery tells of. An
        event whose ingestion went is known for ever: said again, it has the same id and the same end. Of deliveries those go
        that were taken. The counters stay as they are, and at no moment do they contradict what is there.
        """
        ...


class Verifications(Protocol):
    """What load checks of versions came to: the last one of each. They change nothing else of a version.

    Raises:
        RegistryUnavailable: as for `Registry`.
    """

    def keep(self, version_id: str, verified: Verified) -> bool:
        """Keep what a load check came to, in place of the one before, and end whatever claim there is.

        False, and nothing changed, where there is no such living version.
        """
        ...

    def of(self, version_id: str) -> Verified | None:
        """Return what the last load check of the version came to; None where none has ended."""
        ...

    def claim(self, owner: str, formats: Collection[str], now: datetime, seconds: float) -> ModelVersion | None:
        """Let *owner* check a living version of one of *formats* that was never checked, for *seconds*, and return it, the
        newest first; None where there is none among the last `WINDOW` that were registered.

        Two who ask at once get two different ones. What was begun `MAX_BEGUN` times without an end is left alone.
        """
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """What a destination is told. version is None where it was deleted by now; metrics are then None too.

    ingestion is the one that the delivery names, as it stood when it happened; None where it names none.
    """

    delivery: Delivery
    version: ModelVersion | None
    metrics: Metrics | None
    ingestion: Ingestion | None = None


class Destination(Protocol):
    """Somebody else's system that is told what happened here."""

    @property
    def wants(self) -> Collection[DeliveryKind]:
        """Return what it wants to hear of."""
        ...

    def take(self, notice: Notice) -> str:
        """Tell *notice*, and return where it is kept there now, as a person finds it. The same one again changes nothing.

        Raises:
            ServerUnavailable: it was not taken just now.
            NotTaken: it will never be taken as it is.
        """
        ...

    def check(self) -> str:
        """Return what can be said of it where it answers.

        Raises:
            ServerUnavailable, NotTaken: it does not.
        """
        ...


Alive = Callable[[], object]
"""Called when something that takes long gets on, and at no other time."""


def silent() -> None:
    """Be the `Alive` of something that nobody waits for."""


class Store(Protocol):
    """Where versions keep their own copies: one prefix for one version, immutable once it is there.

    Raises:
        StorageUnavailable: the store did not take or give the bytes; what was begun is not visible.
    """

    def writing(
        self, key: StoreKey, size_bytes: int = 0, alive: Alive = silent, earlier: Sequence[str] = ()
    ) -> AbstractContextManager[OpenSink]:
        """Open the prefix of a version for writing; its files are durable and visible all at once when the context ends.

        Where it can be told beforehand that *size_bytes* have no room, nothing is begun. *alive* is called whenever that end,
        which takes long where there are many files, gets on; what it raises is an error inside.

        An error inside leaves what was visible before: nothing, or the files of an earlier try of the same version, which are
        replaced at the end.

        What equal files of the prefixes *earlier* hold need not be sent again. They are what dead attempts left, and nothing
        else: what one of them may still have under way there is ended. What is not as it is written now is not used.
        """
        ...

    def takes_up(self) -> bool:
        """Tell whether `writing` can use what dead attempts left: it is then kept for as long as there may be another."""
        ...

    def url(self, key: StoreKey) -> str:
        """Return where the version's files are, or would be."""
        ...

    def opened(self, url: str) -> AbstractContextManager[FileTree]:
        """Open the files below *url* as a read-only tree, for as long as the context lasts."""
        ...

    def remove(self, url: str) -> None:
        """Remove a version's files; harmless where there are none."""
        ...

    def prefixes(self) -> Iterable[tuple[str, str]]:
        """Yield (version id, URL) of every prefix in the store, finished or not."""
        ...


class Sink(Protocol):
    """Takes the bytes of one file in order."""

    def write(self, data: bytes) -> object:
        """Append *data*."""
        ...


OpenSink = Callable[[FileEntry], AbstractContextManager[Sink]]
"""Opens the place where one file's bytes go; the file is whole when the context ends without an error, and durable when the
version is visible.

Raises:
    RejectedLocation: what lies below the store knows no such name.
"""

OpenTree = Callable[[Location], AbstractContextManager[FileTree]]
"""Opens a location for reading.

Raises:
    RejectedLocation: there is nothing at the location.
    TreeError: it may not be read, or the storage did not answer.
"""


@runtime_checkable
class GivesLinks(Protocol):
    """A tree whose files anybody can read for a while who is given a link, without us."""

    def link(self, path: str, seconds: int) -> str:
        """Return the link to a listed file that is valid for *seconds*."""
        ...


class Inspector(Protocol):
    """Looks at trees of strangers. Several threads may ask at once."""

    def inspect(self, tree: FileTree, declared_type: ModelType | None, entries: Sequence[FileEntry], team: str) -> Scan:
        """Return what lies in *tree*, whose listing is *entries*; nothing is read but through *tree*, in this process.

        *declared_type* is what the sender named, None where nothing was. What one team's files do is never felt by another's.

        Raises:
            TreeChanged: a listed file changed or vanished meanwhile.
            TreeUnavailable, Unreadable, TreeLimit: as the tree says.
            InspectorLost: what read the files died, hung or talked nonsense.
            Exception: whatever else *tree* raises, as it is; and what nobody thought of.
        """
        ...

    def close(self) -> None:
        """End whatever was started; harmless twice."""
        ...


Inspect = Callable[[FileTree, ModelType | None, Sequence[FileEntry], str], Scan]
"""`Inspector.inspect`, as the use case calls it."""


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""
        ...
