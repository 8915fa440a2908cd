"""Any steps in any order, for as many as are wanted: the registry on SQLite or PostgreSQL, the one in memory, and a plain model
of ingestions that shares no code with them, answer alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from tests.chaos.row import Row
from tests.servers.postgresql import PostgresServer, postgres_server
from tests.worker.registry.test_alike import Alike
from worker.registry.migrate import migrate

STEPS_PER_EXAMPLE = 50

POSTGRES_SHARE = 0.1
"""How many of the steps are taken on PostgreSQL, where one takes several times as long."""

MIGRATED = "migrated"


class Counting(Alike):
    """Counts its steps."""

    steps: ClassVar[int] = 0
    examples_per_round: ClassVar[int] = 50

    @invariant()
    def one_more(self) -> None:
        Counting.steps += 1


class OnPostgres(Counting):
    """Takes its steps in a database of a PostgreSQL of its own."""

    examples_per_round: ClassVar[int] = 10
    server: ClassVar[PostgresServer]
    numbers: ClassVar[Iterator[int]] = count()

    def make_database(self) -> str:
        self.name = f"machine_{next(self.numbers)}"
        return self.server.create_database(self.name, MIGRATED)

    def remove_database(self) -> None:
        self.server.drop_database(self.name)


def take_any_steps(folder: Path, wanted: int, first_seed: int) -> Row:
    """Take at least *wanted* steps, in rounds with a seed of their own; the first contradiction ends it."""
    on_postgres = max(1, round(wanted * POSTGRES_SHARE))
    with _databases(folder):
        taken, contradiction = _take(Counting, max(1, wanted - on_postgres), first_seed)
        taken_there = 0
        if contradiction is None:
            taken_there, contradiction = _take(OnPostgres, on_postgres, first_seed)
    steps = f"{taken} steps on SQLite and {taken_there} on PostgreSQL"
    seen = f"{steps}, {contradiction or 'no counter-example'}"
    is_alike = contradiction is None
    fault = "any steps in any order, each taken by a database, the registry in memory and a plain model of ingestions"
    return Row(fault, f"{wanted} steps, no counter-example", seen, is_alike, is_alike)


@contextmanager
def _databases(folder: Path) -> Iterator[None]:
    """Make what the machines copy their databases from, and let the server run while the block does."""
    Alike.migrated = folder / "registry.db"
    migrate(f"sqlite:///{Alike.migrated}")
    with TemporaryDirectory(prefix="modelport-postgres-") as open_folder, postgres_server(Path(open_folder)) as server:
        OnPostgres.server = server
        migrate(server.create_database(MIGRATED))
        yield


def _take(machine: type[Counting], wanted: int, first_seed: int) -> tuple[int, str | None]:
    """Return how many steps *machine* has taken, at least *wanted*, and what went wrong in the last; None for nothing."""
    bounded = settings(
        max_examples=machine.examples_per_round,
        stateful_step_count=STEPS_PER_EXAMPLE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    Counting.steps, round = 0, first_seed
    while Counting.steps < wanted:
        try:
            run_state_machine_as_test(seed(round)(machine), settings=bounded)
        except Exception as exc:  # whatever it is, it is the counter-example
            return Counting.steps, f"seed {round}: {exc}"
        round += 1
    return Counting.steps, None
