"""A worker dies, or stands still past its lease, at every named step of its way: what the suite shows once, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.row import Row
from tests.servers.postgresql import postgres_server
from tests.worker.test_kill import make_example, make_onnx
from tests.worker.test_kill_worker import Place, kill_at_every_step, make_checkpoint, stop_at_every_step
from worker.registry.migrate import migrate

FORMATS: Mapping[str, Callable[[Path], None]] = {
    "ONNX": make_onnx,
    "checkpoint": make_checkpoint,
    "the example with its metrics": make_example,
}
DATABASES = ("sqlite", "postgresql")


def kill_everywhere(folder: Path) -> Row:
    """Kill a worker at every step, for each format and both databases."""
    killed, wrong = 0, []
    for database in DATABASES:
        for format, make in FORMATS.items():
            with _place(folder / f"{database} {format}", database) as (place, runs):
                try:
                    killed += kill_at_every_step(make, place, runs)
                except AssertionError as exc:
                    wrong.append(f"{format} on {database}: {exc}")
    seen = f"{killed} kills" + ("" if not wrong else f", wrong: {'; '.join(wrong)}")
    fault = f"kill at every named step, {len(FORMATS)} formats, both databases"
    return Row(fault, "right at 100 % of the points", seen, not wrong, not wrong)


def stop_everywhere(folder: Path, zombies: int) -> Row:
    """Stop workers past their leases at every step in turn until at least *zombies* were, over both databases."""
    refused, rounds, wrong = 0, 0, []
    while refused < zombies and not wrong:
        database = DATABASES[rounds % len(DATABASES)]
        rounds += 1
        with _place(folder / f"round {rounds}", database) as (place, runs):
            try:
                refused += stop_at_every_step(place, runs)
            except AssertionError as exc:
                wrong.append(f"{database}: {exc}")
    seen = f"{refused} refused" + ("" if not wrong else f", wrong: {wrong[0]}")
    fault = "a worker stopped past its lease that goes on, at every named step, both databases"
    return Row(fault, f"refused {zombies} of {zombies}, 0 duplicates", seen, not wrong, refused >= zombies)


@contextmanager
def _place(folder: Path, database: str) -> Iterator[tuple[Place, Path]]:
    """Give a database, a store and a folder for runs, all below *folder*."""
    for path in (folder, folder.parent):
        path.mkdir(exist_ok=True)
        path.chmod(0o711)  # PostgreSQL runs as a user of its own where we are root
    for name in ("runs", "postgresql"):
        (folder / name).mkdir()
    if database == "sqlite":
        url = f"sqlite:///{folder}/modelport.db"
        migrate(url)
        yield Place(url, folder / "store"), folder / "runs"
        return
    with postgres_server(folder / "postgresql") as server:
        url = server.create_database("modelport")
        migrate(url)
        yield Place(url, folder / "store"), folder / "runs"
