"""The use case: from a completion event to a registered version, or to an end that a person can read.

The steps stand in `_attempt`, top to bottom. What may go wrong is raised, decided on by `worker.verdict`, and carried out
in `_carry_out`. Bytes come first, then one transaction; a process that dies anywhere between leaves nothing that the next run
does not put right (`recover`).

Laws (each has a test of the same name):
    every accepted event ends in exactly one end state;
    the same event, the same listing and the same content each answer with the version that is there already;
    the source is never changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import PurePosixPath
from typing import Any

from detectors.checks import tensor_checks
from detectors.errors import TreeChanged, TreeError, Unreadable
from detectors.facts import Metadata, State
from detectors.json_text import parse_json
from detectors.report import scan_report, to_json
from detectors.scan import RULES_VERSION, Scan, principal, with_problems, worst_state
from detectors.tree import FileTree, Passed, RemarksOnListing, readable
from worker.arrival import arrival
from worker.backtrace import backtrace_of
from worker.drift import OpenVersion, mark_of, nowhere
from worker.errors import LeaseLost, NothingThere, NotSettled, RegistryUnavailable, StorageHangs, StorageUnavailable
from worker.gates import evaluate
from worker.heartbeat import BeatingTree, Heartbeat
from worker.lifecycle import LEASE_SECONDS, is_end, lost_attempts
from worker.manifest import Manifest, content_digest, oms_digest, read_once
from worker.policy import objection, remark_on
from worker.ports import Clock, Inspect, OpenTree, Registry, Store
from worker.records import (
    FOR_EVER,
    GIVEN_WHOLE,
    CompletionEvent,
    End,
    Gate,
    GateResult,
    Ingestion,
    IngestionState,
    Location,
    Look,
    ModelVersion,
    NewVersion,
    Objection,
    Pause,
    Policy,
    Rest,
    Retention,
    Scope,
    SoFar,
    StoreKey,
    StoreMode,
    Trigger,
)
from worker.settle import Wait, first_contradicted, have_rested, rest_of, rest_of_broken, settle
from worker.signatures import PublicKey, with_signatures
from worker.verdict import LOOK_AGAIN_SECONDS, UNFORESEEN, Again, Decision, Patience, Reject, decide
from worker.wholeness import of_primary

PAUSES_SECONDS = (0.5, 2.0, 8.0)
"""Pauses between the tries to write down how something ended."""

OUTAGE_OF_A_PERSON_SECONDS = 15.0
"""How long a person who waits at a terminal is kept waiting for what does not answer."""

LONGEST_LOOK_SECONDS = 60.0
"""The longest pause between two looks at what is not whole yet."""

MAX_NAME_CHARACTERS = 100
"""Length of a name that is made from a path; a longer one is cut."""

Step = Callable[[str], None]
"""Told the name of each step as it begins; a progress display, or a test that kills the process there."""


def untold(ingestion: Ingestion) -> AbstractContextManager[Step]:
    """Return a block of which nobody hears."""
    return nullcontext(lambda name: None)


@dataclass(frozen=True, slots=True)
class Borders:
    """Everything outside that the use case touches, and the plain values that steer it.

    file_time is the clock of this machine, None where it is the registry's. Which of them stamped the files nobody knows, so
    a file is as young as either says. is_dead tells whether the owner of an ingestion is known to have ended; its lease need
    not be waited for. open_version opens the files of a version wherever they are kept. retention is how long is kept what
    led to nothing, policy what becomes of what is not clean, drift_days how many days may pass between two looks at the files
    of a version, 0 for no looks. trusted_keys are those whose signatures are checked, by their names. verify_waiting makes the
    load checks that wait, and judge_some judges a few versions anew, None where nobody wants any. expect is told how many bytes
    will be read for good, progress how many were. gates tells what an event is judged by. attempt is opened by who makes an
    attempt, for as long as it goes on, and gives what hears of its steps besides.
    """

    registry: Registry
    store: Store
    open_tree: OpenTree
    inspect: Inspect
    resolve: Callable[[CompletionEvent], Location]
    clock: Clock
    owner: str
    is_dead: Callable[[str], bool]
    quiet_seconds: Callable[[Location], float]
    patience_seconds: float
    lease_seconds: float = LEASE_SECONDS
    file_time: Callable[[], float] | None = None
    open_version: OpenVersion = nowhere
    retention: Retention = FOR_EVER
    policy: Policy = Policy.RECORD
    drift_days: float = 0
    trusted_keys: Mapping[str, PublicKey] = field(default_factory=dict)
    verify_waiting: Callable[[], object] | None = None
    judge_some: Callable[[], object] | None = None
    step: Step = lambda name: None
    expect: Callable[[int], None] = lambda size: None
    progress: Callable[[int], None] = lambda count: None
    gates: Callable[[CompletionEvent], tuple[Gate, ...]] = attrgetter("gates")
    attempt: Callable[[Ingestion], AbstractContextManager[Step]] = untold


@dataclass(frozen=True, slots=True)
class Ingested:
    """How an ingestion stands after the work. version and scan are None where there is none, or nothing was looked at."""

    ingestion: Ingestion
    version: ModelVersion | None
    scan: Scan | None
    known: bool


def ingest(event: CompletionEvent, borders: Borders) -> Ingested:
    """Accept *event*, work on it here and now until it has ended, and return how."""
    recover(borders)
    ingestion, known = borders.registry.submit(event, borders.clock.now(), borders.owner)
    borders.step("submitted")
    scanned = until_the_end(ingestion, borders)
    return _outcome(ingestion, scanned, known, borders)


def until_the_end(ingestion: Ingestion, borders: Borders) -> Scan | None:
    """Work on *ingestion*, wait as long as it must, and work on it again; nothing where it is another's or has ended.

    Wherever somebody stops that, the ingestion ends, unless another works on it by then.
    """
    scanned = None
    try:
        mine = ingestion if ingestion.owner == borders.owner else _claimed_again(ingestion, borders)
        while mine is not None:
            with borders.attempt(mine) as told:
                scanned = work(mine, replace(borders, step=_both(told, borders.step)))
            mine = _claimed_again(mine, borders)
    except (KeyboardInterrupt, SystemExit):
        _let_go(ingestion, borders)
        raise
    return scanned


def _let_go(ingestion: Ingestion, borders: Borders) -> None:
    """End *ingestion*, which this process is stopped over, or leave it to others; nothing where `work` has done so."""
    standing = borders.registry.ingestion(ingestion.event.team, ingestion.id)
    if standing is None or is_end(standing.state) or standing.reason == INTERRUPTED:
        return
    mine = borders.registry.claim(ingestion.id, borders.owner, borders.clock.now())
    if mine is not None:
        _carry_out(mine, _interrupted(mine), mine.so_far, mine.rest, borders)


def _both(one: Step, other: Step) -> Step:
    def step(name: str) -> None:
        one(name)
        other(name)

    return step


def _claimed_again(ingestion: Ingestion, borders: Borders) -> Ingestion | None:
    """Return *ingestion*, claimed after the pause that it is to make; None where it has ended or another works on it."""
    standing = borders.registry.ingestion(ingestion.event.team, ingestion.id)
    if standing is None or is_end(standing.state):
        return None
    _pause(standing, borders)
    return borders.registry.claim(ingestion.id, borders.owner, borders.clock.now())


def _pause(ingestion: Ingestion, borders: Borders) -> None:
    """Sleep until *ingestion* may be claimed again, and say so."""
    now = borders.clock.now()
    if ingestion.run_after is not None and ingestion.run_after > now:
        seconds = (ingestion.run_after - now).total_seconds()
        borders.step(f"again in {seconds:.1f} s: {ingestion.message}")
        borders.clock.sleep(seconds)


def recover(borders: Borders, forget: Callable[[Ingestion], object] | None = None) -> Sequence[Ingestion]:
    """Free what its owner is lost to, and return it as it stands now: waiting for the next attempt, or failed.

    *forget* hears of each one at once, and sees to what was written for a version that never was (`forget_lost`). None does so
    here and now, and waits for a store that hangs.

    Raises:
        RegistryUnavailable: not all could be freed; what was is forgotten.
    """
    forget = forget or partial(forget_lost, borders=borders)
    return borders.registry.free(borders.clock.now(), lambda owner: borders.is_dead(owner), forget)


def work(ingestion: Ingestion, borders: Borders) -> Scan | None:
    """Make one attempt at the claimed *ingestion*: it then has ended, or waits. Return what was seen, None where nothing was.

    Raises:
        Exception: what nobody thought of; the ingestion has ended as failed.
    """
    sight = Sight()
    try:
        return _attempt(ingestion, sight, borders)
    except (KeyboardInterrupt, SystemExit):
        decision = _interrupted(ingestion)
        _forget(ingestion, decision, borders)
        _carry_out(ingestion, decision, ingestion.so_far, ingestion.rest, borders)
        raise
    except LeaseLost:
        _insist_on_forgetting(ingestion, borders)
        return None
    except Exception as exc:
        so_far = _counted(ingestion.so_far, exc)
        decision = decide(exc, so_far, _patience(ingestion, borders))
        is_forgotten = _forget(ingestion, decision, borders)
        rest = exc.since if isinstance(exc, NotSettled) else None
        is_unforeseen = isinstance(decision, Reject) and decision.reason == UNFORESEEN
        backtrace = backtrace_of(exc) if is_unforeseen else None
        _carry_out(ingestion, decision, so_far, rest, borders, sight.format, backtrace)
        if not is_forgotten:  # the database was away, and has just answered
            _forget(ingestion, decision, borders)
        if is_unforeseen:
            raise
        return None


@dataclass(slots=True)
class Sight:
    """What an attempt has seen by now, whatever becomes of it: the format of the primary model, None where it saw none."""

    format: str | None = None

    def keep(self, found: Scan) -> None:
        """Note what was found."""
        self.format = next((model.detection.format for model in found.models if model.primary), None)


def give_up(ingestion: Ingestion, silent_seconds: float, step: str, borders: Borders) -> None:
    """Let go of *ingestion*, whose attempt hangs in *step*: it waits for the next one, or has failed.

    Neither tree nor store is touched, since either may be what hangs. If the attempt comes back all the same it finds that it
    owns nothing any more, and removes what it wrote; if it never does, the next one does so, or `tidying`.

    Raises:
        RegistryUnavailable: the database did not answer; the lease runs out by itself.
    """
    error = StorageHangs(silent_seconds, f"in the step {step!r} of {ingestion.event.model_path or 'the default path'}")
    so_far = _counted(ingestion.so_far, error)
    _carry_out(ingestion, decide(error, so_far, _patience(ingestion, borders)), so_far, ingestion.rest, borders)


def _carry_out(
    ingestion: Ingestion,
    decision: Decision,
    so_far: SoFar,
    rest: Rest | None,
    borders: Borders,
    format: str | None = None,
    backtrace: str | None = None,
) -> None:
    """Let the ingestion end or wait, as was decided; *format* was found by then, *backtrace* tells where an error came from."""
    reason, message = decision.reason, decision.message
    if isinstance(decision, Reject):
        end = End(IngestionState.FAILED, reason, message, format=format, backtrace=backtrace)
        _write_end(ingestion, borders, end)
    else:
        location = _where(ingestion.event, borders)
        pause = Pause(decision.seconds, decision.is_attempt, reason, message, so_far, rest, location, format)
        _insist(lambda: borders.registry.wait(ingestion.id, borders.owner, pause, borders.clock.now()), borders)


def _interrupted(ingestion: Ingestion) -> Decision:
    """Return what it means that this process is stopped: the end of what a person watches, another worker's turn otherwise."""
    if ingestion.event.trigger is Trigger.CLI:
        return Reject(INTERRUPTED, "a person or the system stopped it")
    return Again(0.0, False, INTERRUPTED, "the worker was stopped")


