"""Two teams on one server: what one of them sees is byte for byte the same, whether or not the other has anything.

The team `blue` does the same on two servers, with the same clock and the same ids; on one of them the team `red` has models,
versions of the same names, content, projects and tags, uploads, jobs of every kind, deliveries, tokens, and a log of it all.
Then blue asks every address that can be asked, generated from the routes of the app, for what is its own, for what is red's,
and for what nobody has, and tries to change each. Status, headers and bytes are compared.

Failed sign-ins are counted by address, whoever's token was tried, so buckets are left out here (`test_limits.py`); how long an
answer takes is not compared. The telemetry of `/metrics` is no address of this app.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, count, product
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from tests.contracts.registry import OBJECTION, claimed, event
from tests.servers.postgresql import PostgresServer
from tests.worker.api.client import HERE
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import put
from worker.api.app import make_app
from worker.api.limits import Rates
from worker.api.problems import READS
from worker.delivery import LIFE, DeliveryQuery
from worker.ports import Registry
from worker.records import AuditQuery, CompletionEvent, End, IngestionState, NewUpload
from worker.registry.memory import MemoryRegistry
from worker.registry.migrate import migrate
from worker.registry.sql import SqlRegistry
from worker.registry.words import NewId
from worker.teams import create_token

KEY = b"k" * 32

MakeRegistry = Callable[[NewId], Registry]
Answer = tuple[int, Sequence[tuple[bytes, bytes]], bytes]


class Ids:
    """Makes ids that tell who acts and count for each apart: what one team does shifts no id of the other."""

    def __init__(self) -> None:
        self.who = "b"
        self._counts: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(1))

    def __call__(self, prefix: str, chars: int) -> str:
        return f"{prefix}{self.who}{next(self._counts[self.who])}"


@dataclass
class World:
    """A server on which *red* acts or does not; *known* are words of each team that can be asked for."""

    door: Door
    ids: Ids
    has_red: bool
    known: dict[str, list[str]] = field(default_factory=dict)

    def red(self, act: Callable[[], Any]) -> None:
        """Let red *act*, if it is there."""
        if self.has_red:
            self.ids.who = "a"
            act()
            self.ids.who = "b"


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    more: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.more}"


def shelve(world: World, team: str, own: str) -> None:
    """Let *team* have one of each thing; some are called the same in every team, some *own* ones are not."""
    door, registry, now = world.door, world.door.registry, world.door.clock.now()
    registry.create_project(team, "shared project", now, own)
    registry.create_project(team, f"{own} project", now, own)
    registry.rename_project(team, f"{own} project", f"{own} project renamed", now, own)
    same = put(door, "same", {"same.onnx": b"same"}, team)
    again = put(door, "same again", {"same.onnx": b"same"}, team, model_name="same")
    only = put(door, f"only {own}", {f"{own}.onnx": own.encode()}, team)
    for version in (same, only):
        registry.tag(team, version.id, ["shared tag", f"{own} tag"], (), now, own)
    registry.note(team, only.id, f"notes of {own}", now, own)
    held = put(door, f"held {own}", {"held.onnx": own.encode() * 2}, team, objection=OBJECTION)
    let_go = put(door, f"let go {own}", {"held.onnx": own.encode() * 3}, team, objection=OBJECTION)
    registry.release(team, let_go.id, f"released by {own}", now, own)
    gone = put(door, f"gone {own}", {"gone.onnx": b"gone"}, team)
    registry.delete(team, gone.id, now, own)
    upload = registry.begin_upload(NewUpload(team, "shared project", "uploaded", tags=("shared tag",)), now, own)
    waiting, _ = registry.submit(event("waiting", team=team, experiment="queued"), now)
    claimed(registry, "running", team=team)
    failed = claimed(registry, "failed", team=team, experiment=f"{own} experiment")
    registry.finish(failed.id, "me", End(IngestionState.FAILED, "corrupt", f"{own} failed"), now)
    token = create_token(registry, team, own, ("admin",), now, lambda size: own.encode() * (size // len(own)))
    listed = registry.audit(AuditQuery(team)), registry.outbox.deliveries(DeliveryQuery(team))
    world.known[team] = [
        f"only {own}",
        *(
            one.id
            for one in (
                only,
                same,
                again,
                gone,
                held,
                let_go,
                upload,
                waiting,
                failed,
                token.token,
                *(one[1] for one in listed),
            )
        ),
        f"only {own}@1",
        *(f"{own} {what}" for what in ("tag", "project", "project renamed", "experiment")),
        *("same", "shared tag", "shared project", "sha256:same"),
    ]


def world_of(build: MakeRegistry, has_red: bool) -> World:
    """Return a server on which blue has its things, and red before, between and after."""
    ids = Ids()
    registry = build(ids)
    registry.signing_key = lambda: KEY  # type: ignore[method-assign]
    door = Door(registry, rates=Rates(0, 0, 0))
    world = World(door, ids, has_red)
    registry.create_team("blue", door.clock.now())
    world.red(lambda: registry.create_team("red", door.clock.now()))
    world.red(lambda: shelve(world, "red", "aaaa"))
    shelve(world, "blue", "bbbb")
    world.red(lambda: submit_many(world))
    return world


def submit_many(world: World) -> None:
    """Let red wait for many jobs."""
    now = world.door.clock.now()
    events: list[tuple[CompletionEvent, None]] = [(event(f"many {n}", team="red"), None) for n in range(30)]
    world.door.registry.submit_all(events, now)


def app_of(world: World) -> FastAPI:
    """Return the app of a server, made while blue acts."""
    return make_app(world.door.service)


def queries_of(dependant: Dependant) -> Iterator[str]:
    """Yield the names of what an address may ask for behind its `?`."""
    yield from (one.alias for one in dependant.query_params)
    for one in dependant.dependencies:
        yield from queries_of(one)


REQUIRED = {"with": "mob7", "fileName": "m.onnx", "modelHandle": "mob38"}
"""What some routes cannot do without, with a word that is blue's."""

