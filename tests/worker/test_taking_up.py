"""A worker dies in the middle of many shards: the next attempt sends what is missing, and nothing is left at the end."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.builders import onnx
from tests.servers.process import until
from tests.servers.s3 import S3Server
from tests.servers.s3_proxy import Faults, Request, s3_proxy
from tests.worker.test_ingest import event, make_borders
from tests.worker.test_kill import checks_of, start
from tests.worker.test_kill_worker import Place
from tests.worker.test_runner import held, lose
from worker.errors import StorageUnavailable
from worker.ingest import Borders, give_up
from worker.lifecycle import LEASE_SECONDS, MAX_ATTEMPTS
from worker.operations import check_leftovers, discard
from worker.records import Ingestion, IngestionState, Trigger, VersionQuery
from worker.registry.memory import MemoryRegistry
from worker.registry.migrate import migrate
from worker.runner import Runner, abandoned
from worker.s3_url import S3Url
from worker.storage.memory import MemoryStore
from worker.storage.s3 import upload
from worker.storage.s3.client import S3Connection
from worker.storage.s3.store import S3Store
from worker.tidying import Tidying

PART = 5 << 20
LEASE = timedelta(seconds=LEASE_SECONDS)
SHARDS = 2
SHARD_BYTES = PART + 1000


class Thrifty(MemoryStore):
    """A store that says of itself that it can use what dead attempts left, as object storage does."""

    def takes_up(self) -> bool:
        return True


@pytest.fixture
def thrifty() -> Borders:
    return replace(make_borders(MemoryRegistry(), Thrifty()), is_dead=lambda owner: False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return onnx.run_at(tmp_path / "run")


def submit(borders: Borders, run: Path) -> Ingestion:
    ingestion, _ = borders.registry.submit(event(run, trigger=Trigger.COMPLETION), borders.clock.now())
    return ingestion


def lose_and_sweep(borders: Borders) -> str:
    """Let a worker die over half a copy, free what it had, and return the version id of its attempt."""
    lost = lose(borders, "dead")
    borders.clock.sleep(LEASE_SECONDS + 1)
    assert Runner(borders, "w").sweep() == 1
    return lost.version_id


def test_what_a_lost_attempt_left_is_kept_until_its_ingestion_ends(thrifty: Borders, run: Path) -> None:
    ingestion = submit(thrifty, run)
    left = [lose_and_sweep(thrifty) for _ in range(2)]
    tidying = Tidying()
    for _ in range(3):
        tidying.look(thrifty)
    assert check_leftovers(thrifty, repair=True).state == "ok"
    assert held(thrifty) == set(left)
    assert Runner(thrifty, "w").work_next()
    ended = thrifty.registry.ingestion("default", ingestion.id)
    assert ended is not None
    assert (ended.state, held(thrifty)) == (IngestionState.REGISTERED, {ended.version_id})


def test_it_goes_with_the_last_attempt(thrifty: Borders, run: Path) -> None:
    ingestion = submit(thrifty, run)
    for attempt in range(MAX_ATTEMPTS):
        assert len(held(thrifty)) == attempt
        lose_and_sweep(thrifty)
    ended = thrifty.registry.ingestion("default", ingestion.id)
    assert ended is not None
    assert (ended.state, held(thrifty)) == (IngestionState.FAILED, set())


@pytest.mark.parametrize(
    ("then", "state"), [("nothing there", IngestionState.FAILED), ("no model", IngestionState.NOTHING_FOUND)]
)
def test_it_goes_with_any_other_end(thrifty: Borders, run: Path, then: str, state: IngestionState) -> None:
    ingestion = submit(thrifty, run)
    lose_and_sweep(thrifty)
    (run / "model.onnx").unlink()
    if then == "nothing there":
        run.rmdir()
    else:
        (run / "notes.txt").write_text("nothing")
    while Runner(thrifty, "w").work_next():
        thrifty.clock.sleep(10)
    ended = thrifty.registry.ingestion("default", ingestion.id)
    assert ended is not None
    assert (ended.state, held(thrifty)) == (state, set())


def test_it_goes_where_a_person_discards_what_waits(thrifty: Borders, run: Path) -> None:
    ingestion = submit(thrifty, run)
    left = lose_and_sweep(thrifty)
    discard(thrifty.registry, "default", ingestion.id, "a person", thrifty.clock.now())
    tidying = Tidying()
    tidying.look(thrifty)
    assert held(thrifty) == {left}
    tidying.look(thrifty)
    assert held(thrifty) == set()


def test_what_a_hanging_attempt_left_goes_with_the_end_as_well(thrifty: Borders, run: Path) -> None:
    ingestion = submit(thrifty, run)
    hung = lose(thrifty, "hung")
    give_up(hung, 55.0, "store", replace(thrifty, owner="hung"))
    assert held(thrifty) == {hung.version_id}
    thrifty.clock.sleep(LEASE_SECONDS)
    assert Runner(thrifty, "w").work_next()
    ended = thrifty.registry.ingestion("default", ingestion.id)
    assert ended is not None
    assert (ended.state, held(thrifty)) == (IngestionState.REGISTERED, {ended.version_id})


def test_a_store_that_does_not_let_it_go_keeps_nobody_from_the_end(run: Path) -> None:
    class Stubborn(Thrifty):
        def remove(self, url: str) -> None:
            raise StorageUnavailable("access is refused")

    borders = replace(make_borders(MemoryRegistry(), Stubborn()), is_dead=lambda owner: False)
    ingestion = submit(borders, run)
    lose_and_sweep(borders)
    assert Runner(borders, "w").work_next()
    ended = borders.registry.ingestion("default", ingestion.id)
    assert ended is not None
    assert ended.state is IngestionState.REGISTERED
    assert check_leftovers(borders, repair=False).state == "trouble"


# Real processes and a real store


@dataclass(frozen=True)
class Bucket:
    """A database at *url*, and a store in a bucket, which this process reaches at *address*."""

    url: str
    root: S3Url
    address: str

    @contextmanager
    def borders(self, owner: str, later: timedelta = timedelta()) -> Iterator[Borders]:
        with Place(self.url, Path("unused")).borders(owner, later) as borders:
            yield replace(borders, store=S3Store(S3Connection(self.address, "us-east-1"), self.root))

    def left(self) -> list[str]:
        """Return the keys of all objects and of all uploads that are under way."""
        client = S3Connection(self.address, "us-east-1").client
        objects = client.list_objects_v2(Bucket=self.root.bucket).get("Contents", [])
        uploads = client.list_multipart_uploads(Bucket=self.root.bucket).get("Uploads", [])
        return sorted(one["Key"] for one in (*objects, *uploads))


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    monkeypatch.setattr(upload, "PART_BYTES", PART)
    monkeypatch.setattr(upload, "MAX_BYTES_UNDER_WAY", PART)
    url = f"sqlite:///{tmp_path}/modelport.db"
    migrate(url)
    return Bucket(url, S3Url(s3.new_bucket(), "kept"), s3.url)


@pytest.fixture
def shards(run: Path) -> Path:
    """A run of a small model and some files of two parts each."""
    for number in range(SHARDS):
        (run / f"shard {number}").write_bytes(random.Random(number).randbytes(SHARD_BYTES))
    return run


def accept(bucket: Bucket, run: Path) -> str:
    with bucket.borders("sender") as borders:
        return submit(borders, run).id


def work(bucket: Bucket, owner: str) -> None:
    """Work as a worker does, whose process goes on: an attempt that it left behind comes to its end."""
    with bucket.borders(owner) as borders:
        Runner(borders, owner).work_off(5)
        assert until(lambda: not abandoned(), 30)


@contextmanager
def struck(bucket: Bucket, blow: signal.Signals, when: int, only_parts: bool = True) -> Iterator[int]:
    """Have a child work and strike it when the request number *when* comes; give how it stands then, by `os.waitpid`.

    Requests count from 1, and with *only_parts* only those that bring a part. A child that is stopped goes on when the block
    ends, and is waited for.
    """
    seen = itertools.count(1)
    with s3_proxy(int(bucket.address.rpartition(":")[2])) as (url, faults):
        is_known, child = threading.Event(), 0

        def hook(number: int, request: Request) -> None:
            if (is_part(request) or not only_parts) and next(seen) == when:
                is_known.wait(10)
                os.kill(child, blow)

        faults.hook = hook
        child = start(partial(work, replace(bucket, address=url), "mortal"))
        is_known.set()
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSIGNALED(status):
            faults.wait_until_quiet()
        yield status
        if os.WIFSTOPPED(status):
            os.kill(child, signal.SIGCONT)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=" in request.query


def finish(bucket: Bucket) -> Faults:
    """Let another worker take over after the lease, and return what it asked of the store."""
    with s3_proxy(int(bucket.address.rpartition(":")[2])) as (url, faults):
        with replace(bucket, address=url).borders("survivor", 1.5 * LEASE) as borders:
            runner = Runner(borders, "survivor")
            runner.sweep()
            runner.work_off(5)
        return faults


def audit(bucket: Bucket, run: Path, ingestion_id: str) -> None:
    """One version of exactly these files, and nothing else in the bucket."""
    files = {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*")}
    with bucket.borders("auditor") as borders:
        ingestion = borders.registry.ingestion("default", ingestion_id)
        assert ingestion is not None
        assert ingestion.state is IngestionState.REGISTERED, ingestion
        (version,) = borders.registry.versions(VersionQuery())
        assert version.id == ingestion.version_id
        digests = {file.path: file.sha256 for file in borders.registry.files(version.id)}
        assert digests == {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
        with borders.store.opened(version.url) as tree:
            assert {entry.path: tree.read(entry.path, 0, entry.size) for entry in tree.files()} == files
        assert [check for check in checks_of(borders) if check.state != "ok"] == []
    prefix = f"kept/default/default/e1/{ingestion.version_id}"
    assert bucket.left() == [f"{prefix}/.complete", *(f"{prefix}/model/{path}" for path in sorted(files))]


def test_what_a_killed_worker_sent_is_not_sent_again(bucket: Bucket, shards: Path) -> None:
    accepted = accept(bucket, shards)
    with struck(bucket, signal.SIGKILL, 3) as status:
        assert os.WTERMSIG(status) == signal.SIGKILL
    again = finish(bucket)
    assert len([request for request in again.requests if is_part(request) and not request.size]) >= 2, "copied"
    assert again.bytes_up < SHARD_BYTES
    audit(bucket, shards, accepted)


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_at_whatever_request_a_worker_dies_or_stands_still_the_next_one_puts_everything_right(
    bucket: Bucket, shards: Path, tmp_path: Path, blow: signal.Signals
) -> None:
    """One that stands still goes on when the next one has done its work, and does no harm."""
    for when in itertools.count(1):
        url = f"sqlite:///{tmp_path}/modelport-{when}.db"
        migrate(url)
        one = replace(bucket, url=url)
        accepted = accept(one, shards)
        with struck(one, blow, when, only_parts=False) as status:
            finish(one)
            audit(one, shards, accepted)
        audit(one, shards, accepted)
        with one.borders("cleaner") as borders:
            for _, url in borders.store.prefixes():
                borders.store.remove(url)
        if os.WIFEXITED(status):
            break
    assert when > 15