INTERRUPTED = "interrupted"
"""The reason of what a stopped process let go of."""


def _patience(ingestion: Ingestion, borders: Borders) -> Patience:
    """Return how long *ingestion* is waited with: a person at the door does not wait for the end of an outage."""
    is_watched = ingestion.event.trigger is Trigger.CLI
    outage_seconds = min(OUTAGE_OF_A_PERSON_SECONDS, borders.patience_seconds) if is_watched else borders.patience_seconds
    return Patience(borders.patience_seconds, outage_seconds)


def _counted(so_far: SoFar, error: Exception) -> SoFar:
    if isinstance(error, NotSettled):
        return replace(so_far, waited_seconds=so_far.waited_seconds + error.seconds)
    if isinstance(error, TreeChanged):
        return replace(so_far, changes=so_far.changes + 1)
    return replace(so_far, failed=so_far.failed + 1)


def _attempt(ingestion: Ingestion, sight: Sight, borders: Borders) -> Scan | None:
    """Take the steps of the way through, once; *sight* keeps what was seen, for whoever must say why it came to nothing."""
    event, registry = ingestion.event, borders.registry
    borders.step("resolve")
    location = borders.resolve(event)
    quiet_seconds = borders.quiet_seconds(location)
    alive = Heartbeat(partial(registry.beat, ingestion.id, borders.owner), borders.clock.now, borders.lease_seconds)
    with _opened(location, ingestion, quiet_seconds, borders) as opened:
        tree = BeatingTree(opened, alive)
        borders.step("settle")
        look = _settled(tree, ingestion, quiet_seconds, borders)
        key = listing_key(location, look, event)
        same = known_answer(event, location, key, borders)
        if same is not None:
            _judge_known(ingestion, same, borders)
            _finish(ingestion, borders, _same_listing(same, event))
            return None
        borders.step("detect")
        found = borders.inspect(tree, event.declared_type, look.entries, event.team)
        sight.keep(found)
        waited_seconds = ingestion.so_far.waited_seconds
        check_whole(event, found, look, quiet_seconds, borders.patience_seconds, waited_seconds)
        if not found.models:
            end = nothing_in(location, found, look)
            _finish(ingestion, borders, end)
            if location.is_in_store and end.state is IngestionState.NOTHING_FOUND:
                _forget_upload(location, borders)
            return found
        borders.step("store")
        manifest, found, url = _keep(ingestion, location, tree, look, found, alive, borders)
        _check_named(ingestion, manifest, look, quiet_seconds)
        found = with_signatures(found, tree, manifest, borders.trusted_keys)
    borders.step("register")
    gates = evaluate(borders.gates(event), found.metrics.summary, found.metadata)
    against = objection(borders.policy, found)
    version = _version(ingestion, location, key, look, manifest, found, url, gates, against)
    _register(ingestion, replace(version, arrival=_arrival(version, registry)), alive, borders)
    return found


