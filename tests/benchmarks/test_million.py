"""The generator of a registry of many versions."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.bench_lists import ASKED
from benchmarks.million import METRICS, TEAM, fill, generated
from worker.ordering import parse_order
from worker.records import Attention, VersionQuery
from worker.registry.sql import SqlRegistry


def test_each_run_makes_the_same_rows() -> None:
    assert list(generated(500)) == list(generated(500))


def test_what_is_searched_for_is_found_as_often_as_it_says(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    fill(url, 4_000)
    registry = SqlRegistry(url)
    found: dict[str, list[int]] = {}
    for kind in ("search, often found", "search, found once", "search, not found", "search for a digest"):
        texts = [parse_qs(urlsplit(ASKED[kind](number)).query)["q"][0] for number in range(40)]
        is_latest = "/models" in ASKED[kind](0)
        found[kind] = [registry.count(VersionQuery(TEAM, text=text, is_latest=is_latest)) for text in texts]
    registry.close()
    assert min(found["search, often found"]) > 1
    assert set(found["search, not found"]) == {0}
    for kind in ("search, found once", "search for a digest"):
        assert set(found[kind]) <= {0, 1}
        assert sum(found[kind]) > 30, "some models have no version yet, and every tenth is another team's"


def test_a_filled_registry_is_one_that_lists(tmp_path: Path) -> None:
    """Tallies, latest versions and headline values are those that registering would have written."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    fill(url, 2_000)
    registry = SqlRegistry(url)
    every, latest = VersionQuery(TEAM, limit=5_000), VersionQuery(TEAM, limit=5_000, is_latest=True)
    versions, models = registry.versions(every), registry.versions(latest)
    assert 1_500 < len(versions) == registry.count(every) == registry.overview(TEAM).versions
    assert len(models) == registry.count(latest) == registry.overview(TEAM).models
    highest = {version.model_name: version.number for version in sorted(versions, key=lambda version: version.number)}
    assert {version.model_name: version.number for version in models} == highest
    for attention in Attention:
        assert len(registry.versions(VersionQuery(TEAM, attention=attention, limit=5_000))) == registry.count(
            VersionQuery(TEAM, attention=attention)
        )
    best = registry.versions(VersionQuery(TEAM, order=parse_order(f"-metric:{METRICS[0]}"), limit=50))
    values = []
    for version in best:
        metrics = registry.metrics(version.id)
        assert metrics is not None
        values += [metric.value for metric in metrics.values if metric.name == METRICS[0]]
    assert values == sorted(values, reverse=True)
    assert registry.delete(TEAM, models[0].id, versions[0].created) is not None
    registry.close()
