"""Fills an empty registry with as many versions as wanted, as years of many teams would: a few models, projects and words are
everywhere, most are rare.

Rows are written in bulk (COPY, or executemany on SQLite), with the checks of foreign keys left out on PostgreSQL and at the
end on SQLite, and before the indexes are made, which the statements of the database itself make again. Numbers decide what a
row holds, so each run makes the same ones.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Table

from worker.registry.engine import open_engine
from worker.registry.migrate import migrate
from worker.registry.tables import (
    headline_metrics,
    ingestions,
    listed_versions,
    model_versions,
    registered_models,
    version_metrics,
    version_tags,
    version_tallies,
)

TEAM = "default"
"""The team of nine versions in ten; the others share the rest."""

OTHERS = 10
PROJECTS = 200
VERSIONS_A_MODEL = 8

METRICS = ("loss", "accuracy", "f1", "auc", "precision", "recall", "mae", "mse", "rmse", "bleu", "rouge", "perplexity", "map")
METRICS += ("iou", "top5", "wer", "psnr", "ssim", "latency", "epoch")
"""Twenty names; each is in fewer versions than the one before."""

WORDS = (
    "resnet bert mnist gpt yolo unet lstm vgg digits faces fraud churn speech search rank price demand click spam image text"
    " graph audio video robot weather traffic genome protein market credit risk sensor motor pump valve".split()
)

WHEN = "2026-01-01T00:00:00.000000Z"
REPORT = json.dumps({"schema": "modelport.scan/1", "models": [{"root": "", "format": "onnx", "facts": "x" * 400}]})

TABLES: dict[Table, tuple[str, ...]] = {
    registered_models: ("sequence", "team", "project", "name", "name_folded", "is_generated", "created", "updated"),
    ingestions: (
        *("sequence", "id", "event_key", "source", "event_id", "model_path", "team", "project", "experiment", "trigger"),
        *("state", "attempts", "version_id", "answered_version", "created", "updated"),
    ),
    model_versions: (
        *("sequence", "id", "model", "number", "ingestion_id", "team", "experiment", "experiment_folded", "scope"),
        *("model_type", "format", "location", "listing_key", "rules_version", "digest", "oms_digest", "store", "url"),
        *("size_bytes", "completeness", "verdict", "report", "summary", "detail", "created"),
    ),
    version_metrics: ("version_id", "position", "name", "value", "step", "session", "source"),
    version_tags: ("version_id", "tag", "team", "lives"),
    listed_versions: (
        *("sequence", "version_id", "model", "team", "project", "name", "name_folded", "experiment", "experiment_folded"),
        *("model_type", "digest", "size_bytes", "look", "is_latest", "is_published", "lives"),
    ),
    headline_metrics: ("sequence", "name", "team", "value", "lives"),
    version_tallies: ("team", "look", "is_latest", "shard", "amount"),
}
"""The columns that are written, in an order that foreign keys allow."""

LOOKS = {0: ("complete", "clean"), 1: ("incomplete", "findings"), 2: ("complete", "findings"), 4: ("complete", "inconclusive")}

CHUNK = 20_000
"""Versions that are in memory at once."""

Row = tuple[Any, ...]
Rows = dict[Table, list[Row]]


def fill(url: str, versions: int) -> None:
    """Migrate the empty database at *url* and write so many *versions*, with all that lists look at."""
    migrate(url)
    engine = open_engine(url)
    write = _copy if engine.dialect.name == "postgresql" else _insert
    try:
        with engine.begin() as connection:
            made = _without_indexes(connection)
            for rows in generated(versions):
                for table, columns in TABLES.items():
                    write(connection, table.name, columns, rows.get(table, ()))
            for statement in made:
                connection.exec_driver_sql(statement)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "ANALYZE")
    finally:
        engine.dispose()


def generated(versions: int) -> Iterator[Rows]:
    """Yield the rows of so many *versions*, chunk by chunk; those of the models come first, the tallies last."""
    models = [_model(number) for number in range(1, max(1, versions // VERSIONS_A_MODEL) + 1)]
    yield {registered_models: models}
    last: dict[int, int] = {}
    for sequence in range(1, versions + 1):
        last[_model_of(sequence, len(models))] = sequence
    latest = frozenset(last.values())
    numbers: Counter[int] = Counter()
    tallies: Counter[tuple[str, int, bool]] = Counter()
    for begin in range(1, versions + 1, CHUNK):
        rows: Rows = {table: [] for table in TABLES}
        for sequence in range(begin, min(begin + CHUNK, versions + 1)):
            place = _model_of(sequence, len(models))
            numbers[place] += 1
            look = _add_version(rows, sequence, models[place], numbers[place], sequence in latest)
            tallies[models[place][1], look, sequence in latest] += 1
        yield rows
    yield {version_tallies: [(*key, 0, amount) for key, amount in tallies.items()]}


def name_of(number: int) -> str:
    """Return the name of a model, which no other has; the models are numbered from 1."""
    name: str = _model(number)[3]
    return name


def digest_of(sequence: int) -> str:
    """Return the digest of a version; the versions are numbered from 1."""
    return "sha256:" + sha256(b"content %d" % sequence).hexdigest()


def _model(number: int) -> Row:
    """Return the row of a model; every tenth, but for the first, is another team's."""
    draw = random.Random(number)
    team = TEAM if number == 1 or number % 10 else f"team-{number // 10 % OTHERS}"
    project = f"project-{_skewed(draw, PROJECTS)}"
    name = f"{WORDS[_skewed(draw, len(WORDS))]}-{draw.choice(WORDS)}-{number:x}"
    name = name.title() if number % 7 == 0 else name
    return (number, team, project, name, name.casefold(), False, WHEN, WHEN)