@contextmanager
def _opened(location: Location, ingestion: Ingestion, quiet_seconds: float, borders: Borders) -> Iterator[FileTree]:
    """Open *location*. What is not there may not have reached this machine yet, and is looked for a second time.

    Raises:
        NotSettled: there is nothing, at the first look.
    """
    try:
        with borders.open_tree(location) as tree:
            yield tree
    except NothingThere as exc:
        if ingestion.event.trigger is Trigger.CLI or ingestion.rest is not None:
            raise
        nothing = rest_of(Look(borders.clock.now().timestamp(), ()))
        raise NotSettled(quiet_seconds, str(exc), nothing, "nothing-there") from exc


def _settled(tree: FileTree, ingestion: Ingestion, quiet_seconds: float, borders: Borders) -> Look:
    """Return the listing of *tree*. After a hint it is looked at a second time whatever is there: `worker.s3_events` says why.

    Raises:
        NotSettled: it has not rested for the quiet period yet.
        Unreadable: a folder may not be listed, so nobody knows what would be kept.
    """
    look = look_now(tree, borders)
    if ingestion.event.trigger is Trigger.NOTIFICATION and ingestion.rest is None:
        raise NotSettled(quiet_seconds, "an object came, and others of the run may follow", rest_of(look))
    decision = settle(ingestion.rest, look, quiet_seconds, ingestion.event.files)
    if isinstance(decision, Wait):
        raise NotSettled(decision.seconds, decision.reason, decision.since)
    check_listed(look)
    return look


