"""Sorting, filtering and publishing on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.conftest import json_of
from worker import cli
from worker.cli import run
from worker.records import Attention

pytestmark = pytest.mark.usefixtures("home")


def test_the_words_for_a_look_are_those_of_the_registry() -> None:
    assert tuple(Attention) == cli.STATES


def test_lists_are_sorted_filtered_and_found_by_digest(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("b", "a")
    ids = {name: json_of(capsys, "ingest", model, "--name", name, "--experiment", name)["version"]["id"] for name in names}

    def listed(*options: str) -> list[str]:
        return [row["name"] for row in json_of(capsys, "models", "list", *options)["models"]]

    assert listed() == ["a", "b"]
    assert listed("--sort", "-name") == ["b", "a"]
    assert listed("--sort", "metric:accuracy") == ["a", "b"]
    assert listed("--state", "incomplete") == []
    assert listed("-q", ids["b"]) == ["b"]
    digest = json_of(capsys, "models", "show", "b")["version"]["digest"]
    assert listed("-q", digest[:20]) == ["a", "b"]
    assert run(["models", "list", "--sort", "age"]) == 2
    assert "sort: expected created, name, size or metric:NAME" in capsys.readouterr().err
    assert run(["models", "list", "--state", "bad"]) == 4


def test_a_published_model_is_shown_to_another_team(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "team", "create", "red")
    id = json_of(capsys, "ingest", model, "--name", "shared")["version"]["id"]
    assert run(["models", "show", id, "--team", "red"]) == 2
    assert json_of(capsys, "models", "publish", "shared")["version"]["published"]
    capsys.readouterr()
    assert json_of(capsys, "models", "show", id, "--team", "red")["version"]["id"] == id
    assert [row["id"] for row in json_of(capsys, "models", "list", "--published", "--team", "red")["models"]] == [id]
    assert json_of(capsys, "models", "list", "--team", "red")["models"] == []
    json_of(capsys, "models", "download", id, "--to", tmp_path / "copy", "--team", "red")
    assert run(["models", "delete", id, "--yes", "--team", "red"]) == 2
    assert run(["models", "publish", id, "--withdraw", "--team", "red"]) == 2
    assert not json_of(capsys, "models", "publish", "shared", "--withdraw")["version"]["published"]
    assert run(["models", "show", id, "--team", "red"]) == 2
