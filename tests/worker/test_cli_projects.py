"""`modelport projects`: a name that changes, and models that stay where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.conftest import json_of
from worker.cli import run


def test_a_renamed_project_keeps_its_models_and_takes_new_ones_by_any_name(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = ("ingest", str(model), "--experiment", "e", "--project")
    first = json_of(capsys, *into, "digits")["version"]
    assert json_of(capsys, "projects", "rename", "digits", "handwriting")["name"] == "handwriting"
    for name in ("digits", "handwriting"):
        again = json_of(capsys, *into, name)
        assert (again["ingestion"]["answer"], again["version"]["id"]) == ("unchanged", first["id"])
        [row] = json_of(capsys, "models", "list", "--project", name)["models"]
        assert (row["projectId"], row["project"], row["url"]) == ("digits", "handwriting", first["url"])
        assert json_of(capsys, "models", "show", "e", "--project", name)["version"]["project"] == "handwriting"
    assert run(["models", "list"]) == 0
    assert "handwriting" in capsys.readouterr().out
    assert [one["id"] for one in json_of(capsys, "projects", "list")["projects"]] == ["digits"]


def test_projects_are_made_and_listed_for_a_team(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["projects", "list"]) == 0
    assert capsys.readouterr().out == "no projects\n"
    assert run(["team", "create", "vision"]) == 0
    assert run(["projects", "create", "digits", "--team", "vision"]) == 0
    assert run(["projects", "rename", "digits", "handwriting", "--team", "vision"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["digits: made", "digits: is called handwriting"]
    assert run(["projects", "list", "--team", "vision"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["ID", "NAME", "CREATED"]
    assert row.split()[:2] == ["digits", "handwriting"]
    assert json_of(capsys, "projects", "list")["projects"] == []


def test_what_cannot_be_done_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["projects", "rename", "nobody", "x"]) == 2
    assert "there is no project 'nobody'; `modelport projects list` shows what is there" in capsys.readouterr().err
    assert run(["projects", "create", "a"]) == 0
    assert run(["projects", "create", "a"]) == 2
    assert "name: a project has or had the name a" in capsys.readouterr().err