def look_now(tree: FileTree, borders: Borders) -> Look:
    """List *tree*, with the time of the registry and that of the files."""
    at = borders.clock.now().timestamp()
    return _look(tree, at, at if borders.file_time is None else min(at, borders.file_time()))


def check_listed(look: Look) -> None:
    """Raise Unreadable where a folder may not be listed, so that nobody knows what would be kept."""
    closed = next((one for one in look.passed_over if one.why is Passed.UNREADABLE), None)
    if closed is not None:
        raise Unreadable(closed.path, closed.reason)


def _look(tree: FileTree, at: float, files_at: float) -> Look:
    entries = tuple(tree.files())
    return Look(at, entries, tree.passed_over if isinstance(tree, RemarksOnListing) else (), files_at)


def check_whole(
    event: CompletionEvent, found: Scan, look: Look, quiet_seconds: float, patience_seconds: float, waited_seconds: float = 0.0
) -> None:
    """Raise NotSettled where what a model lacks may still come. Who names what is there waits for nothing more.

    Half a file looks broken, or like no model, or like one of a format that does not say where it ends: that is believed when
    the files have rested for longer. What a model lacks that the run is not about is waited for until all files have rested for
    half of the patience: who wrote a checkpoint and died does not come back to it. What was waited for long is looked at less
    often: each pause is a twentieth of all before it, and a minute at most.
    """
    if event.trigger in GIVEN_WHOLE:
        return
    pause_seconds = max(quiet_seconds, LOOK_AGAIN_SECONDS, min(waited_seconds / 20, LONGEST_LOOK_SECONDS))
    awaited = principal(found) if have_rested(look, patience_seconds / 2) else found.models
    lacking = (model.extraction.completeness for model in awaited)
    incomplete = next((one for one in lacking if one.state is State.INCOMPLETE and one.has_end), None)
    if incomplete is not None:
        problem = incomplete.problems[0]
        raise NotSettled(pause_seconds, f"incomplete: {problem.path}: {problem.problem}", rest_of(look), "incomplete")
    is_whole = found.models and worst_state(found) is State.COMPLETE
    if not is_whole and rest_of_broken(look, quiet_seconds, patience_seconds / 2, event.files) > 0:
        some = any(model.extraction.completeness.state is State.COMPLETE for model in found.models)
        told = "not every model there is whole, and more" if some else "no whole model is there, and one"
        raise NotSettled(pause_seconds, f"{told} may still be written", rest_of(look), "broken")