def _model_of(sequence: int, models: int) -> int:
    """Return the place of the model that a version is of: every other one is of the hundredth part that is trained most."""
    draw = int.from_bytes(sha256(b"%d" % sequence).digest()[:8], "big")
    return draw // 2 % max(1, models // 100) if draw % 2 else draw // 2 % models


def _skewed(draw: random.Random, count: int) -> int:
    """Return a number below *count*, a small one more often."""
    return int(count * draw.random() ** 3)


def _add_version(rows: Rows, sequence: int, model: Row, number: int, is_latest: bool) -> int:
    """Add the rows of one version, and return why it needs a look."""
    draw = random.Random(-sequence)
    key, team, project, name, name_folded = model[:5]
    id, digest = f"mo{sequence:012x}", digest_of(sequence)
    experiment = f"{WORDS[_skewed(draw, len(WORDS))]}/run-{draw.getrandbits(40):x}"
    model_type = draw.choices(("Tensorflow", "ONNX", "Custom"), (6, 3, 1))[0]
    look = draw.choices((0, 1, 2, 4), (960, 20, 15, 5))[0]
    completeness, verdict = LOOKS[look]
    size = int(10 ** draw.uniform(3, 10))
    path = f"file:///runs/{experiment}"
    event = (
        sequence,
        f"in{sequence}",
        f"key {sequence}",
        "bench",
        f"{sequence}",
        path,
        team,
        project,
        experiment,
        "completion",
    )
    rows[ingestions].append((*event, "registered", 1, id, id, WHEN, WHEN))
    version = (sequence, id, key, number, f"in{sequence}", team, experiment, experiment, f"scope {sequence}", model_type)
    version += ("onnx", path, f"listing {sequence}", "1", digest, digest, "reference", path, size, completeness, verdict)
    rows[model_versions].append((*version, REPORT, "{}", "[]", WHEN))
    names = (team, project, name, name_folded, experiment, experiment)
    rows[listed_versions].append((sequence, id, key, *names, model_type, digest, size, look, is_latest, False, True))
    for position, metric in enumerate(METRICS):
        if draw.random() < 0.9 / (1 + position / 2):
            value = round(draw.random(), 4)
            rows[version_metrics].append((id, position, metric, value, 1000, "eval", "eval/events"))
            rows[headline_metrics].append((sequence, metric, team, value, True))
    if draw.random() < 0.1:
        rows[version_tags].append((id, draw.choices(("candidate", "production", "golden"), (90, 9, 1))[0], team, True))
    return look


def _without_indexes(connection: Connection) -> list[str]:
    """Drop the indexes of what is written, and return the statements that make them."""
    names = ", ".join(f"'{table.name}'" for table in TABLES)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET session_replication_role = replica")
        rule = "NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = indexname)"
        found = f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ({names}) AND {rule}"
    else:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        found = f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> '' AND tbl_name IN ({names})"
    made = [(name, statement) for name, statement in connection.exec_driver_sql(found).all()]
    for name, _ in made:
        connection.exec_driver_sql(f'DROP INDEX "{name}"')
    return [statement for _, statement in made]


def _copy(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with closing(driver.cursor()) as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _insert(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    given = list(rows)
    if given:
        places = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", given)