OF_PATHS = {"path": ["same.onnx", "aaaa.onnx"], "team": ["red", "blue"], "digest": ["0"], "name": ["x"]}
"""Words for those parts of paths that are not names of things."""


def bodies_for(path: str, word: str) -> list[dict[str, Any]]:
    """Return bodies that name *word* to the route *path*, in one of the ways that some route takes."""
    if path.startswith("/mlModels/getModelList"):
        wheres: list[dict[str, str]] = [{"id": word}, {"projectId": word}, {"experimentId": word}]
        filters = [{"filter": {"where": {"and": [where]}}, "tagFilter": []} for where in wheres]
        return [{"json": one} for one in (*filters, {"tagFilter": [word]})]
    if path.startswith(("/mlModels/", "/entityTags/")):
        said = {"id": word, "upd": {"name": word}, "entity": "mlModel", "entityId": word, "tags": [word]}
        return [{"json": said | {"name": "uploaded", "projectId": word}}]
    if path in ("/v1/ingestions/retry", "/v1/ingestions/discard"):
        return [{"json": {"experimentId": word}}]
    if path in ("/operations/retry", "/operations/discard"):
        return [{"data": {"state": "failed", "experimentId": word}}]
    if path == "/v1/completions":
        return [{"json": {"id": one, "source": "test", "experimentId": word, "projectId": word}} for one in ("waiting", word)]
    if path == "/v1/rescans":
        return [{"json": {"path": "/runs/mnist", "id": "waiting", "projectId": word, "experimentId": word}}]
    if path == "/v1/uploads":
        return [{"content": b"1", "params": {"fileName": "m", "name": word, "project": word}}]
    if path.startswith("/v1/"):
        return [{"json": {"reason" if path.endswith("/release") else "name": word}}]
    return [{"data": {"name": word, "add": word, "reason": word}}]


WITH_BODY = ("/mlModels/getModelList", "/mlModels/listFiles")
"""Addresses that take a body with GET."""


def requests_of(app: FastAPI, words: Sequence[str]) -> Iterator[Asked]:
    """Yield requests to every route, in which each place that takes a word has each of *words* once."""
    for route in app.routes:
        assert isinstance(route, APIRoute)
        parts, queries = re.findall(r"{(\w+)}", route.path_format), sorted(set(queries_of(route.dependant)))
        needed = {name: word for name, word in REQUIRED.items() if name in queries}
        filled = [dict(zip(parts, one, strict=True)) for one in product(*(OF_PATHS.get(part, words) for part in parts))]
        paths = [route.path_format.format(**one) for one in filled]
        for method in sorted(route.methods or ()):
            takes_body = method not in READS or route.path.startswith(WITH_BODY)
            said = words[:1] if parts else words
            bodies = [one for word in said for one in bodies_for(route.path, word)] if takes_body else [{}]
            yield from (Asked(method, path, {"params": needed} | body) for path in paths for body in bodies)
            asked = product(queries, words) if method == "GET" else ()
            yield from (Asked(method, paths[0], {"params": needed | {query: word}}) for query, word in asked)


