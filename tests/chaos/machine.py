"""Any steps in any order: the registry in a database and the one in memory answer alike, for as many steps as are wanted."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from tests.chaos.row import Row
from tests.worker.registry.test_alike import Alike
from worker.registry.migrate import migrate

STEPS_PER_EXAMPLE, EXAMPLES_PER_ROUND = 50, 50


class Counting(Alike):
    """Counts its steps."""

    steps: ClassVar[int] = 0

    @invariant()
    def one_more(self) -> None:
        Counting.steps += 1


def take_any_steps(folder: Path, wanted: int, first_seed: int) -> Row:
    """Take at least *wanted* steps, in rounds with a seed of their own; the first contradiction ends it."""
    migrate(f"sqlite:///{folder}/registry.db")
    Alike.migrated, Counting.steps = folder / "registry.db", 0
    bounded = settings(
        max_examples=EXAMPLES_PER_ROUND,
        stateful_step_count=STEPS_PER_EXAMPLE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    round, contradiction = first_seed, None
    while Counting.steps < wanted and contradiction is None:
        try:
            run_state_machine_as_test(seed(round)(Counting), settings=bounded)
        except Exception as exc:  # whatever it is, it is the counter-example
            contradiction = f"seed {round}: {exc}"
        round += 1
    seen = f"{Counting.steps} steps, " + (contradiction or "no counter-example")
    is_alike = contradiction is None
    return Row(
        "any steps of the state machine, both registries", f"{wanted} steps, no counter-example", seen, is_alike, is_alike
    )
