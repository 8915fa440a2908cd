"""How quick lists are over HTTP with a million versions in PostgreSQL, and with a tenth of them; and what a list without an end
takes of memory.

A server of our own answers one request after the other, as a person's browser would ask; each request asks for something else,
so that none finds its answer ready. PostgreSQL, the server and who asks share the machine.

    python -m benchmarks.bench_lists [VERSIONS] [--sqlite]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from benchmarks.million import METRICS, PROJECTS, WORDS, digest_of, fill, name_of
from tests.servers.postgresql import PostgresServer, postgres_server
from tests.servers.process import free_port, until

VERSIONS = 1_000_000
FRACTION = 10
"""The second registry has so many times fewer versions."""

REQUESTS = 300
WARMING = 30
"""Requests of each kind that go before and are not counted."""

SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=50", "shared_buffers=256MB", "max_wal_size=4GB")
"""Of PostgreSQL: nothing is written while it is measured."""

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0

Ask = Callable[[int], str]
"""Returns the address of the n-th request of a kind."""


def _word(number: int) -> str:
    return WORDS[number % len(WORDS)]


ASKED: Mapping[str, Ask] = {
    "first page": lambda number: f"/v1/models?limit={50 + number % 50}",
    "first page of versions": lambda number: f"/v1/versions?limit={50 + number % 50}",
    "filtered page": lambda number: f"/v1/versions?projectId=project-{number % PROJECTS}&type=ONNX&limit=50",
    "page of what needs a look": lambda number: f"/v1/models?state=needs-look&limit={50 + number % 50}",
    "page with a tag": lambda number: f"/v1/versions?tag={('golden', 'production', 'candidate')[number % 3]}&limit=50",
    "sorted by name": lambda number: f"/v1/models?sort=name&limit={50 + number % 50}",
    "sorted by metric": lambda number: f"/v1/versions?sort=-metric:{METRICS[number % len(METRICS)]}&limit=50",
    "models sorted by metric": lambda number: f"/v1/models?sort=-metric:{METRICS[number % len(METRICS)]}&limit=50",
    "filtered and sorted by metric": lambda number: (
        f"/v1/versions?projectId=project-{number % PROJECTS}&sort=-metric:{METRICS[number % 5]}&limit=50"
    ),
    "search, often found": lambda number: f"/v1/models?q={_word(number)}&limit=50",
    "search, found once": lambda number: f"/v1/models?q={name_of(number * 10 + 1)}&limit=50",
    "search, not found": lambda number: f"/v1/versions?q={_word(number)}zq{number}&limit=50",
    "search for two letters": lambda number: f"/v1/versions?q={chr(97 + number % 26)}{chr(97 + number // 26 % 26)}&limit=50",
    "search for a digest": lambda number: f"/v1/versions?q={digest_of(number + 1)[len('sha256:') :][:12]}&limit=50",
    "totals": lambda number: "/v1/totals",
}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from request to whole answer, which half and which 99 of 100 stay below."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Found:
    """Times by kind of request; and of a list without an end how many models it held, and the most bytes of memory that the
    server had by then."""

    times: Mapping[str, Times]
    listed: int
    peak: float


def measure(versions: int = VERSIONS, is_sqlite: bool = False) -> tuple[Found, Found]:
    """Return what was found with so many *versions*, and with a tenth.

    Raises:
        NoServer: there is no PostgreSQL on this machine.
    """
    # Not below the folder of the benchmarks: PostgreSQL runs as another user, who may not pass there.
    with ExitStack() as stack:
        scratch = tempfile.TemporaryDirectory(prefix="modelport-bench-lists-", dir=os.environ.get("TMPDIR", "/tmp"))
        folder = Path(stack.enter_context(scratch))
        os.chmod(folder, 0o755)
        (folder / "server").mkdir()
        server = None if is_sqlite else stack.enter_context(postgres_server(folder / "server", settings=SETTINGS))
        many, few = (_measure(folder, server, count) for count in (versions, versions // FRACTION))
        return many, few


def _measure(folder: Path, server: PostgresServer | None, versions: int) -> Found:
    name = f"lists_{versions}"
    url = f"sqlite:///{folder / name}.db" if server is None else server.create_database(name)
    _say(f"writing {versions:,} versions")
    fill(url, versions)
    return asked(folder, url)


def asked(folder: Path, url: str) -> Found:
    """Return what lists of the registry at *url* take."""
    _say("asking for lists")
    with _api(folder, url) as (client, _):
        times = {kind: _times(client, ask) for kind, ask in ASKED.items()}
    with _api(folder, url) as (client, process):
        return Found(times, _listed(client), _peak(process))


def _times(client: httpx.Client, ask: Ask) -> Times:
    seconds = []
    for number in range(WARMING + REQUESTS):
        began = time.perf_counter()
        client.get(ask(number)).raise_for_status()
        seconds.append(time.perf_counter() - began)
    parts = quantiles(seconds[WARMING:], n=100, method="inclusive")
    return Times(parts[49], parts[98])


def _listed(client: httpx.Client) -> int:
    """Return how many models the old face lists where no end is asked for."""
    with client.stream("GET", "/mlModels/getModelList/?limit=-1", timeout=None) as answer:
        return sum(line.count(b'"isDeleted"') for line in _whole(answer.iter_bytes()))


def _whole(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what *parts* hold, cut only between models."""
    rest = b""
    for part in parts:
        whole, cut, rest = (rest + part).rpartition(b"}")
        yield whole + cut
    yield rest


def _peak(process: subprocess.Popen[bytes]) -> float:
    """Return the most bytes that *process* had resident."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


@contextmanager
def _api(folder: Path, url: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """Run the API on the registry at *url* while the block runs; who asks it speaks for the team with most versions."""
    port = free_port()
    environment = os.environ | {"MODELPORT_HOME": str(folder / "home"), "MODELPORT_DATABASE_URL": url}
    command = [sys.executable, "-c", "from worker.cli import main; main()", "api", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            if not until(lambda: _is_ready(client), START_SECONDS):
                raise RuntimeError(f"the API did not answer within {START_SECONDS:g} s")
            yield client, process
    finally:
        process.terminate()
        process.wait()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _say(step: str) -> None:
    print(f"bench: {step}", file=sys.stderr, flush=True)


def as_json(many: Found, few: Found) -> dict[str, Any]:
    """Return what was found in milliseconds and megabytes, and how many times more it is with ten times the versions."""
    found: dict[str, Any] = {
        kind: {
            "p50 ms": round(one.p50 * 1000, 1),
            "p99 ms": round(one.p99 * 1000, 1),
            "growth of p50": round(one.p50 / few.times[kind].p50, 2),
        }
        for kind, one in many.times.items()
    }
    memory = {"MB": round(many.peak / 1e6, 1), "MB of a tenth": round(few.peak / 1e6, 1), "models": many.listed}
    return found | {"list without an end": memory}


def main(arguments: list[str]) -> int:
    """Print the measurement as JSON."""
    counts = [int(one) for one in arguments if one.isdigit()]
    print(json.dumps(as_json(*measure(counts[0] if counts else VERSIONS, "--sqlite" in arguments)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