def _check_named(ingestion: Ingestion, manifest: Manifest, look: Look, quiet_seconds: float) -> None:
    """Raise NotSettled where a file has not the content yet that the event gave a digest of.

    Each look reads everything, so each pause is as long as all before it.
    """
    wrong = first_contradicted(manifest.files, ingestion.event.files)
    if wrong is not None:
        pause_seconds = max(quiet_seconds, LOOK_AGAIN_SECONDS, ingestion.so_far.waited_seconds)
        raise NotSettled(pause_seconds, wrong, rest_of(look))


def listing_key(location: Location, look: Look, event: CompletionEvent) -> str:
    """Return a digest of all that decides what a look would give: place, files and their versions, links, type, rules."""
    parts = (RULES_VERSION, location.url, location.mode.value, event.declared_type or "", event.name or "")
    hasher = hashlib.sha256()
    for part in (*parts, rest_of(look).digest):
        hasher.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return hasher.hexdigest()


def _keep(
    ingestion: Ingestion, location: Location, tree: FileTree, look: Look, found: Scan, alive: Heartbeat, borders: Borders
) -> tuple[Manifest, Scan, str]:
    """Read every byte once: hash it, check it, and copy it unless it is referenced or in its place. Then look again."""
    entries = look.entries
    checks, size_bytes = tensor_checks(found), sum(entry.size for entry in entries)
    borders.expect(size_bytes)
    if location.mode is StoreMode.REFERENCE or location.is_in_store:
        manifest, problems = read_once(tree, entries, None, checks, borders.progress)
        _look_again(tree, look)
        return manifest, with_problems(found, problems), location.url
    key, earlier = _store_key(ingestion), []
    if borders.store.takes_up():
        earlier = [borders.store.url(_store_key(attempt)) for attempt in _lost_before(ingestion, borders)]
    with borders.store.writing(key, size_bytes, alive, earlier) as open_sink:
        manifest, problems = read_once(tree, entries, open_sink, checks, borders.progress)
        _look_again(tree, look)
        borders.step("copied")
    return manifest, with_problems(found, problems), borders.store.url(key)


def _look_again(tree: FileTree, look: Look) -> None:
    """Raise TreeChanged where the listing is not what it was: what was kept would be a mixture."""
    if _look(tree, look.at, look.file_time) != look:
        raise TreeChanged("", "files were added, removed or changed while they were read")


def _register(ingestion: Ingestion, version: NewVersion, alive: Heartbeat, borders: Borders) -> None:
    """Register *version*. Where the scope holds equal content already, that is the answer, and the new copy goes.

    The ingestion ends after that: a process that dies in between leaves it running, and `recover` removes the copy. What
    earlier attempts left is not needed from here on, and goes before that end, so that nobody dies in between.

    Raises:
        LeaseLost: the ingestion is another's by now; the copy is for nobody.
    """
    _forget_earlier(ingestion, borders)
    registration = borders.registry.register(ingestion.id, borders.owner, version, borders.clock.now())
    borders.step("registered")
    if registration is None:
        raise LeaseLost("the ingestion has another owner now, or has ended")
    if registration.is_new:
        return
    same = registration.version
    if version.store is StoreMode.COPY:
        if not _is_kept(same, borders) or (ingestion.event.is_forced and not _is_sound(same, alive, borders)):
            _keep_anew(ingestion, same, version, alive, borders)
        borders.store.remove(version.url)
    elif same.store is StoreMode.REFERENCE and same.location != version.location:
        _kept_at(ingestion, same, StoreMode.REFERENCE, version.url, version.location, borders)
    _finish(ingestion, borders, _same_content(same, ingestion.event))


