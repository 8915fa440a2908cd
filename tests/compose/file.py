"""docker-compose.yml as plain values: variables filled in, and each service with what a process needs to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PATH = ROOT / "docker-compose.yml"

VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<word>[^}]*))?\}")
"""`${NAME:-default}`, `${NAME:?what is missing}` and `$$`, which is a dollar. Source: Compose, "Interpolation"."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service: *command* and *health* in words; *volumes* lead from paths in the container to what is mounted there."""

    name: str
    image: str
    is_ours: bool
    command: tuple[str, ...]
    environment: Mapping[str, str]
    volumes: Mapping[str, str]
    health: tuple[str, ...]
    after: Mapping[str, str]
    ports: tuple[str, ...]


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Return the services in an order in which they can be started.

    Raises:
        KeyError: a variable that the file insists on is not given.
    """
    document = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    found = {name: _service(name, filled(one, variables)) for name, one in document["services"].items()}
    ordered: dict[str, Service] = {}
    while found:
        ready = [name for name, one in found.items() if set(one.after) <= set(ordered)]
        ordered |= {name: found.pop(name) for name in ready}
    return ordered


def filled(value: Any, variables: Mapping[str, str]) -> Any:
    """Return *value* with the variables in all its texts filled in."""
    if isinstance(value, dict):
        return {key: filled(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, variables) for one in value]
    return VARIABLE.sub(lambda found: _meant(found, variables), value) if isinstance(value, str) else value


def _meant(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    return variables.get(found["name"]) or found["word"] if found["how"] == "-" else variables[found["name"]]


def _service(name: str, one: Mapping[str, Any]) -> Service:
    check = one["healthcheck"]["test"] if "healthcheck" in one else []
    return Service(
        name=name,
        image=one["image"],
        is_ours="build" in one,
        command=tuple(one.get("command", ())),
        environment=one.get("environment", {}),
        volumes={where: what for what, where, *_ in (volume.split(":") for volume in one.get("volumes", ()))},
        health=("sh", "-c", check[1]) if check and check[0] == "CMD-SHELL" else tuple(check[1:]),
        after={name: how["condition"] for name, how in one.get("depends_on", {}).items()},
        ports=tuple(one.get("ports", ())),
    )
