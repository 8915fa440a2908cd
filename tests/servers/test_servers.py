"""The servers of tests keep their data over a kill, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from amqp import Connection, Message
from psycopg import sql
from redis import Redis

from tests.servers import postgresql, rabbitmq, redis
from tests.servers.postgresql import PostgresServer, first_usable, of_wheel, postgres_server
from tests.servers.process import NoServer, children, is_running
from tests.servers.rabbitmq import rabbitmq_server, skip_without_rabbitmq
from tests.servers.redis import RedisServer, redis_of_wheel, redis_server

ROOT = Path(__file__).parents[2]


def mentioning(folder: Path) -> list[str]:
    """Return the command lines of running processes that name *folder*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace").replace("\0", " "))
        except OSError:
            continue
    return [line for line in found if str(folder) in line]


def test_redis_keeps_what_it_answered_over_a_kill(server_folder: Path) -> None:
    with redis_server(server_folder) as server, Redis.from_url(server.url) as client:
        client.set("key", "value")
        server.kill()
        server.start()
        assert client.get("key") == b"value"
        server.flush()
        assert client.get("key") is None


def test_postgresql_keeps_what_it_answered_over_a_kill(server_folder: Path) -> None:
    with postgres_server(server_folder) as server:
        server.create_database("kept")
        with psycopg.connect(server.url("kept", scheme="postgresql")) as connection:
            connection.execute("CREATE TABLE kept (number integer)")
        server.kill()
        assert not server.answers()
        server.start()
        with psycopg.connect(server.url("kept", scheme="postgresql")) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_no_process_outlives_redis(server_folder: Path) -> None:
    with redis_server(server_folder) as server:
        pid = server.pid
        assert is_running(pid)
    assert not is_running(pid)


@pytest.mark.parametrize("end", [PostgresServer.stop, PostgresServer.kill])
def test_no_process_outlives_postgresql(server_folder: Path, end: Callable[[PostgresServer], None]) -> None:
    with postgres_server(server_folder) as server:
        family = [server.pid, *children(server.pid)]
        assert len(family) > 3
        assert mentioning(server_folder) != []
        end(server)
        assert not any(map(is_running, family))
    assert mentioning(server_folder) == []


TESTS_THAT_USE_BOTH = """
pytest_plugins = ("tests.servers.fixtures",)

def test_passes(redis, postgres):
    assert redis.answers() and postgres.answers()

def test_fails(redis, postgres):
    raise ZeroDivisionError
"""


def test_a_run_of_tests_leaves_no_process_and_no_file(server_folder: Path) -> None:
    server_folder.chmod(0o711)
    temporary = server_folder / "tmp"
    temporary.mkdir(0o711)
    tests = server_folder / "test_both.py"
    tests.write_text(TESTS_THAT_USE_BOTH)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), str(tests)]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, cwd=server_folder, env=environment, capture_output=True, text=True, timeout=120)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert list(temporary.iterdir()) == []
    assert mentioning(server_folder) == []


def test_a_test_that_fails_leaves_no_server(server_folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), postgres_server(server_folder):
        raise ZeroDivisionError
    assert mentioning(server_folder) == []


def test_the_wheels_are_enough(server_folder: Path, redis: RedisServer) -> None:
    """A machine without servers of its own, as any user."""
    with postgres_server(server_folder, first_usable(of_wheel())) as server:
        server.execute(sql.SQL("SELECT 1"))
    (server_folder / "redis").mkdir()
    with redis_server(server_folder / "redis", redis_of_wheel()) as other:
        assert other.answers()
        assert other.port != redis.port


def test_postgresql_does_not_run_as_root(postgres: PostgresServer) -> None:
    owner = Path(f"/proc/{postgres.pid}").stat().st_uid
    assert owner != 0
    assert os.geteuid() in (0, owner)


def test_a_machine_without_postgresql_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for source in ("debians", "of_wheel"):
        monkeypatch.setattr(postgresql, source, list)
    with pytest.raises(NoServer, match=r"install Debian's postgresql, or `pip install modelport\[test\]`"):
        postgresql.find_postgres()


def test_a_machine_without_redis_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(redis.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoServer, match=r"install Debian's redis-server, or `pip install modelport\[test\]`"):
        redis.find_redis()


def test_a_server_that_does_not_start_says_why(server_folder: Path) -> None:
    with pytest.raises(NoServer, match="no_such_setting"), postgres_server(server_folder, settings=("no_such_setting=1",)):
        pass


@pytest.mark.slow
def test_rabbitmq_keeps_what_it_confirmed_over_a_kill_and_leaves_no_process(server_folder: Path) -> None:
    skip_without_rabbitmq()
    with rabbitmq_server(server_folder) as server:
        with Connection(f"127.0.0.1:{server.port}", confirm_publish=True) as connection:
            channel = connection.channel()
            channel.queue_declare(queue="kept", durable=True, auto_delete=False)
            channel.basic_publish(Message("value", delivery_mode=2), routing_key="kept")
        server.kill()
        assert not server.answers()
        server.start()
        with Connection(f"127.0.0.1:{server.port}") as connection:
            assert connection.channel().basic_get("kept").body == "value"
    assert mentioning(server_folder) == []


def test_a_machine_without_rabbitmq_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "DEBIANS", Path("/nowhere"))
    with pytest.raises(NoServer, match="install Debian's rabbitmq-server"):
        rabbitmq.find_rabbitmq()
