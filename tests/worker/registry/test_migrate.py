"""Migrations: from an empty database to the tables of this code, and no further."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from detectors.facts import Metric
from tests.contracts.lists import SERIOUS, fill, keep
from tests.contracts.registry import NOON, claimed, failed, register
from worker.errors import BadSetting, RegistryUnavailable
from worker.records import End, IngestionQuery, Trigger, VersionQuery
from worker.registry import migrate as migrating
from worker.registry import rows
from worker.registry.engine import open_engine
from worker.registry.migrate import REVISIONS, check_newest, configuration, migrate, pending
from worker.registry.sql import SqlRegistry
from worker.registry.tables import metadata


@pytest.fixture
def empty(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'empty.db'}"


def tables(database: str) -> set[str]:
    engine = open_engine(database)
    with engine.connect() as connection:
        found = set(inspect(connection).get_table_names())
    engine.dispose()
    return found


def execute(database: str, statement: str) -> None:
    engine = open_engine(database)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_an_empty_database_lacks_every_revision(empty: str) -> None:
    assert pending(empty) == REVISIONS
    assert tables(empty) == set()


def test_an_empty_database_gets_every_table(empty: str) -> None:
    assert migrate(empty) == REVISIONS
    assert tables(empty) == {*metadata.tables, "alembic_version"}
    assert pending(empty) == ()


def test_migrating_twice_is_migrating_once(empty: str) -> None:
    migrate(empty)
    registry = SqlRegistry(empty)
    version = register(registry).version
    assert migrate(empty) == ()
    assert registry.version("default", version.id) == version
    registry.close()


def test_the_migrations_arrive_at_the_tables(database: str) -> None:
    engine = open_engine(database)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


@pytest.mark.parametrize(
    "change", ["DROP INDEX uq_model_versions_living_content", "ALTER TABLE version_tags ADD COLUMN x TEXT"]
)
def test_the_comparison_sees_a_difference(database: str, change: str) -> None:
    execute(database, change)
    engine = open_engine(database)
    with engine.connect() as connection:
        assert len(compare_metadata(MigrationContext.configure(connection), metadata)) == 1
    engine.dispose()


def test_a_database_without_counters_begins_with_what_its_rows_tell(database: str) -> None:
    """A failure that was retried is not told by its row any more, nor how long anything waited."""
    registry = SqlRegistry(database)
    register(registry, "1")
    register(registry, "2", digest="d2", trigger=Trigger.COMPLETION)
    finish(registry, "3", failed("unreadable"))
    finish(registry, "4", failed("a word of another release"))
    registry.retry("default", finish(registry, "5", failed()), "a person", NOON)
    claimed(registry, "6")
    execute(database, "DROP TABLE queue_halts")
    without_care(database)
    without_indexes(database)
    without_lists(database)
    execute(database, "DROP TABLE counters")
    execute(database, "DROP TABLE audit_log")
    execute(database, "DROP TABLE project_names")
    execute(database, "ALTER TABLE projects DROP COLUMN shown")
    execute(database, "DROP TABLE signing_keys")
    execute(database, "DROP TABLE uploads")
    execute(database, "DROP TABLE deliveries")
    for column in ("notes", "said_summary"):
        execute(database, f"ALTER TABLE model_versions DROP COLUMN {column}")
    execute(database, "DROP INDEX ix_ingestion_history_version_id")
    execute(database, "ALTER TABLE ingestion_history DROP COLUMN version_id")
    execute(database, "UPDATE alembic_version SET version_num = '0002'")
    assert migrate(database) == REVISIONS[2:]
    assert [(one.name, dict(one.labels), one.value) for one in registry.counters()] == [
        ("accepted", {"trigger": "cli"}, 5),
        ("accepted", {"trigger": "completion"}, 1),
        ("bytes", {"outcome": "registered"}, 6),
        ("ended", {"format": "none", "outcome": "failed", "reason": "other", "trigger": "cli"}, 1),
        ("ended", {"format": "none", "outcome": "failed", "reason": "unreadable", "trigger": "cli"}, 1),
        ("ended", {"format": "onnx", "outcome": "registered", "reason": "new-content", "trigger": "cli"}, 1),
        ("ended", {"format": "onnx", "outcome": "registered", "reason": "new-content", "trigger": "completion"}, 1),
    ]
    assert registry.contradictions(NOON) == []
    register(registry, "7", digest="d3")
    assert registry.contradictions(NOON) == []
    registry.close()


def test_lists_begin_with_the_versions_that_are_there(database: str) -> None:
    check_that_lists_are_filled(database)


def check_that_lists_are_filled(database: str) -> None:
    """The migration finds for each version what is written today when it is registered."""
    registry = SqlRegistry(database)
    fill(registry)
    keep(registry, 100, {"metrics": ODD_METRICS, "findings": SERIOUS})
    keep(registry, 101, {"verdict": "inconclusive", "completeness": "corrupt"}, experiment=None)
    registry.rename("default", registry.versions(VersionQuery())[3].id, "Straße", NOON)
    registry.note("default", registry.versions(VersionQuery())[3].id, "what people wrote", NOON)
    gone = registry.versions(VersionQuery())[0]
    registry.tag("default", gone.id, ["gone"], [])
    registry.delete("default", gone.id, NOON)
    written, shown = listed(database), registry.versions(VersionQuery())
    registry.engine.dispose()
    execute(database, "DROP TABLE queue_halts")
    without_care(database)
    without_indexes(database)
    without_lists(database)
    execute(database, "UPDATE alembic_version SET version_num = '0008'")
    assert migrate(database) == REVISIONS[8:]
    assert (listed(database), registry.versions(VersionQuery())) == (written, shown)
    assert [registry.count(VersionQuery(is_latest=True, text=text)) for text in ("strasse", "b")] == [1, 1]
    keep(registry, 102)
    registry.close()


ODD_METRICS = tuple(
    Metric(name, value, step, session, "events", None)
    for step, (name, session, value) in enumerate(
        (
            ("a", "eval_2", 0.1),
            ("a", "x/eval_1", 0.2),
            ("a", "train", 0.3),
            ("b", "test", math.nan),
            ("b", "", 2**70),
            ("b", "other", 0.5),
            ("c", "val", 1),
            ("c", "val", -0.5),
            ("d", "val", math.inf),
        )
    )
)


def listed(database: str) -> list[list[tuple[object, ...]]]:
    """Return all rows that lists are made from, and the tallies without their shards."""
    found = []
    engine = open_engine(database)
    with engine.connect() as connection:
        for columns in (
            "* FROM listed_versions ORDER BY sequence",
            "* FROM headline_metrics ORDER BY sequence, name",
            "version_id, tag, team, lives FROM version_tags ORDER BY version_id, tag",
            "team, look, is_latest, sum(amount) FROM version_tallies GROUP BY 1, 2, 3 HAVING sum(amount) <> 0 ORDER BY 1, 2, 3",
        ):
            found.append([tuple(row) for row in connection.execute(text(f"SELECT {columns}"))])
    engine.dispose()
    return found


def without_care(database: str) -> None:
    """Take back what 0013 and those after it brought."""
    execute(database, "DROP TABLE verifications")
    for column in ("gates", "arrival", *rows.HELD, "warning", "wholeness"):
        execute(database, f"ALTER TABLE model_versions DROP COLUMN {column}")
    execute(database, "DROP TABLE past_events")
    for name in ("model_versions_looked", "model_versions_rules", "ingestions_fruitless"):
        execute(database, f"DROP INDEX ix_{name}")
    for column in ("condition", "says", "at", "looked", "trouble", "mark"):
        execute(database, f"ALTER TABLE model_versions DROP COLUMN files_{column}")
    for name in ("delivered", "ingestion_id"):
        execute(database, f"DROP INDEX IF EXISTS ix_deliveries_{name}")


def without_indexes(database: str) -> None:
    """Take back what 0012 and 0010 brought."""
    execute(database, "DROP INDEX ix_ingestions_format")
    execute(database, "ALTER TABLE ingestions DROP COLUMN format")
    execute(database, "ALTER TABLE ingestion_history DROP COLUMN backtrace")
    for name in ("state", "team", "failed", "finished", "experiment"):
        execute(database, f"DROP INDEX ix_ingestions_{name}")
    execute(database, "CREATE INDEX ix_ingestions_state ON ingestions (state, team)")


def without_lists(database: str) -> None:
    """Take back what 0009 brought."""
    for table in ("listed_versions", "headline_metrics", "version_tallies"):
        execute(database, f"DROP TABLE {table}")
    execute(database, "ALTER TABLE registered_models DROP COLUMN is_published")
    execute(database, "DROP INDEX ix_version_tags_team")
    for column in ("team", "lives"):
        execute(database, f"ALTER TABLE version_tags DROP COLUMN {column}")
    if database.startswith("postgresql"):
        execute(database, "DROP FUNCTION modelport_pieces")


def finish(registry: SqlRegistry, id: str, end: End) -> str:
    """Return the id of an ingestion that has ended so."""
    ingestion = claimed(registry, id)
    assert registry.finish(ingestion.id, "me", end, NOON)
    return ingestion.id


def test_the_list_of_revisions_is_the_folder() -> None:
    scripts = ScriptDirectory.from_config(configuration())
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == REVISIONS
    assert scripts.get_current_head() == REVISIONS[-1]


@pytest.mark.parametrize("work", [migrate, pending, check_newest])
@pytest.mark.parametrize("found", ["b0001", "0000", "99999", "a word"])
def test_one_of_another_series_is_refused(database: str, work: object, found: str) -> None:
    execute(database, f"UPDATE alembic_version SET version_num = '{found}'")
    with pytest.raises(BadSetting, match=f"revision {found}, this modelport knows .* {REVISIONS[-1]}; update modelport"):
        work(database)  # type: ignore[operator]
    assert tables(database) == {*metadata.tables, "alembic_version"}


@pytest.mark.parametrize("found", [f"{int(REVISIONS[-1]) + 1:04}", "9999"])
def test_a_newer_database_of_the_same_series_is_worked_on(database: str, found: str) -> None:
    execute(database, "ALTER TABLE ingestions ADD COLUMN new INTEGER DEFAULT 7")
    execute(database, f"UPDATE alembic_version SET version_num = '{found}'")
    assert migrate(database) == pending(database) == ()
    check_newest(database)
    registry = SqlRegistry(database)
    assert register(registry).version.number == 1
    assert registry.contradictions(NOON) == []
    registry.close()
    assert migrate(database) == (), "nor is it changed"


def test_a_migration_that_fails_leaves_nothing(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite takes the making of tables back, because the transaction begins before the first one."""
    upgrade = migrating._upgrade

    def fail(connection: object, revision: str) -> None:
        upgrade(connection, revision)  # type: ignore[arg-type]
        raise OperationalError("CREATE TABLE", None, Exception("disk I/O error"))

    monkeypatch.setattr(migrating, "_upgrade", fail)
    with pytest.raises(RegistryUnavailable, match="disk I/O error"):
        migrate(empty)
    assert tables(empty) == set()


