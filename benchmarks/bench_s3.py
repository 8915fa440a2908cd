"""What object storage costs: a scan by ranges beside download and load, and a verified copy beside plain uploads.

Both on a real Ceph. Scans go through a proxy that counts, and that holds each request back as a network would; they run once,
for what is counted is the same each time. Uploads go straight to the server, in turns, each to a Ceph of its own: one that goes
on keeps what was deleted in memory for two hours.

    python -m benchmarks.bench_s3 [MEGABYTES]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.case import AtMost, Case, Command, Cost, Figure, Goal, Input, Row, TimesLess, Within
from benchmarks.cases import GB, MB
from benchmarks.runner import BARE, NotMeasured, Runner, above, best_cost
from benchmarks.table import table
from tests.servers.ceph import CephServer, ceph_server, find_ceph
from tests.servers.process import NoServer
from tests.servers.s3 import REGION
from tests.servers.s3_proxy import Faults, s3_proxy

AWS = Path(__file__).parents[1] / ".venv-awscli" / "bin" / "aws"

BUCKET = "modelport-bench"
PLACE = f"s3://{BUCKET}/model"

LATENCY_SECONDS = 0.02
"""What an object storage in the same region takes to answer."""

SMALL_SHARE = TimesLess(50)
"""At most 2 % of the bytes of all objects."""

FEW_REQUESTS = AtMost(40)
"""For one ONNX model. Tensors of megabytes inside the file lie too far apart for it: the header of each takes a request."""

LITTLE_MORE = Within(1.15)

MOST_MEMORY = AtMost(140 * MB)
"""150 MB as the system counts, of which a bare interpreter has 10."""

REPEATS = 3


def rows(runner: Runner, size: int) -> Iterator[Row]:
    """Yield the rows of all scans and uploads, with about *size* bytes in the largest model; where one fails, they say why."""
    for measure, cases in ((_scanned, scans(size)), (_uploaded, uploads(size))):
        for case in cases:
            assert case.theirs is not None
            ours, theirs, problem = None, None, ""
            try:
                _expect_programs(case.theirs)
                ours, theirs = measure(runner, case, case.theirs)
            except NotMeasured as exc:
                problem = str(exc)
            yield from (Row(case.what, goal, case.theirs.label, ours, theirs, problem) for goal in case.goals)


def scans(size: int) -> tuple[Case, ...]:
    """Return the scans; their side downloads everything and loads it."""
    some, few = Goal(Figure.REQUESTS), Goal(Figure.REQUESTS, FEW_REQUESTS)
    return (
        _scan("an ONNX model, {} in 200 tensors inside the file", Input("onnx", size), "onnx_load", few),
        _scan("an ONNX model, {} in one file beside it", Input("onnx_external", size), "onnx_load", few),
        _scan("a SavedModel, {}", Input("saved_model", size // 2), "tensorflow_load", some),
        _scan("a checkpoint of 40 shards, {}", Input("checkpoint", size // 5), "tensorflow_checkpoint", some),
    )


def _scan(what: str, made: Input, load: str, requests: Goal) -> Case:
    loaders = {
        "onnx_load": "`onnx.load`",
        "tensorflow_load": "`tf.saved_model.load`",
        "tensorflow_checkpoint": "`tf.train.load_checkpoint`",
    }
    ours = _probe("scan", "modelport", "{input}", "{scratch}")
    theirs = _probe(load, f"download with boto3, {loaders[load]}", "{input}", "{scratch}")
    goals = (requests, Goal(Figure.READ, SMALL_SHARE), Goal(Figure.WORK_WALL))
    return Case("s3", f"Scan on S3 of {what.format(_size(made.size))}", made, ours, theirs, goals)


def uploads(size: int) -> tuple[Case, ...]:
    """Return the copies: beside boto3 without starting and importing, beside a program as whole processes."""
    what, made = f"Copy of {_size(size)} to S3, hashed and checked", Input("onnx_external", size)
    ours = _probe("store", "modelport", PLACE, "{input}")
    boto3 = _probe("upload_file", "`upload_file` of boto3", PLACE, "{input}")
    aws = Command("`aws s3 cp --recursive`", (str(AWS), "s3", "cp", "--recursive", "{input}", PLACE), needs=AWS)
    work = (Goal(Figure.WORK_CPU, LITTLE_MORE), Goal(Figure.WORK_WALL, LITTLE_MORE), Goal(Figure.PEAK, MOST_MEMORY))
    whole = (Goal(Figure.CPU, LITTLE_MORE), Goal(Figure.WALL, LITTLE_MORE))
    return (
        Case("s3", what, made, ours, boto3, work, repeats=REPEATS),
        Case("s3", what, made, ours, aws, whole, repeats=REPEATS),
    )


def _probe(name: str, label: str, *arguments: str) -> Command:
    return Command(label, (sys.executable, "-m", "benchmarks.s3_probe", name, *arguments), is_probe=True)


def _size(count: int) -> str:
    return f"{count / GB:g} GB" if count >= GB else f"{count / MB:g} MB"


def _scanned(runner: Runner, case: Case, theirs: Command) -> tuple[Cost, Cost]:
    """Return what both sides of a scan cost; theirs reads what all objects have, whatever it was asked for twice."""
    runner.make(case.inputs())
    with _ceph(runner.folder) as server, s3_proxy(server.port) as (url, faults):
        stored_bytes = _put(server, runner.folder / case.input.name)
        faults.latency_seconds = LATENCY_SECONDS
        bare = runner.cost(BARE)
        costs = [above(_counted(runner, _at(url, server, side), faults), bare) for side in (case.ours, theirs)]
    return costs[0], replace(costs[1], read=stored_bytes)


def _counted(runner: Runner, command: Command, faults: Faults) -> Cost:
    faults.requests.clear()
    faults.bytes_down = 0
    cost = runner.cost(command, PLACE)
    faults.wait_until_quiet()
    return replace(cost, read=faults.bytes_down, requests=len(faults.requests))


def _put(server: CephServer, made: Path) -> int:
    """Upload a file, as a model alone in its folder, or a folder; return how many bytes its objects have."""
    sources = {"model.onnx": made} if made.is_file() else _files(made)
    with closing(server.client()) as client:
        for name, path in sources.items():
            client.upload_file(str(path), BUCKET, f"model/{name}")
    return sum(path.stat().st_size for path in sources.values())


def _files(folder: Path) -> Mapping[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def _uploaded(runner: Runner, case: Case, theirs: Command) -> tuple[Cost, Cost]:
    """Return the best of what both sides of a copy cost, run in turns; the first turn is not counted."""
    runner.make(case.inputs())
    runs: list[list[Cost]] = [[], []]
    for turn in range(1 if runner.is_quick else 1 + case.repeats):
        for side, costs in zip((case.ours, theirs), runs, strict=True):
            with _ceph(runner.folder) as server:
                cost = runner.cost(_at(server.url, server, side), str(runner.folder / case.input.name))
            if turn or runner.is_quick:
                costs.append(cost)
    bare = runner.cost(BARE)
    ours_best, theirs_best = (above(best_cost(costs), bare) for costs in runs)
    return ours_best, theirs_best


def _expect_programs(theirs: Command) -> None:
    """Raise before anything is made, where Ceph or *theirs* is missing.

    Raises:
        NotMeasured: one is not installed.
    """
    try:
        find_ceph()
    except NoServer as exc:
        raise NotMeasured("Ceph is not installed") from exc
    if theirs.needs is not None and not theirs.needs.exists():
        raise NotMeasured(f"{theirs.needs.name} is not installed")


def _at(url: str, server: CephServer, command: Command) -> Command:
    """Return *command* with the server at *url*, and with nothing of what else this machine knows of AWS."""
    surroundings = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "no_proxy": "127.0.0.1",
    }
    return replace(command, environment=surroundings)


@contextmanager
def _ceph(folder: Path) -> Iterator[CephServer]:
    """Run a new Ceph with one empty bucket.

    Raises:
        NotMeasured: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="ceph-", dir=folder) as data:
        try:
            with ceph_server(Path(data)) as server, closing(server.client()) as client:
                client.create_bucket(Bucket=BUCKET)
                yield server
        except NoServer as exc:
            raise NotMeasured("Ceph did not start") from exc


def main(arguments: list[str]) -> int:
    """Print the table for models of so many megabytes, each run once."""
    size = int(float(arguments[0]) * MB) if arguments else GB
    with tempfile.TemporaryDirectory(prefix="modelport-bench-") as folder:
        print("\n".join(table(rows(Runner(Path(folder), is_quick=True), size))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
