"""Judges anew what older rules of the scanner judged: the same content, looked at with the eyes of today.

A version is its content; what is said of it may change, as where the same content is ingested again (docs/decisions/0020).
So each is opened where it is kept, inspected as at its ingestion, and read whole once, as then: what is judged is proven to be
what was registered, and the checksums that a model carries are compared again. Nothing is copied; identity, number, name and
all that people said stay. Each is written by itself: who is stopped goes on where it was, and new work comes first.

Laws (each has a test of the same name):
    only what is byte for byte what was registered is judged anew;
    in its own time everything old is judged, and nothing keeps the rest from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import structlog

from detectors.checks import tensor_checks
from detectors.errors import TreeError
from detectors.facts import SEVERITIES, Finding, Note
from detectors.report import scan_report, to_json
from detectors.scan import RULES_VERSION, Scan, judge, with_problems, worst_state
from detectors.tree import FileTree
from worker.drift import WRONG, Seen, look, mark_of
from worker.errors import InspectorLost, RegistryUnavailable, RejectedLocation, StorageUnavailable
from worker.ingest import Borders
from worker.manifest import content_digest, read_once
from worker.operations import note, outdated
from worker.policy import objection
from worker.records import DRIFTED, Condition, Judgement, ModelVersion, Objection, StoreMode
from worker.signatures import with_signatures
from worker.wholeness import of_primary

PAGE = 50
"""Versions that are asked for at a time."""

MOST_A_TURN = 5
"""Versions that a turn judges anew: at a turn a minute, some 7,000 a day and process."""

PAUSE = timedelta(days=1)
"""How long after the end of a round the next one begins; a process that starts, as after an upgrade, begins one at once."""

log = structlog.get_logger("modelport.rejudging")

OF_LISTING = frozenset({"link-outside", "odd-name", "hard-link-outside"})
"""Rules about what lay beside the files when they were listed, and is in no copy of them."""

"""Worst first."""

LEFT_OUT = "left out: "
"""How the notes about such things begin (`detectors.scan`)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a version: *is_judged* tells whether it was judged anew, *says* how, or why not."""

    version_id: str
    is_judged: bool
    says: str

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"id": self.version_id, "judged": self.is_judged, "says": self.says}


def judge_outdated(
    borders: Borders, most: int | None = None, give_way: Callable[[], object] = lambda: None
) -> Iterator[Judged]:
    """Judge living versions of all teams that older rules judged, at most *most*, None for all; yield what became of each.

    *give_way* is called before each, and comes back when new work need not come first.

    Raises:
        RegistryUnavailable: the database did not answer; those that were yielded are judged.
    """
    left = most
    for rules in outdated(borders.registry.care.judged_by()):
        after: str | None = None
        while left is None or left > 0:
            page = borders.registry.care.judged_before(rules, after, PAGE if left is None else min(PAGE, left))
            if not page:
                break
            for version in page:
                give_way()
                yield _judged(version, borders)
            after = page[-1].id
            left = None if left is None else left - len(page)


def _judged(version: ModelVersion, borders: Borders) -> Judged:
    """As `judge_anew`; what nobody thought of is told of the version that met it, and keeps no other from being judged."""
    try:
        return judge_anew(version, borders)
    except RegistryUnavailable:
        raise
    except Exception as exc:
        log.exception("unforeseen", version=version.id)
        return Judged(version.id, False, f"unforeseen: {type(exc).__name__}: {exc}")


class InItsOwnTime:
    """Goes through what older rules judged, a few versions at each turn, while no ingestion waits to be worked on.

    What could not be judged anew is left behind, and tried again with everything else that is old by then, `PAUSE` after the
    end of a round. Each process keeps its own place; two of them judge a version twice at worst.
    """

    def __init__(self) -> None:
        self._round: Iterator[Judged] | None = None
        self._over: datetime | None = None

    def turn(self, borders: Borders) -> Sequence[Judged]:
        """Judge the next few, and return what became of each.

        Raises:
            RegistryUnavailable: the database did not answer; the next turn begins a new round.
        """
        now = borders.clock.now()
        is_pausing = self._round is None and self._over is not None and now - self._over < PAUSE
        if is_pausing or borders.registry.is_due(now):
            return ()
        self._round, going = None, self._round or judge_outdated(borders)
        judged = tuple(islice(going, MOST_A_TURN))
        if len(judged) == MOST_A_TURN:
            self._round = going
        else:
            self._over = now
        for one in judged:
            log.info("judged anew" if one.is_judged else "not judged anew", version=one.version_id, why=one.says)
        return judged


def judge_anew(brief: ModelVersion, borders: Borders) -> Judged:
    """Judge one version anew by the rules of this code, and note how its files were found."""
    version = borders.registry.version(brief.team, brief.id)
    if version is None:
        return Judged(brief.id, False, "it was deleted meanwhile")
    borders.step(f"judge {version.id}")
    files = borders.registry.files(version.id)
    listed = look(version, files, borders.open_version)
    if listed.condition in (Condition.MISSING, Condition.CHANGED, Condition.UNREACHABLE):
        note(borders, version, listed)
        return Judged(version.id, False, listed.says)
    try:
        with borders.open_version(version) as tree:
            found, seen = _looked_into(version, tree, {file.path for file in files}, borders)
    except (TreeError, StorageUnavailable, RejectedLocation, InspectorLost) as exc:
        return Judged(version.id, False, f"could not be looked at: {exc}")
    note(borders, version, seen)
    if seen.condition in DRIFTED:
        return Judged(version.id, False, seen.says)
    if found.primary is None:
        return Judged(version.id, False, "these rules find no model in it; what older ones said of it stays")
    before = f"rules {version.rules_version}: {version.verdict}"
    whole = _with_remarks(version, found, borders.registry.findings(version.id))
    judgement = _judgement(version, whole, objection(borders.policy, whole))
    if not borders.registry.care.judge(version, judgement, borders.clock.now()):
        return Judged(version.id, False, "it was deleted or judged by somebody else meanwhile")
    return Judged(version.id, True, f"{before}, rules {RULES_VERSION}: {judgement.verdict}")


def _looked_into(version: ModelVersion, tree: FileTree, paths: set[str], borders: Borders) -> tuple[Scan, Seen]:
    """Return the scan of the files that were registered, after each was read once, and how they were found."""
    origin = borders.registry.origin(version.id)
    declared = None if origin is None else origin.event.declared_type
    entries = tuple(entry for entry in tree.files() if entry.path in paths)
    found = borders.inspect(tree, declared, entries, version.team)
    manifest, problems = read_once(tree, entries, None, tensor_checks(found), borders.progress)
    if content_digest(manifest) != version.digest:
        return found, Seen(Condition.CHANGED, "its bytes are not those that were registered", WRONG)
    found = with_signatures(with_problems(found, problems), tree, manifest, borders.trusted_keys)
    return found, Seen(Condition.FINE, "as registered, byte for byte", mark_of(entries))


def _with_remarks(version: ModelVersion, found: Scan, findings: Sequence[Finding]) -> Scan:
    """Return *found* with what was said of a copy's origin: the copy has no links, and no names that were left out."""
    if version.store is StoreMode.REFERENCE:
        return found
    remarks = tuple(finding for finding in findings if finding.rule in OF_LISTING)
    skipped = json.loads(version.report).get("coverage", {}).get("skipped", ())
    notes = tuple(Note(one["path"], one["reason"]) for one in skipped if one["reason"].startswith(LEFT_OUT))
    coverage = replace(found.coverage, skipped=(*notes, *found.coverage.skipped))
    every = tuple(sorted((*remarks, *found.findings), key=lambda finding: SEVERITIES.index(finding.severity)))
    return replace(found, findings=every, coverage=coverage, verdict=judge(found.models, every, coverage))


def _judgement(version: ModelVersion, found: Scan, against: Objection | None) -> Judgement:
    primary = next(model for model in found.models if model.primary)
    report = scan_report(found, json.loads(version.report).get("path", version.location))
    return Judgement(
        rules_version=RULES_VERSION,
        model_type=primary.detection.model_type,
        format=primary.detection.format,
        completeness=worst_state(found).value,
        verdict=found.verdict.value,
        report=to_json(report, indent=None),
        summary=found.metrics.summary,
        detail=found.metrics.detail,
        metadata_raw=found.metadata.raw,
        metrics=found.metrics.values,
        findings=found.findings,
        objection=against,
        wholeness=of_primary(report),
    )