def answers(app: FastAPI, secret: str, asked: Sequence[Asked], at_once: int) -> list[Answer]:
    """Return the answers to *asked*, of which so many are asked at once."""

    async def ask_all() -> list[Answer]:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {secret}", "X-Request-ID": "same"}
        async with httpx.AsyncClient(transport=transport, base_url=HERE, headers=headers) as client:

            async def ask(one: Asked) -> Answer:
                answer = await client.request(one.method, one.path, **one.more)
                return answer.status_code, answer.headers.raw, answer.content

            groups = (asked[start : start + at_once] for start in range(0, len(asked), at_once))
            return list(chain.from_iterable([await asyncio.gather(*map(ask, group)) for group in groups]))

    return asyncio.run(ask_all())


def is_end(one: Asked) -> bool:
    """Tell whether a request takes something away, so that it is better asked last."""
    return one.method == "DELETE" or one.path.rstrip("/").lower().endswith(("delete", "deletemodel", "discard"))


def without_dates(answer: Answer) -> Answer:
    """Return *answer* without the date in the cookie that ends a session, which is of the machine's clock."""
    status, headers, content = answer
    return status, [(name, re.sub(rb"expires=[^;]*", b"", value)) for name, value in headers], content


def check_that_nobody_sees_the_other(build: MakeRegistry, most: int = 100) -> None:
    """Ask the same of two servers, about *most* words of each team, and compare every byte."""
    worlds = [world_of(build, has_red) for has_red in (True, False)]
    reds, blues = worlds[0].known["red"], worlds[0].known["blue"]
    words = [*reds[:most], "nobody has this", *blues[1 : most + 1]]
    asked = list(requests_of(app_of(worlds[0]), words))
    looks = [one for one in asked if one.method in READS]
    changes = sorted((one for one in asked if one.method not in READS), key=is_end)
    seen: list[list[Answer]] = []
    for world in worlds:
        secret = create_token(world.door.registry, "blue", "b", ("admin",), world.door.clock.now(), lambda n: b"s" * n).secret
        app = app_of(world)
        first, changed = answers(app, secret, looks, 50), answers(app, secret, changes, 1)
        seen.append([without_dates(one) for one in (*first, *changed, *answers(app, secret, looks, 50))])
    every = (*looks, *changes, *looks)
    different = [f"{one}: {a}\n!= {b}" for one, a, b in zip(every, *seen, strict=True) if a != b]
    assert different == []
    statuses = {answer[0] for answer in seen[0]}
    assert statuses >= {200, 202, 204, 303, 404, 422}
    assert max(statuses) < 500


def in_memory(ids: NewId) -> Registry:
    return MemoryRegistry(ids, destinations={"mlflow": LIFE})


def test_nobody_sees_the_other() -> None:
    check_that_nobody_sees_the_other(in_memory, most=1)


@pytest.mark.slow
def test_nobody_sees_the_other_in_memory() -> None:
    check_that_nobody_sees_the_other(in_memory)


@pytest.mark.slow
def test_nobody_sees_the_other_on_sqlite(migrated: Path, tmp_path: Path) -> None:
    with ExitStack() as opened:
        numbers = count()

        def build(ids: NewId) -> Registry:
            path = shutil.copy(migrated, tmp_path / f"{next(numbers)}.db")
            registry = SqlRegistry(f"sqlite:///{path}", ids, destinations={"mlflow": LIFE})
            opened.callback(registry.close)
            return registry

        check_that_nobody_sees_the_other(build)


@contextmanager
def databases(postgres: PostgresServer) -> Iterator[MakeRegistry]:
    """Opens registries on databases of their own, and drops them in the end."""
    with ExitStack() as opened:
        names = (f"two_teams_{number}" for number in count())

        def build(ids: NewId) -> Registry:
            name = next(names)
            url = postgres.create_database(name)
            opened.callback(postgres.drop_database, name)
            migrate(url)
            registry = SqlRegistry(url, ids, destinations={"mlflow": LIFE})
            opened.callback(registry.close)
            return registry

        yield build


@pytest.mark.slow
def test_nobody_sees_the_other_on_postgresql(postgres: PostgresServer) -> None:
    with databases(postgres) as build:
        check_that_nobody_sees_the_other(build)