def _scope(event: CompletionEvent, location: Location) -> Scope:
    """Return in which scope the files of *event* at *location* are compared with others."""
    return Scope(event.team, event.project, event.experiment, None if event.experiment else location.url)


def known_answer(event: CompletionEvent, location: Location, key: str, borders: Borders) -> ModelVersion | None:
    """Return the version that answers *event* without another look: its listing had the key *key*, and it is still kept."""
    same = None if event.is_forced else borders.registry.same_listing(_scope(event, location), key)
    return same if same is not None and _still_answers(same, event, location, borders) else None


def _still_answers(same: ModelVersion, event: CompletionEvent, location: Location, borders: Borders) -> bool:
    """Tell whether *same*, made of an equal listing, is what *event* asks for: still kept, and of the content that it named."""
    if location.mode is not StoreMode.REFERENCE and not _is_kept(same, borders):
        return False
    has_digests = any(file.sha256 for file in event.files)
    return not (has_digests and first_contradicted(borders.registry.files(same.id), event.files))


def _is_kept(version: ModelVersion, borders: Borders) -> bool:
    """Tell whether the store holds a version's own copy, whole by the names and sizes of its files."""
    if version.store is StoreMode.REFERENCE:
        return False
    expected = {(file.path, file.size) for file in borders.registry.files(version.id)}
    try:
        with borders.store.opened(version.url) as tree:
            return {(entry.path, entry.size) for entry in tree.files()} == expected
    except (StorageUnavailable, TreeError):
        return False


def _is_sound(version: ModelVersion, alive: Heartbeat, borders: Borders) -> bool:
    """Tell whether the store gives back a version's own copy byte by byte. Reads all of it."""
    try:
        with borders.store.opened(version.url) as tree:
            kept, _ = read_once(BeatingTree(tree, alive), tuple(tree.files()), None, lambda entry: None, lambda count: None)
    except (StorageUnavailable, TreeError):
        return False
    return content_digest(kept) == version.digest


def _keep_anew(ingestion: Ingestion, same: ModelVersion, new: NewVersion, alive: Heartbeat, borders: Borders) -> None:
    """Give the version *same* a copy of the files of *new*, whose content is equal: its own were damaged, or elsewhere."""
    key = StoreKey(same.team, same.project, same.experiment, same.id)
    with borders.store.opened(new.url) as opened, borders.store.writing(key, new.size_bytes, alive) as open_sink:
        tree = BeatingTree(opened, alive)
        manifest, _ = read_once(tree, tuple(tree.files()), open_sink, lambda entry: None, borders.progress)
        if content_digest(manifest) != same.digest:
            raise StorageUnavailable(f"{new.url}: what was just written there is read back as something else")
    borders.step("mended")
    _kept_at(ingestion, same, StoreMode.COPY, borders.store.url(key), new.location, borders)


def _kept_at(ingestion: Ingestion, same: ModelVersion, store: StoreMode, url: str, location: str, borders: Borders) -> None:
    """Note where the version *same* is kept now.

    Raises:
        LeaseLost: the ingestion is another's by now, and so is the word about the version.
    """
    if not borders.registry.beat(ingestion.id, borders.owner, borders.clock.now()):
        raise LeaseLost("the ingestion has another owner now, or has ended")
    borders.registry.kept_at(same.id, store, url, location)


def forget_leftover(ingestion: Ingestion, borders: Borders) -> bool:
    """Remove what was written for a version that was not registered; False where nobody can tell now, or it stays.

    What is not removed, `tidying` or `doctor` find later. The files of an upload are no attempt's: the next one needs them.
    """
    if ingestion.event.trigger is Trigger.UPLOAD:
        return True
    try:
        if borders.registry.version(ingestion.event.team, ingestion.version_id) is None:
            borders.store.remove(borders.store.url(_store_key(ingestion)))
    except (StorageUnavailable, RegistryUnavailable):
        return False
    return True


