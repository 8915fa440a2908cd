"""The contract of a registry's projects: an id that stays, names that may change, and what follows from that.

A registry joins by subclassing `RegistryContract`, which makes it, and `ProjectsContract`.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.contracts.registry import claimed, event, in_threads, new_version, register
from worker.errors import ConflictingEvent, NameTaken, RejectedEvent
from worker.ports import Registry
from worker.records import Project, VersionQuery

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)


def rename(registry: Registry, name: str, new_name: str, team: str = "default") -> Project:
    renamed = registry.rename_project(team, name, new_name, LATER)
    assert renamed is not None
    return renamed


class ProjectsContract:
    """The laws of any registry's projects."""

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError("the contract of the registry makes one")

    def test_a_project_is_made_once(self, registry: Registry) -> None:
        made = registry.create_project("default", "digits", NOON)
        assert made == Project("default", "digits", "digits", NOON)
        assert registry.create_project("default", "digits", LATER) is None
        assert registry.create_project("other", "digits", LATER) is not None
        assert registry.projects("default") == [made]
        assert registry.project("default", "digits") == made
        assert registry.project("default", "Digits") is None

    def test_an_event_finds_the_project_that_was_made(self, registry: Registry) -> None:
        made = registry.create_project("default", "digits", NOON)
        registry.submit(event(project="digits"), LATER)
        assert registry.projects("default") == [made]

    def test_one_of_many_threads_makes_a_project(self, registry: Registry) -> None:
        made = in_threads(8, lambda number: registry.create_project("default", "digits", NOON))
        assert len([one for one in made if one is not None]) == 1
        in_threads(8, lambda number: registry.submit(event(str(number), project="new"), NOON))
        assert [one.id for one in registry.projects("default")] == ["digits", "new"]

    def test_renaming_changes_the_name_and_not_the_id(self, registry: Registry) -> None:
        registry.submit(event(project="digits"), NOON)
        renamed = rename(registry, "digits", "handwriting")
        assert renamed == Project("default", "digits", "handwriting", NOON)
        assert registry.projects("default") == [renamed]
        assert registry.project("default", "digits") == registry.project("default", "handwriting") == renamed
        assert registry.renamed_projects("default") == {"digits": "handwriting"}
        assert registry.renamed_projects("other") == {}

    def test_who_names_it_by_any_name_means_it(self, registry: Registry) -> None:
        registry.submit(event("1", project="digits"), NOON)
        rename(registry, "digits", "numbers")
        rename(registry, "numbers", "handwriting")
        for number, name in enumerate(["digits", "numbers", "handwriting"], start=2):
            ingestion, _ = registry.submit(event(str(number), project=name), NOON)
            assert ingestion.event.project == "digits"
            assert registry.ingestion("default", ingestion.id) == ingestion
        assert [(one.id, one.name) for one in registry.projects("default")] == [("digits", "handwriting")]

    def test_what_was_there_stays_where_it_is_and_is_unchanged(self, registry: Registry) -> None:
        """The same content of the same experiment, under any name of the project, is the version that is there."""
        first = register(registry, "1", "d1", project="digits").version
        rename(registry, "digits", "handwriting")
        assert registry.version("default", first.id) == first
        for number, name in enumerate(["digits", "handwriting"], start=2):
            again = register(registry, str(number), "d1", project=name)
            assert (again.is_new, again.version.id, again.version.project) == (False, first.id, "digits")
        ingestion = claimed(registry, "new", project="handwriting")
        scope = new_version(ingestion).scope
        listed = registry.same_listing(scope, "listing of " + registry.submit(event("3", project="digits"), NOON)[0].id)
        assert listed is not None
        assert (scope.project, listed.id) == ("digits", first.id)
        assert register(registry, "other content", "d2", project="handwriting").version.number == 2

    def test_a_repeated_event_is_the_same_whatever_the_project_is_called_by_then(self, registry: Registry) -> None:
        registry.submit(event("0", project="digits"), NOON)
        rename(registry, "digits", "numbers")
        by_id, _ = registry.submit(event("by id", project="digits"), NOON)
        by_name, _ = registry.submit(event("by name", project="numbers"), NOON)
        rename(registry, "digits", "handwriting")
        assert registry.submit(event("by id", project="digits"), LATER) == (by_id, True)
        assert registry.submit(event("by name", project="numbers"), LATER) == (by_name, True)
        assert registry.submit(event("by name", project="handwriting"), LATER) == (by_name, True)
        with pytest.raises(ConflictingEvent):
            registry.submit(event("by name", project="another"), LATER)

    def test_a_name_of_another_project_is_refused_now_or_before(self, registry: Registry) -> None:
        for project in ("a", "b"):
            registry.create_project("default", project, NOON)
        rename(registry, "a", "c")
        rename(registry, "a", "d")
        for name in ("a", "c", "d"):
            with pytest.raises(NameTaken, match=f"another project has or had the name {name}; its id is a"):
                registry.rename_project("default", "b", name, LATER)
            assert registry.create_project("default", name, LATER) is None
        assert [(one.id, one.name) for one in registry.projects("default")] == [("b", "b"), ("a", "d")]

    def test_a_project_may_be_called_as_it_was_before(self, registry: Registry) -> None:
        registry.create_project("default", "a", NOON)
        rename(registry, "a", "b")
        assert rename(registry, "b", "a") == Project("default", "a", "a", NOON)
        assert registry.renamed_projects("default") == {}
        assert registry.project("default", "b") == registry.project("default", "a")

    def test_teams_name_their_projects_apart(self, registry: Registry) -> None:
        for team in ("default", "red"):
            registry.create_project(team, "a", NOON)
        rename(registry, "a", "b", team="red")
        assert registry.project("default", "b") is None
        assert registry.submit(event(project="b"), NOON)[0].event.project == "b"
        assert registry.submit(event(project="b", team="red"), NOON)[0].event.project == "a"
        assert registry.rename_project("blue", "a", "c", NOON) is None

    def test_versions_are_found_by_id_and_by_name(self, registry: Registry) -> None:
        version = register(registry, "1", "d1", project="digits").version
        register(registry, "2", "d2", project="other", experiment="e")
        rename(registry, "digits", "handwriting")
        for name in ("digits", "handwriting"):
            assert list(registry.versions(VersionQuery(project=name))) == [version]
            assert list(registry.versions(VersionQuery(project=name, is_latest=True))) == [version]
            assert registry.count(VersionQuery(project=name)) == 1
        for name in ("nobody's", "zero \0", "\udcff"):
            assert list(registry.versions(VersionQuery(project=name))) == []

    def test_of_events_that_came_together_each_finds_its_project(self, registry: Registry) -> None:
        registry.create_project("default", "a", NOON)
        rename(registry, "a", "b")
        said = [("default", "b"), ("default", "new"), ("red", "b"), ("default", "new"), ("default", "a"), ("red", "new")]
        events = [(event(str(number), team=team, project=name), None) for number, (team, name) in enumerate(said)]
        found = [answer[0].event.project for answer in registry.submit_all(events, NOON) if isinstance(answer, tuple)]
        assert found == ["a", "new", "b", "new", "a", "new"]
        assert [one.id for one in registry.projects("default")] == ["a", "new"]
        assert [one.id for one in registry.projects("red")] == ["b", "new"]

    @pytest.mark.parametrize("name", ["", "zero \0", "\udcff", "n" * 10_000])
    def test_a_name_of_a_project_that_cannot_be_kept_is_refused(self, registry: Registry, name: str) -> None:
        registry.create_project("default", "a", NOON)
        with pytest.raises(RejectedEvent, match="the project "):
            registry.create_project("default", name, NOON)
        with pytest.raises(RejectedEvent, match="the project "):
            registry.rename_project("default", "a", name, NOON)

    @pytest.mark.parametrize("seed", range(5))
    def test_what_a_name_means_never_changes(self, registry: Registry, seed: int) -> None:
        """However events name projects, and people make and rename them, in any order."""
        dice, meant = random.Random(seed), dict[str, str]()
        for step in range(40):
            one, other = dice.choices("abcdef", k=2)
            match dice.randrange(3):
                case 0:
                    registry.submit(event(str(step), project=one), NOON)
                case 1:
                    registry.create_project("default", one, NOON)
                case 2:
                    try:
                        renamed = registry.rename_project("default", one, other, NOON)
                        assert renamed is None or renamed.name == other
                    except RejectedEvent:
                        assert meant[other] != meant[one]
            now = {name: found.id for name in "abcdef" if (found := registry.project("default", name)) is not None}
            assert now | meant == now
            meant = now
        shown = [project.name for project in registry.projects("default")]
        assert len(shown) == len(set(shown)), "no two are called alike"
