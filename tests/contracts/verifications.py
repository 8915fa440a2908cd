"""The contract of what load checks came to.

A registry joins by subclassing `VerificationsContract` and giving it a fixture `build`, which makes an empty one.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contracts.registry import LATER, NOON, Build, in_threads, register
from worker.ports import Registry
from worker.verification import MAX_BEGUN, Outcome, Verified

GOOD = Verified(Outcome.VERIFIED, '{"outcome": "verified"}', NOON)
BAD = Verified(Outcome.FAILED, '{"outcome": "failed", "odd": "\\u0000\\ud800"}', LATER)
ONNX = ("onnx",)


class VerificationsContract:
    """The laws of what any registry keeps of load checks."""

    @pytest.fixture
    def registry(self, build: Build) -> Registry:
        return build()

    def test_the_last_check_of_a_version_is_kept(self, registry: Registry) -> None:
        version = register(registry).version
        assert registry.verifications.of(version.id) is None
        assert registry.verifications.keep(version.id, GOOD)
        assert registry.verifications.of(version.id) == GOOD
        assert registry.verifications.keep(version.id, BAD)
        assert registry.verifications.of(version.id) == BAD

    def test_of_what_is_not_there_nothing_is_kept(self, registry: Registry) -> None:
        version = register(registry).version
        registry.delete("default", version.id, LATER)
        for id in (version.id, "mo?"):
            assert not registry.verifications.keep(id, GOOD)
            assert registry.verifications.of(id) is None

    def test_a_check_changes_nothing_else(self, registry: Registry) -> None:
        version = register(registry).version
        registry.verifications.keep(version.id, BAD)
        assert registry.version("default", version.id) == version

    def test_what_was_never_checked_is_claimed_newest_first(self, registry: Registry) -> None:
        old = register(registry, "1").version
        new = register(registry, "2", digest="d2").version
        found = [registry.verifications.claim("me", ONNX, NOON, 60.0) for _ in range(3)]
        assert [None if one is None else one.id for one in found] == [new.id, old.id, None]

    def test_what_was_checked_is_not_claimed(self, registry: Registry) -> None:
        registry.verifications.keep(register(registry).version.id, GOOD)
        assert registry.verifications.claim("me", ONNX, NOON, 60.0) is None

    def test_other_formats_and_deleted_versions_are_not_claimed(self, registry: Registry) -> None:
        version = register(registry).version
        assert registry.verifications.claim("me", ("tensorflow_savedmodel",), NOON, 60.0) is None
        registry.delete("default", version.id, LATER)
        assert registry.verifications.claim("me", ONNX, NOON, 60.0) is None

    def test_a_claim_ends_with_its_time_and_is_not_tried_for_ever(self, registry: Registry) -> None:
        version, now = register(registry).version, NOON
        for _ in range(MAX_BEGUN):
            found = registry.verifications.claim("me", ONNX, now, 60.0)
            assert found is not None
            assert found.id == version.id
            assert registry.verifications.claim("me", ONNX, now + timedelta(seconds=59), 60.0) is None
            now += timedelta(seconds=60)
        assert registry.verifications.claim("me", ONNX, now, 60.0) is None
        assert registry.verifications.keep(version.id, GOOD)
        assert registry.verifications.of(version.id) == GOOD

    def test_two_who_ask_at_once_get_two_versions(self, registry: Registry) -> None:
        made = {register(registry, f"{place}", digest=f"d{place}").version.id for place in range(4)}
        found = in_threads(4, lambda place: registry.verifications.claim(f"me {place}", ONNX, NOON, 60.0))
        assert {one.id for one in found if one is not None} == made