def forget_lost(ingestion: Ingestion, borders: Borders) -> bool:
    """See to what the lost attempt at *ingestion* wrote, which was just freed: the next one takes it up, or it is removed.

    Where there is no next one, so is what earlier ones left. False where some of it stays.
    """
    if not is_end(ingestion.state) and borders.store.takes_up():
        return True
    return _forget_all(ingestion, borders)


def _forget(ingestion: Ingestion, decision: Decision, borders: Borders) -> bool:
    """Remove what this attempt wrote, and with the last one what earlier ones left; False where some of it stays."""
    return _forget_all(ingestion, borders) if isinstance(decision, Reject) else forget_leftover(ingestion, borders)


def _forget_all(ingestion: Ingestion, borders: Borders) -> bool:
    is_forgotten = forget_leftover(ingestion, borders)
    return _forget_earlier(ingestion, borders) and is_forgotten


def _forget_earlier(ingestion: Ingestion, borders: Borders) -> bool:
    """Remove what attempts before this one left; False where some of it stays, or nobody can tell now."""
    try:
        are_forgotten = [forget_leftover(attempt, borders) for attempt in _lost_before(ingestion, borders)]
    except RegistryUnavailable:
        return False
    return all(are_forgotten)


def _lost_before(ingestion: Ingestion, borders: Borders) -> Sequence[Ingestion]:
    """Return *ingestion* as those had it who were lost before this attempt. Where this is the first, nobody is asked."""
    if ingestion.attempts <= 1 and not ingestion.so_far.failed:
        return ()
    lost = lost_attempts(borders.registry.history(ingestion.id))
    return [replace(ingestion, version_id=one) for one in lost if one != ingestion.version_id]


def _insist_on_forgetting(ingestion: Ingestion, borders: Borders) -> None:
    """Remove what was written, though the database be away for a moment: who owns the ingestion now does not know of it."""
    for pause in PAUSES_SECONDS:
        if forget_leftover(ingestion, borders):
            return
        borders.clock.sleep(pause)
    forget_leftover(ingestion, borders)


def _judge_known(ingestion: Ingestion, same: ModelVersion, borders: Borders) -> None:
    """Judge what the version *same* reported by the gates of *ingestion*, where there are any, and keep that with it.

    Raises:
        LeaseLost: the ingestion is another's by now, and so is the word about the version.
    """
    gates = borders.gates(ingestion.event)
    if not gates:
        return
    summary = borders.registry.summaries([same.id], is_brief=True)[same.id].summary
    results = evaluate(gates, summary, _metadata_of(same, borders.registry))
    now = borders.clock.now()
    if not borders.registry.beat(ingestion.id, borders.owner, now):
        raise LeaseLost("the ingestion has another owner now, or has ended")
    borders.registry.note_gates(same, results, ingestion.id, now)


def _metadata_of(version: ModelVersion, registry: Registry) -> Metadata:
    """Return the custom metadata of *version* as they were found, with the word on whether they count."""
    said, raw = json.loads(version.report).get("metadata", {}), registry.metadata(version.id)
    if raw is None or not said.get("used"):
        return Metadata(why=said.get("why", Metadata().why))
    return Metadata(parse_json(raw)[0], said.get("source"), raw, used=True)


def _arrival(version: NewVersion, registry: Registry) -> Mapping[str, Any] | None:
    """Return what differs in *version* from the one before it of its name, None for a first one."""
    before = registry.predecessor(version)
    return None if before is None else arrival(before, registry.files(before.id), version)


def _version(
    ingestion: Ingestion,
    location: Location,
    key: str,
    look: Look,
    manifest: Manifest,
    found: Scan,
    url: str,
    gates: tuple[GateResult, ...],
    against: Objection | None,
) -> NewVersion:
    event, primary = ingestion.event, next(model for model in found.models if model.primary)
    report = scan_report(found, location.path)
    return NewVersion(
        id=ingestion.version_id,
        scope=_scope(event, location),
        model_name=event.name or event.experiment or _name_of_place(location),
        is_generated_name=event.name is None,
        model_type=primary.detection.model_type,
        format=primary.detection.format,
        location=location.url,
        listing_key=key,
        rules_version=RULES_VERSION,
        digest=content_digest(manifest),
        oms_digest=oms_digest(manifest),
        store=location.mode,
        url=url,
        size_bytes=sum(file.size for file in manifest.files),
        completeness=worst_state(found).value,
        verdict=found.verdict.value,
        report=to_json(report, indent=None),
        summary=found.metrics.summary,
        detail=found.metrics.detail,
        metadata_raw=found.metadata.raw,
        files=manifest.files,
        metrics=found.metrics.values,
        findings=found.findings,
        mark=mark_of(look.entries) if location.mode is StoreMode.REFERENCE else None,
        gates=gates,
        objection=against,
        wholeness=of_primary(report),
    )


