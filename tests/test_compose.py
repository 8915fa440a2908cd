"""docker-compose.yml, Dockerfile and what lies around them: every name leads somewhere, and the commands work as processes.

The images have not been built yet: the file is held against the schema of the Compose specification, against the program that
reads such files, and against ourselves.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from importlib.resources import files
from pathlib import Path

import click
import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from tests.compose.bare import Stack, running, settings
from tests.compose.file import PATH, ROOT, VARIABLE, Service, services
from tests.compose.way import bring_one_through
from tests.servers.s3 import S3Server
from worker.bootstrap import examine
from worker.cli import app
from worker.settings import PREFIX, Settings, load

TEXT = PATH.read_text(encoding="utf-8")
DOCUMENT = yaml.safe_load(TEXT)
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(
    line.split("==") for line in (ROOT / "deploy" / "constraints.txt").read_text().splitlines() if not line.startswith("#")
)


def takes_compose_files(*call: str) -> bool:
    return shutil.which(call[0]) is not None and subprocess.run([*call, "version"], capture_output=True).returncode == 0


COMPOSE = next((call for call in (("docker", "compose"), ("docker-compose",)) if takes_compose_files(*call)), None)
"""The program that reads compose files, where there is one; neither needs an engine for that."""


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Service]:
    return services(settings(tmp_path))


def problems_of(document: object) -> list[str]:
    """Return what the Compose specification has against *document*; check-jsonschema ships its schema."""
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def test_the_file_follows_the_compose_specification() -> None:
    assert problems_of(DOCUMENT) == []


def test_a_slip_in_the_file_would_be_noticed() -> None:
    slipped = yaml.safe_load(TEXT.replace("    healthcheck:", "    healthchek:", 1))
    assert "healthchek" in problems_of(slipped)[0]


@pytest.mark.skipif(COMPOSE is None, reason="no docker-compose and no docker on this machine; the schema above stands for it")
def test_docker_compose_takes_the_file(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in settings(tmp_path).items()))
    assert COMPOSE is not None
    call = [*COMPOSE, "--file", str(PATH), "--env-file", str(tmp_path / "env"), "config", "--quiet"]
    assert subprocess.run(call).returncode == 0


RECIPE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").partition("## The store on object storage\n")[2]


def test_the_recipe_for_a_store_on_object_storage_follows_the_specification_and_names_services_of_ours() -> None:
    override = yaml.safe_load(RECIPE.partition("```yaml\n")[2].partition("```")[0])
    assert problems_of(override) == []
    assert set(override["services"]) <= set(DOCUMENT["services"])
    gateway, ours = DOCUMENT["services"]["objects"]["environment"], override["services"]["worker"]["environment"]
    assert ours["MODELPORT_S3_ENDPOINT_URL"] == f"http://objects{gateway['VGW_PORT']}"
    assert ours["MODELPORT_STORE_URL"] == "s3://models/kept"
    assert (ours["AWS_ACCESS_KEY_ID"], ours["AWS_SECRET_ACCESS_KEY"]) == (
        gateway["ROOT_ACCESS_KEY"],
        gateway["ROOT_SECRET_KEY"],
    )


def test_the_recipe_for_a_store_on_object_storage_makes_its_bucket(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {
        "MODELPORT_HOME": str(tmp_path / "home"),
        "MODELPORT_STORE_URL": "s3://models/kept",
        "MODELPORT_S3_ENDPOINT_URL": s3.url,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    last = list(examine(told, tmp_path, False))[-1]
    assert (last.name, last.state) == ("store", "trouble")
    assert "there is no such bucket" in last.says
    (script,) = re.findall(r'python -c "(.*)"', RECIPE)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert {check.state for check in examine(told, tmp_path, False)} == {"ok"}


def test_all_parts_are_there() -> None:
    assert set(DOCUMENT["services"]) == {
        "migrate",
        "api",
        "worker",
        "watcher",
        "redis",
        "postgres",
        "objects",
        "flower",
    }


def test_every_service_that_goes_on_has_a_health_check(known: dict[str, Service]) -> None:
    assert [name for name, service in known.items() if not service.health] == ["migrate"]


def test_every_image_is_pinned_to_one_version(known: dict[str, Service]) -> None:
    images = [service.image for service in known.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in images:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-\w+)?", image), image
    assert {service.image for service in known.values() if service.is_ours} == {f"modelport:{PROJECT['version']}"}


def test_every_setting_is_one_of_ours_and_has_a_good_value(known: dict[str, Service], tmp_path: Path) -> None:
    for service in (one for one in known.values() if one.is_ours):
        ours = {name: value for name, value in service.environment.items() if name.startswith(PREFIX)}
        assert {name.removeprefix(PREFIX).lower() for name in ours} <= set(Settings.model_fields)
        loaded = load(ours, tmp_path)
        assert str(loaded.home) in service.volumes
        assert loaded.store_folder.is_relative_to(loaded.home)
        assert loaded.roots is not None
        bases = {root.removesuffix("/{team}") for root in loaded.roots}
        assert bases <= set(service.volumes), "a model may lie only where something is mounted"
        assert not bases & set(loaded.roots), "a team reaches its own folders alone"
        for mount in loaded.places().mounts:
            assert any(mount.at.startswith(root) for root in loaded.roots)


def test_every_command_is_one_of_ours_with_options_that_it_has(known: dict[str, Service]) -> None:
    for service in (one for one in known.values() if one.is_ours):
        for words in filter(None, (service.command, service.health)):
            if words[0] == "modelport":
                check_command(words[1:])
            else:
                assert words[0] in ("python", "celery")


def check_command(words: tuple[str, ...]) -> None:
    """Parse *words* as the command line does, without running them."""
    command = app.commands[words[0]]
    rest = list(words[1:])
    while (inner := getattr(command, "commands", {}).get(rest[0] if rest else None)) is not None:
        command, rest = inner, rest[1:]
    command.make_context(words[0], rest, parent=click.Context(app, **app.context_settings))


def test_the_command_of_the_image_is_one_of_ours() -> None:
    found = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    program, *words = json.loads(found[1])
    assert program == "modelport"
    check_command(tuple(words))


def test_what_is_mounted_from_the_project_is_there(known: dict[str, Service]) -> None:
    for service in known.values():
        for what in service.volumes.values():
            if what.startswith("./"):
                assert (ROOT / what).is_file(), what
            elif "/" not in what:
                assert what in DOCUMENT["volumes"]


def test_what_the_image_is_made_of_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY ((?!--from).+)$", DOCKERFILE, re.MULTILINE):
        for source in shlex.split(line)[:-1]:
            assert (ROOT / source).exists(), source
            assert source in kept, source
    assert {extra for extra in ("postgresql", "flower", "yaml") if extra in DOCKERFILE} <= set(PROJECT["optional-dependencies"])


def test_nothing_runs_as_root_in_the_image() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["modelport"]


def test_what_the_image_installs_is_pinned_and_what_the_project_wants() -> None:
    extras = PROJECT["optional-dependencies"]
    direct = [Requirement(one) for one in PROJECT["dependencies"] + extras["postgresql"] + extras["flower"] + extras["yaml"]]
    for one in direct:
        assert one.specifier.contains(PINNED[canonicalize_name(one.name)]), str(one)
    (version,) = set(re.findall(r"^FROM python:([0-9.]+)-slim", DOCKERFILE, re.MULTILINE))
    image = {"extra": "", "python_full_version": version, "python_version": version.rpartition(".")[0]}
    for name in PINNED:
        for one in map(Requirement, requires(name) or ()):
            if one.marker is None or one.marker.evaluate(image):
                assert canonicalize_name(one.name) in PINNED, f"{name} needs {one}"


def test_only_the_api_and_flower_are_published_and_only_to_this_machine(known: dict[str, Service]) -> None:
    assert {name for name, service in known.items() if service.ports} == {"api", "flower"}
    for service in known.values():
        assert all(port.startswith("127.0.0.1:") for port in service.ports)
    for name in ("redis", "postgres", "objects"):
        assert DOCUMENT["services"][name]["networks"] == ["back"]
    assert DOCUMENT["networks"]["back"] == {"internal": True}


def test_every_secret_comes_from_outside_and_is_insisted_on(tmp_path: Path) -> None:
    secrets = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "OBJECTS_SECRET_KEY", "FLOWER_PASSWORD"}
    insisted = {found["name"] for found in VARIABLE.finditer(TEXT) if found["how"] == "?"}
    assert insisted == secrets
    for missing in secrets:
        with pytest.raises(KeyError, match=missing):
            services({name: value for name, value in settings(tmp_path).items() if name != missing})


def test_the_example_of_the_variables_has_each_of_them_and_no_secret() -> None:
    example = dict(
        line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
    )
    assert example.pop("COMPOSE_PROJECT_NAME") == "modelport"
    assert set(example) == {found["name"] for found in VARIABLE.finditer(TEXT) if found["name"]}
    for found in VARIABLE.finditer(TEXT):
        if found["name"]:
            assert example[found["name"]] == ("" if found["how"] == "?" else found["word"])
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services that have a program on this machine, as processes, below a folder that PostgreSQL's user may pass."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="modelport-compose-") as folder, running(Path(folder)) as stack:
        yield stack


@pytest.mark.slow
def test_the_commands_of_the_file_bring_a_completion_through(stack: Stack) -> None:
    """Redis, PostgreSQL, API, Celery worker, watcher and Flower, each with its own command, environment and health check."""
    assert set(stack.running) == {"redis", "api", "worker", "watcher", "flower"}
    assert stack.left_out == ["objects"]
    assert bring_one_through(stack, "e1") == "registered"
    for name, service in stack.running.items():
        said = service.log.read_text(errors="replace")
        assert "Traceback" not in said, name
        assert "NOPERM" not in said, name


@pytest.mark.slow
def test_redis_serves_its_one_user_and_lets_nobody_steer_it(stack: Stack) -> None:
    port = stack.place.ports["redis"]
    password = stack.services["redis"].environment["REDISCLI_AUTH"]
    with Redis(port=port, protocol=2) as stranger, pytest.raises(RedisError, match="Authentication required"):
        stranger.ping()
    with Redis(port=port, username="modelport", password=password) as user:
        assert user.ping()
        for forbidden in ("FLUSHALL", "KEYS *", "CONFIG GET *", "SHUTDOWN", "ACL LIST", "DEBUG JMAP"):
            with pytest.raises(NoPermissionError):
                user.execute_command(*forbidden.split())
        assert user.info("persistence")["aof_enabled"] == 1


@pytest.mark.slow
def test_flower_asks_who_is_there(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.place.ports['flower']}/workers"
    assert httpx.get(url).status_code == 401
    name, password = stack.services["flower"].environment["FLOWER_BASIC_AUTH"].split(":")
    assert httpx.get(url, auth=(name, password)).status_code == 200


@pytest.mark.slow
def test_the_api_serves_nobody_without_a_token(stack: Stack) -> None:
    stack.ours("modelport", "token", "create", "any", "--scope", "model:read")
    assert httpx.get(f"{stack.url}/v1/ingestions").status_code == 401


@pytest.mark.slow
def test_compose_bare_says_how_it_went() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.compose"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "healthy: postgres, redis, api, worker, watcher, flower",
        "left out, because their program is not on this machine: objects",
        "the completion of e1 ended as registered",
        "all ended",
    ]
