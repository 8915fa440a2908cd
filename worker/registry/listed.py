"""Keeps the rows that lists are made from in step with the versions, as statements on an open connection.

Who adds or deletes a version of a model holds the lock of the model's row, so that one of its versions is the latest.
Every statement is made once, here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, false, insert, select, true, update

from worker.gates import is_any_failed
from worker.records import Attention, GateResult, Judgement, NewVersion
from worker.registry import tallies
from worker.registry.listing import BITS, headlines, look_of
from worker.registry.stored import stored_text
from worker.registry.tables import headline_metrics, listed_versions, version_tags
from worker.registry.words import folded

LISTED = listed_versions.c
LIVES = LISTED.lives.is_(true())
IS_LATEST = LISTED.is_latest.is_(true())

OF_MODEL = (LIVES, LISTED.model == bindparam("of_model"))

NEW = insert(listed_versions)
NEW_METRICS = insert(headline_metrics)

OVERTAKEN = update(listed_versions).where(*OF_MODEL, IS_LATEST).values(is_latest=False).returning(LISTED.look)

ROW = (
    select(LISTED.sequence, LISTED.model, LISTED.team, LISTED.look, LISTED.is_latest, LISTED.lives)
    .where(LISTED.sequence == bindparam("of_version"))
    .with_for_update()
)

LAST = select(LISTED.sequence, LISTED.look).where(*OF_MODEL).order_by(LISTED.sequence.desc()).limit(1)

THIS = update(listed_versions).where(LISTED.sequence == bindparam("of_version"))
ALL = update(listed_versions).where(LISTED.model == bindparam("of_model"))

METRICS = headline_metrics.c.sequence == bindparam("of_version")
NO_METRICS = delete(headline_metrics).where(METRICS)
GONE = update(headline_metrics).where(METRICS).values(lives=false())

NEW_TAGS = insert(version_tags)
TAGS_GONE = update(version_tags).where(version_tags.c.version_id == bindparam("of_id")).values(lives=false())


def add(connection: Connection, version: NewVersion, model: Row[Any], sequence: int, is_quarantined: bool) -> None:
    """List a new *version*, the latest of *model*, whose row is locked."""
    look, team, experiment = look_of(version, is_quarantined, version.gates), version.scope.team, version.scope.experiment
    amounts: tallies.Tallies = Counter({(look, True): 1})
    for overtaken in connection.execute(OVERTAKEN, {"of_model": model.sequence}).scalars():
        amounts[overtaken, True] -= 1
        amounts[overtaken, False] += 1
    values = {
        "sequence": sequence,
        "version_id": version.id,
        "model": model.sequence,
        "team": team,
        "project": model.project,
        "name": model.name,
        "name_folded": folded(model.name),
        "experiment": experiment,
        "experiment_folded": None if experiment is None else folded(experiment),
        "model_type": version.model_type.value,
        "digest": stored_text(version.digest),
        "size_bytes": version.size_bytes,
        "look": look,
        "is_latest": True,
        "is_published": model.is_published,
        "lives": True,
    }
    connection.execute(NEW, values)
    _add_metrics(connection, version, sequence, team)
    tallies.add(connection, team, amounts)


def judge_anew(
    connection: Connection, version: NewVersion | Judgement, sequence: int, is_quarantined: bool, gates: Iterable[GateResult]
) -> None:
    """Take over what was seen of the content of *version* by another look; it is listed at *sequence*, and *gates* are what
    became of its gates so far.
    """
    known = connection.execute(ROW, {"of_version": sequence}).one()
    look = look_of(version, is_quarantined, gates)
    connection.execute(THIS, {"of_version": sequence, "model_type": version.model_type.value, "look": look})
    connection.execute(NO_METRICS, {"of_version": sequence})
    _add_metrics(connection, version, sequence, known.team)
    _move(connection, known, look)


def release(connection: Connection, sequence: int) -> None:
    """List a living version as one that is in no quarantine."""
    known = connection.execute(ROW, {"of_version": sequence}).one()
    _look_at(connection, known, known.look & ~BITS[Attention.QUARANTINED])


def judge_gates(connection: Connection, sequence: int, gates: Iterable[GateResult]) -> None:
    """List a version as one whose gates became *gates*; one that was deleted meanwhile stays as it stood."""
    known = connection.execute(ROW, {"of_version": sequence}).one()
    failed = BITS[Attention.GATE_FAILED]
    if known.lives:
        _look_at(connection, known, known.look | failed if is_any_failed(gates) else known.look & ~failed)


def _look_at(connection: Connection, known: Row[Any, Any, Any, Any, Any, Any], look: int) -> None:
    """List the living version that stood as *known* under another *look*."""
    connection.execute(THIS, {"of_version": known.sequence, "look": look})
    _move(connection, known, look)


def _move(connection: Connection, known: Row[Any, Any, Any, Any, Any, Any], look: int) -> None:
    """Count the living version that stood as *known* under another *look*."""
    amounts: tallies.Tallies = Counter({(look, known.is_latest): 1})
    amounts[known.look, known.is_latest] -= 1
    tallies.add(connection, known.team, amounts)


def tag(connection: Connection, team: str, version_id: str, tags: Iterable[str]) -> None:
    """Give a living version of the team *tags* that it does not have yet."""
    values = [{"version_id": version_id, "tag": tag, "team": team, "lives": True} for tag in tags]
    if values:
        connection.execute(NEW_TAGS, values)


def remove(connection: Connection, sequence: int, version_id: str) -> None:
    """Take a version out of all lists; the last one before it is the latest now. The row of its model is locked."""
    known = connection.execute(ROW, {"of_version": sequence}).one()
    connection.execute(THIS, {"of_version": sequence, "is_latest": False, "lives": False})
    connection.execute(GONE, {"of_version": sequence})
    connection.execute(TAGS_GONE, {"of_id": version_id})
    amounts: tallies.Tallies = Counter({(known.look, known.is_latest): -1})
    last = connection.execute(LAST, {"of_model": known.model}).one_or_none() if known.is_latest else None
    if last is not None:
        connection.execute(THIS, {"of_version": last.sequence, "is_latest": True})
        amounts[last.look, True] += 1
        amounts[last.look, False] -= 1
    tallies.add(connection, known.team, amounts)


def rename(connection: Connection, model: int, name: str) -> None:
    """List all versions of *model* under another name."""
    connection.execute(ALL, {"of_model": model, "name": name, "name_folded": folded(name)})


def publish(connection: Connection, model: int, is_published: bool) -> None:
    """List all versions of *model* for other teams, or for none."""
    connection.execute(ALL, {"of_model": model, "is_published": is_published})


def _add_metrics(connection: Connection, version: NewVersion | Judgement, sequence: int, team: str) -> None:
    values = [
        {"sequence": sequence, "name": name, "team": team, "value": value, "lives": True}
        for name, value in headlines(version.metrics).items()
    ]
    if values:
        connection.execute(NEW_METRICS, values)