def _name_of_place(location: Location) -> str:
    """Return a name for a model that nobody named: the last part of its path, as text that every database takes."""
    name = readable(PurePosixPath(location.path).name)
    printable = "".join(letter if letter.isprintable() else " " for letter in name)
    return printable.strip()[:MAX_NAME_CHARACTERS] or "model"


def _finish(ingestion: Ingestion, borders: Borders, end: End) -> None:
    """Let the ingestion end. What attempts left that were lost goes before: nobody who dies in between leaves it."""
    _forget_earlier(ingestion, borders)
    _write_end(ingestion, borders, end)


def _write_end(ingestion: Ingestion, borders: Borders, end: End) -> None:
    located = replace(end, location=_where(ingestion.event, borders))
    _insist(lambda: borders.registry.finish(ingestion.id, borders.owner, located, borders.clock.now()), borders)


def _where(event: CompletionEvent, borders: Borders) -> str | None:
    """Return where the model path leads, None where it leads nowhere. Reads nothing."""
    try:
        return borders.resolve(event).url
    except Exception:  # noqa: BLE001 - the attempt met it too, and told of it; its end must be written all the same
        return None


def _insist(write: Callable[[], object], borders: Borders) -> None:
    """Call *write*, which says how something ended, and call it again where the registry does not answer for a moment."""
    for pause in PAUSES_SECONDS:
        try:
            write()
        except RegistryUnavailable:
            borders.clock.sleep(pause)
        else:
            return
    write()


def _same_listing(same: ModelVersion, event: CompletionEvent) -> End:
    message = f"the same files as {_called(same)}; none was read{_name_not_given(same, event)}{remark_on(same)}"
    return End(IngestionState.UNCHANGED, "same-listing", message, same.id, format=same.format)


def _same_content(same: ModelVersion, event: CompletionEvent) -> End:
    message = f"the same content as {_called(same)}{_name_not_given(same, event)}{remark_on(same)}"
    return End(IngestionState.UNCHANGED, "same-content", message, same.id, format=same.format)


def _called(version: ModelVersion) -> str:
    return f"{version.id}, {version.model_name} version {version.number}"


def _name_not_given(same: ModelVersion, event: CompletionEvent) -> str:
    return f"; it keeps its name, {event.name} was not given to it" if event.name not in (None, same.model_name) else ""


def nothing_in(location: Location, found: Scan, look: Look) -> End:
    """Return the end of what holds no model; a failure where a part could not be looked at, and so may hold one."""
    counts = {0: "no files lie", 1: "no model in the one file"}
    count = counts.get(len(look.entries), f"no model among {len(look.entries)} files")
    is_file = [entry.path for entry in look.entries] == [PurePosixPath(location.path).name]
    message = f"no model in {location.path}" if is_file else f"{count} below {location.path}"
    unread = found.coverage.inconclusive
    if unread:
        first = f"{readable(unread[0].path)}: {unread[0].reason}"
        return End(IngestionState.FAILED, "unreadable", f"{message}, and {len(unread)} could not be looked at: {first}")
    return End(IngestionState.NOTHING_FOUND, "nothing-found", message)


def _forget_upload(location: Location, borders: Borders) -> None:
    """Remove an upload that held no model: nobody can have it tried again. Where that fails now, `tidying` does it later."""
    with suppress(StorageUnavailable):
        borders.store.remove(location.url)


def _store_key(ingestion: Ingestion) -> StoreKey:
    event = ingestion.event
    return StoreKey(event.team, event.project, event.experiment, ingestion.version_id)


def _outcome(ingestion: Ingestion, found: Scan | None, known: bool, borders: Borders) -> Ingested:
    """Return how the ingestion stands in the registry now."""
    team = ingestion.event.team
    now = borders.registry.ingestion(team, ingestion.id) or ingestion
    version = borders.registry.version(team, now.answered_version) if now.answered_version else None
    return Ingested(now, version, found, known)
