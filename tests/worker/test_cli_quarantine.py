"""What a person at a terminal meets under each policy: how it is told, what is refused, and how a version is released."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import onnx
from tests.servers.fake_mlflow import FakeMlflow
from tests.servers.process import free_port
from tests.worker.conftest import json_of
from tests.worker.test_cli_deliveries import come
from worker.cli import run

pytestmark = pytest.mark.usefixtures("home")

WHY = "1 high finding (link-outside)"


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda word: monkeypatch.setenv("MODELPORT_POLICY", word)


@pytest.fixture
def suspect(tmp_path: Path) -> Path:
    """A run with a link that leaves it."""
    return spoiled(onnx.run_at(tmp_path / "suspect"))


def spoiled(run: Path) -> Path:
    """Return *run* after its model has become another one, with a link that leaves it."""
    (run / "model.onnx").write_bytes(onnx.model(ir=7))
    (run / "away").symlink_to("/etc/passwd")
    return run


def version_of(capsys: pytest.CaptureFixture[str], name: str) -> dict[str, object]:
    found: dict[str, object] = json_of(capsys, "models", "show", name)["version"]
    return found


@pytest.mark.parametrize("word", ["record", None])
def test_by_default_everything_is_registered_like_any_other(
    suspect: Path, policy: Callable[[str], None], capsys: pytest.CaptureFixture[str], word: str | None
) -> None:
    if word is not None:
        policy(word)
    found = json_of(capsys, "ingest", suspect, status=1)
    assert (found["verdict"], found["ingestion"]["message"]) == ("findings", "registered as suspect version 1")
    version = version_of(capsys, "suspect")
    assert (version["quarantined"], version["quarantine"], version["warning"]) == (False, None, None)


def test_a_warning_is_told_wherever_the_version_is(
    suspect: Path, policy: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy("warn")
    assert run(["ingest", str(suspect)]) == 1
    assert f"▲ warning: {WHY}" in capsys.readouterr().out
    version = version_of(capsys, "suspect")
    assert (version["quarantined"], version["warning"]) == (False, WHY)
    assert run(["models", "show", "suspect"]) == 0
    assert f"warning       {WHY}" in capsys.readouterr().out
    found = json_of(capsys, "ingest", suspect, status=1)["ingestion"]
    assert found["message"].endswith(f"suspect version 1; none was read; warning: {WHY}")
    json_of(capsys, "models", "download", "suspect", "--to", tmp_path / "taken")


def test_what_is_in_quarantine_is_refused_until_a_person_releases_it(
    suspect: Path, policy: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy("quarantine")
    assert run(["ingest", str(suspect)]) == 1
    out = capsys.readouterr().out
    version = version_of(capsys, "suspect")
    id = str(version["id"])
    assert f"⊘ in quarantine: {WHY}" in out
    assert f"`modelport models release {id} --reason TEXT` lets it go" in out
    assert version["quarantined"] is True
    assert version["quarantine"] == {"why": WHY, "dtSince": version["dtCreated"], "released": None}
    assert run(["models", "list", "--state", "quarantined"]) == 0
    assert "⊘ in quarantine, 1 high" in capsys.readouterr().out
    assert json_of(capsys, "models", "list")["models"][0]["severities"]["high"] == 1
    for words in (["download", id, "--to", str(tmp_path / "a")], ["links", "suspect"], ["publish", "suspect"]):
        assert run(["models", *words]) == 2
        error = capsys.readouterr().err
        assert f"{id} (suspect@1) is in quarantine and not served: {WHY}; a person may release it" in error
        assert f"(`modelport models download {id} --quarantined --to DIR`, by the API `?quarantined=true`)" in error
    assert not (tmp_path / "a").exists()
    assert len(json_of(capsys, "models", "download", id, "--quarantined", "--to", tmp_path / "inspected")["files"]) == 1
    assert (tmp_path / "inspected" / "model.onnx").read_bytes() == onnx.model(ir=7)
    assert run(["models", "release", "suspect"]) == 4
    assert run(["models", "release", "suspect", "--reason", " "]) == 2
    assert "reason: expected a sentence" in capsys.readouterr().err
    free = json_of(capsys, "models", "release", "suspect", "--reason", "it is mounted there")["version"]
    assert (free["quarantined"], free["quarantine"]["released"]["reason"]) == (False, "it is mounted there")
    assert str(free["quarantine"]["released"]["by"]).endswith("at the command line")
    assert run(["models", "release", id, "--reason", "me too"]) == 0
    assert ": it is mounted there" in capsys.readouterr().out
    json_of(capsys, "models", "download", "suspect", "--to", tmp_path / "b")
    assert run(["models", "show", "suspect"]) == 0
    shown = capsys.readouterr().out
    assert "released at " in shown
    assert "it is mounted there; it was in quarantine since " in shown
    log = json_of(capsys, "audit")["audit"]
    assert [line["action"] for line in log] == ["version.released", "version.taken", "version.quarantined"]
    assert (log[0]["details"], log[2]["who"]) == ({"reason": "it is mounted there", "why": WHY}, "the policy")
    assert (log[1]["objectId"], log[1]["details"]) == (id, {"why": WHY})
    assert log[1]["who"].endswith("at the command line")


def test_what_was_released_stays_so_and_what_was_never_held_is_no_release(
    suspect: Path, model: Path, policy: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    policy("quarantine")
    json_of(capsys, "ingest", suspect, status=1)
    json_of(capsys, "models", "release", "suspect", "--reason", "looked at")
    for options in ((), ("--force",)):
        assert json_of(capsys, "rescan", suspect, *options)["state"] == "unchanged"
    assert version_of(capsys, "suspect")["quarantined"] is False
    json_of(capsys, "ingest", model)
    assert run(["models", "release", "net", "--reason", "why not"]) == 2
    assert "(net@1) is in no quarantine" in capsys.readouterr().err


def test_a_policy_that_came_later_holds_what_is_looked_at_again(
    suspect: Path, policy: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    json_of(capsys, "ingest", suspect, status=1)
    policy("quarantine")
    assert version_of(capsys, "suspect")["quarantined"] is False
    again = json_of(capsys, "rescan", suspect, "--force")
    assert again["message"].endswith(f"suspect version 1; in quarantine: {WHY}")
    assert version_of(capsys, "suspect")["quarantined"] is True
    policy("record")
    json_of(capsys, "rescan", suspect, "--force")
    assert version_of(capsys, "suspect")["quarantined"] is True, "only a person lets it go"


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"model.onnx": onnx.model()[:-3]}, "the model is corrupt: model.onnx: "),
        (
            {"model.onnx": onnx.model(onnx.small_graph(initializers=[onnx.external_tensor(location="w.bin", length="24")]))},
            "the model is incomplete: w.bin: ",
        ),
    ],
)
def test_corrupt_and_incomplete_are_held_in_their_own_words(
    files: dict[str, bytes], word: str, policy: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy("quarantine")
    (tmp_path / "broken").mkdir()
    for name, data in files.items():
        (tmp_path / "broken" / name).write_bytes(data)
    assert run(["ingest", str(tmp_path / "broken")]) == 1
    assert f"⊘ in quarantine: {word}" in capsys.readouterr().out


def test_a_name_alone_is_the_newest_version_that_is_served(
    model: Path, policy: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy("quarantine")
    first = json_of(capsys, "ingest", model, "--name", "net")["version"]
    spoiled(model)
    second = json_of(capsys, "ingest", model, "--name", "net", status=1)["version"]
    assert (second["number"], second["quarantined"]) == (2, True)
    beside = f"net@2 is newer than net@1, and in quarantine: {WHY}"
    assert json_of(capsys, "models", "show", "net", beside=beside)["version"]["id"] == first["id"]
    taken = json_of(capsys, "models", "download", "net", "--to", tmp_path / "taken", beside=beside)
    assert taken["version"]["id"] == first["id"]
    assert json_of(capsys, "models", "show", "net@2")["version"]["id"] == second["id"]
    for words in (["tag", "net", "--add", "x"], ["delete", "net", "--yes"]):
        assert run(["models", *words]) == 2
        said = "net: its newest version net@2 is in quarantine, and net@1 is what is served; say which"
        assert said in capsys.readouterr().err
    json_of(capsys, "models", "tag", "net@2", "--add", "x")
    assert json_of(capsys, "models", "publish", "net")["version"]["published"]
    assert json_of(capsys, "models", "release", "net", "--reason", "fine")["version"]["id"] == second["id"]
    assert json_of(capsys, "models", "show", "net")["version"]["id"] == second["id"]


def test_another_team_that_reads_a_published_model_takes_nothing_out_of_quarantine(
    model: Path, policy: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy("quarantine")
    json_of(capsys, "team", "create", "red")
    json_of(capsys, "ingest", model, "--name", "net")
    json_of(capsys, "models", "publish", "net")
    spoiled(model)
    held = json_of(capsys, "ingest", model, "--name", "net", status=1)["version"]["id"]
    assert run(["models", "download", held, "--quarantined", "--to", str(tmp_path / "a"), "--team", "red"]) == 2
    assert f"is in quarantine and not served: {WHY}; its team may release it" in capsys.readouterr().err
    assert run(["models", "release", held, "--reason", "mine", "--team", "red"]) == 2
    assert "no such model" in capsys.readouterr().err


def test_mlflow_is_told_when_it_is_released(
    suspect: Path, policy: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELPORT_MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    mlflow = FakeMlflow()
    come(mlflow, monkeypatch)
    policy("quarantine")
    json_of(capsys, "ingest", suspect, status=1)
    assert mlflow.versions == []
    [row] = json_of(capsys, "deliveries", "list")["deliveries"]
    assert (row["state"], row["message"]) == ("delivered", "not told: it is in quarantine; a release tells it")
    json_of(capsys, "models", "release", "suspect", "--reason", "fine")
    assert len(mlflow.versions) == 1
    assert [row["kind"] for row in json_of(capsys, "deliveries", "list")["deliveries"]] == [
        "version.released",
        "version.registered",
    ]


def test_findings_say_what_to_do_once_for_each_rule(suspect: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (suspect / "further").symlink_to("/etc/shadow")
    assert run(["scan", str(suspect)]) == 1
    out = capsys.readouterr().out
    assert out.count("link-outside  ") == 2
    assert out.count("→ link-outside: put the file itself there, or remove the link") == 1


@pytest.mark.parametrize(
    ("name", "data", "sign"),
    [
        ("model.onnx", onnx.model(), "✓ clean"),
        ("gradient-model-metadata.json", b"{}", "◌ not checked"),
        ("weights.pkl", pickle.dumps({"w": 1.0}), "◌ not checked"),
    ],
)
def test_what_nobody_looked_into_is_not_told_as_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, sign: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_bytes(data)
    run(["scan", str(tmp_path / "run")])
    out = capsys.readouterr().out
    assert re.match(rf"{sign}(  |, )", out)
    assert ("✓" in out) == sign.startswith("✓")
    assert run(["ingest", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert run(["models", "list"]) == 0
    assert f"  {sign}  " in capsys.readouterr().out


def test_a_word_that_is_no_policy_stops_the_start(policy: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    policy("quarantined")
    assert run(["models", "list"]) == 2
    assert "MODELPORT_POLICY: Input should be 'record', 'warn' or 'quarantine', found 'quarantined'" in capsys.readouterr().err
