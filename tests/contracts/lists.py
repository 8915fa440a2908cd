"""The contract suite of a registry's lists: orders, pages, filters, counts, and what other teams may read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.facts import Finding, Metric, ModelType, Severity
from tests.contracts.registry import LATER, Build, claimed, judged, new_version, register
from worker.ports import Registry
from worker.records import Attention, ModelVersion, NewVersion, Order, Overview, SortKey, VersionQuery
from worker.wholeness import Wholeness

ORDERS = [
    Order(by, "accuracy" if by is SortKey.METRIC else None, is_descending) for by in SortKey for is_descending in (False, True)
]

VALUES = (None, 0.5, 0.25, 0.5, -1.0, math.nan, math.inf, 1e300, 0.0)

SERIOUS = (Finding("tf-file-write", Severity.CRITICAL, "a", "node w", "writes"),)
HARMLESS = (Finding("note", Severity.LOW, "a", "", "is odd"),)


def measured(**values: float) -> tuple[Metric, ...]:
    """Return metrics of the session `eval`, by name."""
    return tuple(Metric(name, value, 1, "eval", "eval/events", None) for name, value in values.items())


def keep(registry: Registry, number: int, changes: dict[str, Any] | None = None, **event: Any) -> ModelVersion:
    """Return a new version, registered for an event of its own; *changes* are of what the scanner saw."""
    ingestion = claimed(registry, f"run-{number}", **event)
    version: NewVersion = replace(new_version(ingestion, f"d{number}"), **(changes or {}))
    registration = registry.register(ingestion.id, "me", version, LATER)
    assert registration is not None
    return registration.version


def fill(registry: Registry) -> list[ModelVersion]:
    """Register versions that differ in all that lists go by, in two teams, and delete one."""
    for number in range(18):
        value = VALUES[number % len(VALUES)]
        changes = {
            "size_bytes": number * 7 % 5,
            "model_type": ModelType.ONNX if number % 3 else ModelType.CUSTOM,
            "metrics": () if value is None else measured(accuracy=value, loss=1.0),
            "completeness": "complete" if number % 4 else "incomplete",
        }
        kept = keep(registry, number, changes, project="pq"[number % 2], name=f"{'aBc'[number % 3]}{number % 2}")
        registry.tag("default", kept.id, ["even"] * (number % 2 == 0) + ["third"] * (number % 3 == 0), [])
    registry.delete("default", registry.versions(VersionQuery())[4].id, LATER)
    keep(registry, 99, team="other")
    return list(registry.versions(VersionQuery()))


def paged(registry: Registry, query: VersionQuery, size: int) -> Iterator[list[str]]:
    """Yield the ids of one page after the other, until one is not full."""
    after = None
    while True:
        page = [version.id for version in registry.versions(replace(query, limit=size, after=after))]
        yield page
        if len(page) < size:
            return
        after = page[-1]


queries = st.builds(
    VersionQuery,
    order=st.sampled_from(ORDERS),
    project=st.sampled_from([None, None, "p"]),
    model_type=st.sampled_from([None, None, ModelType.ONNX]),
    tags=st.sampled_from([(), (), ("even",), ("even", "third")]),
    text=st.sampled_from([None, None, "b", "1", ""]),
    attention=st.sampled_from([None, None, Attention.INCOMPLETE]),
    is_latest=st.booleans(),
)


class ListsContract:
    """The laws of any registry's lists."""

    @pytest.fixture
    def registry(self, build: Build) -> Registry:
        return build()

    def test_pages_put_together_are_the_list(self, registry: Registry) -> None:
        fill(registry)

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        @given(queries, st.integers(1, 7))
        def check(query: VersionQuery, size: int) -> None:
            whole = [version.id for version in registry.versions(replace(query, limit=1000))]
            assert [id for page in paged(registry, query, size) for id in page] == whole
            assert len(set(whole)) == len(whole) == registry.count(query)

        check()

    @pytest.mark.parametrize("order", ORDERS)
    def test_a_page_begins_behind_a_version_that_was_deleted_since(self, registry: Registry, order: Order) -> None:
        fill(registry)
        query = VersionQuery(order=order)
        whole = [version.id for version in registry.versions(query)]
        found = []
        for page in paged(registry, query, 4):
            found += page
            for gone in page[-2:]:
                registry.delete("default", gone, LATER)
        assert found == whole

    @pytest.mark.parametrize("order", ORDERS)
    def test_a_list_is_in_its_order(self, registry: Registry, order: Order) -> None:
        """The order of registration is that of the numbers in the digests."""
        fill(registry)
        found = [(version, registry.metrics(version.id)) for version in registry.versions(VersionQuery(order=order))]
        numbers = [int(version.digest[1:]) for version, _ in found]
        if order.by is not SortKey.METRIC:
            keys: dict[SortKey, list[Any]] = {
                SortKey.CREATED: numbers,
                SortKey.NAME: [(version.model_name.lower(), n) for (version, _), n in zip(found, numbers, strict=True)],
                SortKey.SIZE: [(version.size_bytes, n) for (version, _), n in zip(found, numbers, strict=True)],
            }
            assert keys[order.by] == sorted(keys[order.by], reverse=order.is_descending)
            return
        values = [VALUES[number % len(VALUES)] for number in numbers]
        has_value = [value is not None and math.isfinite(value) for value in values]
        assert has_value == sorted(has_value, reverse=True)
        first = [(value, n) for value, n, has in zip(values, numbers, has_value, strict=True) if has]
        assert first == sorted(first, reverse=order.is_descending)
        last = numbers[len(first) :]
        assert last == sorted(last, reverse=True)

    def test_the_value_of_a_metric_is_the_last_of_the_session_that_speaks_for_the_run(self, registry: Registry) -> None:
        def of(session: str, value: float) -> Metric:
            return Metric("accuracy", value, 1, session, "events", None)

        train_only = keep(registry, 1, {"metrics": (of("train", 0.4), of("other", 0.9))})
        evaluated = keep(registry, 2, {"metrics": (of("eval", 0.9), of("train", 0.1), of("eval", 0.3))})
        diverged = keep(registry, 3, {"metrics": (of("eval", math.nan), of("train", 0.2), of("eval", 2**70))})
        order = Order(SortKey.METRIC, "accuracy")
        found = [version.id for version in registry.versions(VersionQuery(order=order))]
        assert found == [diverged.id, evaluated.id, train_only.id]

    def test_another_look_at_equal_content_gives_other_values_and_reasons(self, registry: Registry) -> None:
        keep(registry, 1, {"metrics": measured(accuracy=0.5)}, name="a")
        keep(registry, 2, {"metrics": measured(accuracy=0.7), "findings": SERIOUS}, name="b")
        again = claimed(registry, "again")
        seen = replace(new_version(again, "d1"), metrics=measured(accuracy=0.9), findings=SERIOUS, completeness="corrupt")
        registry.register(again.id, "me", seen, LATER)
        best = VersionQuery(order=Order(SortKey.METRIC, "accuracy", is_descending=True))
        assert [version.model_name for version in registry.versions(best)] == ["a", "b"]
        assert registry.overview("default").attention[Attention.INCOMPLETE] == 1
        assert registry.count(VersionQuery(attention=Attention.FINDINGS)) == 2

    @pytest.mark.parametrize(
        ("seen", "reasons"),
        [
            ({"findings": HARMLESS}, set()),
            ({"findings": SERIOUS, "verdict": "findings"}, {Attention.FINDINGS}),
            ({"completeness": "incomplete", "verdict": "findings", "findings": ()}, {Attention.INCOMPLETE}),
            ({"completeness": "corrupt", "findings": SERIOUS}, {Attention.INCOMPLETE, Attention.FINDINGS}),
            ({"verdict": "inconclusive", "findings": ()}, {Attention.NOT_FULLY_READ}),
        ],
    )
    def test_a_reason_to_look_is_one_that_its_word_says(
        self, registry: Registry, seen: dict[str, Any], reasons: set[Attention]
    ) -> None:
        keep(registry, 1, seen)
        wanted = reasons | {Attention.NEEDS_LOOK} if reasons else set()
        found = {word for word in Attention if registry.versions(VersionQuery(attention=word))}
        counted = {word for word in Attention if registry.count(VersionQuery(attention=word, is_latest=True))}
        assert found == counted == wanted
        assert registry.overview("default") == Overview(1, 1, {word: int(word in wanted) for word in Attention})

    def test_an_overview_counts_models_by_their_latest_living_version(self, registry: Registry) -> None:
        incomplete = {"completeness": "incomplete", "findings": ()}
        keep(registry, 1, incomplete, name="a")
        keep(registry, 2, {"findings": ()}, name="a")
        keep(registry, 3, incomplete, name="b")
        keep(registry, 4, {"findings": ()}, name="c", team="other")
        assert [registry.overview(team).models for team in ("default", "other", "nobody")] == [2, 1, 0]
        assert registry.overview("default").attention[Attention.INCOMPLETE] == 1
        registry.delete("default", registry.named("default", "a")[0].id, LATER)
        told = registry.overview("default")
        assert (told.models, told.versions, told.attention[Attention.INCOMPLETE]) == (2, 2, 2)
        registry.delete("default", registry.named("default", "a")[0].id, LATER)
        assert (registry.overview("default").models, registry.overview("default").versions) == (1, 1)
        assert [version.model_name for version in registry.versions(VersionQuery(is_latest=True))] == ["b"]

    def test_a_list_tells_how_whole_the_primary_model_is_without_the_report(self, registry: Registry) -> None:
        version = keep(registry, 1, {"wholeness": Wholeness.NOT_CHECKED})
        keep(registry, 2, {})
        brief = registry.versions(VersionQuery(is_brief=True))
        assert [one.wholeness for one in brief] == [None, Wholeness.NOT_CHECKED]
        assert version.wholeness is Wholeness.NOT_CHECKED
        seen = replace(new_version(claimed(registry, "again"), "d1"), wholeness=Wholeness.COMPLETE)
        assert registry.care.judge(version, judged(seen), LATER)
        assert registry.versions(VersionQuery(is_brief=True))[1].wholeness is Wholeness.COMPLETE

    def test_every_tag_must_be_there(self, registry: Registry) -> None:
        first, second = (keep(registry, number) for number in (1, 2))
        registry.tag("default", first.id, ["a", "b"], [])
        registry.tag("default", second.id, ["a"], [])
        found = {tags: registry.count(VersionQuery(tags=tags)) for tags in ((), ("a",), ("a", "b"), ("a", "c"))}
        assert found == {(): 2, ("a",): 2, ("a", "b"): 1, ("a", "c"): 0}
        assert registry.count(VersionQuery(tag="b", tags=("a",))) == 1

    def test_a_search_finds_a_digest_by_its_beginning_and_a_version_by_its_id(self, registry: Registry) -> None:
        digest = "sha256:" + "9f2c41d7" * 8
        version = keep(registry, 1, {"digest": digest})
        keep(registry, 2)
        for text in (digest, digest[:15], "9f2c41d7", "9F2C41D79f", digest[7:], version.id, f" {digest[:20]} "):
            assert [one.id for one in registry.versions(VersionQuery(text=text))] == [version.id], text
        for text in ("9f2c41d", "9f2c41d8", "f2c41d79", version.id[:-1], "sha256:9f2c41d", digest + "0"):
            assert registry.count(VersionQuery(text=text)) == 0, text
        assert registry.count(VersionQuery("other", text=version.id)) == 0

    def test_a_search_follows_a_new_name(self, registry: Registry) -> None:
        version = keep(registry, 1, experiment="run", name="before")
        registry.rename("default", version.id, "Afterwards", LATER)
        found = {text: registry.count(VersionQuery(text=text)) for text in ("before", "TERWARD", "af", "s", "run", "srun")}
        assert found == {"before": 0, "TERWARD": 1, "af": 1, "s": 1, "run": 1, "srun": 0}
        assert registry.count(VersionQuery(name="Afterwards")) == 1

    # What a team lets others read

    def test_what_is_not_published_is_read_by_its_team_alone(self, registry: Registry) -> None:
        version = keep(registry, 1)
        assert registry.readable("default", version.id) == version
        assert registry.readable("other", version.id) is None
        assert not version.is_published
        assert list(registry.versions(VersionQuery("other", is_published=True))) == []

    def test_what_is_published_is_read_by_all_teams_and_changed_by_none_of_them(self, registry: Registry) -> None:
        first = keep(registry, 1, name="m")
        theirs = keep(registry, 3, team="other")
        published = registry.publish("default", first.id, True, LATER)
        assert published == replace(first, is_published=True)
        second = keep(registry, 2, name="m")
        assert second.is_published
        assert registry.readable("other", first.id) == published
        assert registry.readable("other", second.id) == second
        every = VersionQuery("other", is_published=True)
        assert [version.id for version in registry.versions(every)] == [second.id, first.id]
        assert [version.id for version in registry.versions(replace(every, limit=1, after=second.id))] == [first.id]
        assert [version.id for version in registry.versions(replace(every, is_latest=True))] == [second.id]
        assert registry.count(every) == 2
        assert list(registry.versions(VersionQuery("other"))) == [theirs]
        assert registry.count(VersionQuery("other")) == registry.overview("other").versions == 1
        assert registry.version("other", first.id) is None
        assert registry.publish("other", first.id, False, LATER) is None
        assert registry.delete("other", first.id, LATER) is None
        assert list(registry.named("other", "m")) == []

    def test_what_is_withdrawn_or_deleted_is_read_by_no_other_team(self, registry: Registry) -> None:
        first, second = (register(registry, f"run-{number}", f"d{number}", name="m").version for number in (1, 2))
        registry.publish("default", first.id, True, LATER)
        registry.delete("default", second.id, LATER)
        assert registry.readable("other", second.id) is None
        assert [one.id for one in registry.versions(VersionQuery("other", is_published=True))] == [first.id]
        registry.publish("default", first.id, False, LATER)
        assert registry.readable("other", first.id) is None
        assert registry.count(VersionQuery("other", is_published=True)) == 0
        assert registry.publish("default", second.id, True, LATER) is None
