"""`modelport audit`: what people did at the command line, with the user who did it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tests.builders import onnx
from tests.worker.conftest import json_of
from worker.bootstrap import Embedded
from worker.cli import auditing, run
from worker.cli.common import person
from worker.records import Action
from worker.set_aside import MemorySetAside

BY_NO_COMMAND = {Action.VERSION_NOTED, Action.UPLOAD_TAGGED, Action.UPLOAD_ENDED}
"""What is done by the API alone, and shown by the command as everything is."""


def test_every_change_at_the_command_line_names_its_user(
    home: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = ("--team", "vision")
    json_of(capsys, "team", "create", "vision")
    token = json_of(capsys, "token", "create", "ci", "--scope", "operate", *of)["id"]
    json_of(capsys, "token", "revoke", token, *of)
    failed = json_of(capsys, "complete", "x", "--model-path", str(tmp_path / "late"), *of, status=2)["id"]
    json_of(capsys, "ingestions", "retry", failed, *of)
    json_of(capsys, "ingestions", "discard", failed, *of)
    version = json_of(capsys, "ingest", str(model), *of)["version"]["id"]
    json_of(capsys, "models", "rename", version, "web", *of)
    json_of(capsys, "models", "tag", "web", "--add", "good", *of)
    json_of(capsys, "models", "publish", "web", *of)
    json_of(capsys, "models", "publish", "web", "--withdraw", *of)
    json_of(capsys, "models", "delete", "web", "--yes", *of)
    monkeypatch.setenv("MODELPORT_POLICY", "quarantine")
    (tmp_path / "cut.onnx").write_bytes(onnx.model()[:-3])
    held = json_of(capsys, "ingest", str(tmp_path / "cut.onnx"), "--name", "cut", *of, status=1)["version"]["id"]
    json_of(capsys, "models", "download", held, "--quarantined", "--to", tmp_path / "taken", *of)
    json_of(capsys, "models", "release", held, "--reason", "known", *of)
    uploaded = json_of(capsys, "models", "upload", str(model), *of)["versionId"]
    json_of(capsys, "projects", "create", "digits", *of)
    json_of(capsys, "projects", "rename", "digits", "handwriting", *of)
    json_of(capsys, "queue", "pause", *of)
    json_of(capsys, "queue", "resume", *of)
    monkeypatch.setattr(Embedded, "set_aside", MemorySetAside([b"garbage"]))
    json_of(capsys, "queue", "undecodable", "--remove-all", "--yes", *of)
    lines = json_of(capsys, "audit", *of)["audit"]
    assert [(line["action"], line["objectId"]) for line in reversed(lines)] == [
        ("team.created", "vision"),
        ("token.created", token),
        ("token.revoked", token),
        ("ingestion.retried", failed),
        ("ingestion.discarded", failed),
        ("model.renamed", version),
        ("version.tagged", version),
        ("model.published", version),
        ("model.withdrawn", version),
        ("version.deleted", version),
        ("version.quarantined", held),
        ("version.taken", held),
        ("version.released", held),
        ("upload.begun", uploaded),
        ("project.created", "digits"),
        ("project.renamed", "digits"),
        ("queue.paused", "queue"),
        ("queue.resumed", "queue"),
        ("queue.message_removed", "queue"),
    ]
    by_people = [line for line in lines if line["action"] != "version.quarantined"]
    assert {line["who"] for line in by_people} == {f"{pwd.getpwuid(os.getuid()).pw_name} at the command line"}
    assert {line["action"] for line in lines} == set(Action) - BY_NO_COMMAND
    assert json_of(capsys, "audit")["audit"] == []


def test_the_list_is_one_line_for_each_and_can_be_filtered(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = json_of(capsys, "ingest", str(model), "--name", "net")["version"]["id"]
    assert run(["audit"]) == 0
    assert capsys.readouterr().out == "nothing was done\n"
    json_of(capsys, "models", "rename", "net", "web")
    json_of(capsys, "models", "tag", version, "--add", "a", "--add", "b")
    assert run(["audit", "--who", person()]) == 0
    first, tagged, renamed = capsys.readouterr().out.splitlines()
    assert first.split() == ["AT", "WHO", "ACTION", "OBJECT", "DETAILS"]
    assert "version.tagged" in tagged
    assert f"({version})" in tagged
    assert tagged.endswith("added: a b")
    assert "model.renamed" in renamed
    assert renamed.endswith("before: net")
    assert [line["action"] for line in json_of(capsys, "audit", "--action", "model.renamed")["audit"]] == ["model.renamed"]
    assert json_of(capsys, "audit", "--who", "nobody")["audit"] == []
    assert len(json_of(capsys, "audit", "--limit", "1")["audit"]) == 1


def test_the_command_knows_every_action() -> None:
    assert set(auditing.ACTIONS) == {action.value for action in Action}
    assert run(["audit", "--action", "model.framed"]) == 4


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(number: int) -> object:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert person() == f"user {os.getuid()} at the command line"