def test_each_revision_of_a_database_with_rows_has_a_transaction_of_its_own(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails leaves those before it, and the next call goes on behind them."""
    registry = SqlRegistry(database)
    made = register(registry)
    ended = [one.id for one in registry.ingestions(IngestionQuery())]
    registry.close()
    execute(database, "UPDATE ingestions SET format = NULL")
    without_care(database)
    execute(database, "UPDATE alembic_version SET version_num = '0012'")
    upgrade = migrating._upgrade

    def fail(connection: object, revision: str) -> None:
        upgrade(connection, revision)  # type: ignore[arg-type]
        if revision == "0014":
            raise OperationalError("UPDATE", None, Exception("disk I/O error"))

    with monkeypatch.context() as patch:
        patch.setattr(migrating, "_upgrade", fail)
        with pytest.raises(RegistryUnavailable, match="disk I/O error"):
            migrate(database)
    since = REVISIONS[REVISIONS.index("0014") :]
    assert pending(database) == since
    assert migrate(database) == since
    registry = SqlRegistry(database)
    assert [(one.id, one.format) for one in registry.ingestions(IngestionQuery())] == [(ended[0], made.version.format)]
    registry.close()


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable, match="unable to open database file"):
        migrate(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")


def test_alembic_is_imported_only_to_migrate(database: str) -> None:
    """Importing it costs more than the rest of a start."""
    look = (
        "import sys, worker.registry; assert 'sqlalchemy' not in sys.modules\n"
        "import worker.registry.memory; assert 'sqlalchemy' not in sys.modules\n"
        "from worker.registry.sql import SqlRegistry; from worker.registry.migrate import migrate, pending\n"
        f"assert migrate({database!r}) == pending({database!r}) == ()\n"
        f"SqlRegistry({database!r}).owned(); assert 'alembic' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", look], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_postgresql_can_make_the_same_tables() -> None:
    dialect = postgresql.dialect()
    made = {str(CreateTable(table).compile(dialect=dialect)).split()[2] for table in metadata.sorted_tables}
    assert made == set(metadata.tables)
    indexes = [str(CreateIndex(index).compile(dialect=dialect)) for table in metadata.sorted_tables for index in table.indexes]
    unique = "CREATE UNIQUE INDEX uq_model_versions_living_content ON model_versions (scope, digest) WHERE deleted IS NULL"
    assert unique in indexes


def test_a_new_revision_is_written_from_the_template(database: str, tmp_path: Path) -> None:
    """As the environment's docstring tells it, for a database that lacks a column."""
    execute(database, "ALTER TABLE version_files DROP COLUMN sha256")
    config = configuration()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"{Path(migrating.__file__).parent / 'migrations/versions'}\n{tmp_path}")
    engine = open_engine(database)
    with engine.begin() as config.attributes["connection"]:
        command.revision(config, "what it changes", autogenerate=True, rev_id="0099", version_path=str(tmp_path))
    engine.dispose()
    written = (tmp_path / "0099_what_it_changes.py").read_text()
    assert f"down_revision = '{REVISIONS[-1]}'" in written
    assert "batch_op.add_column(sa.Column('sha256', sa.Text(), nullable=False))" in written
