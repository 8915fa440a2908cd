"""Doors with somebody before them who has a browser."""

from __future__ import annotations

import pytest

from tests.worker.api.conftest import Door
from tests.worker.api.web.visitor import Visitor
from worker.api.app import make_app
from worker.registry.memory import MemoryRegistry


@pytest.fixture
def room() -> Door:
    """A door in memory, which other machines reach."""
    return Door(MemoryRegistry())


@pytest.fixture
def visitor(room: Door) -> Visitor:
    """Somebody who has not signed in."""
    return Visitor(make_app(room.service))


@pytest.fixture
def reader(room: Door, visitor: Visitor) -> Visitor:
    """Somebody who signed in with a token that may read."""
    assert visitor.sign_in(room.token("model:read")).status_code == 303
    return visitor
