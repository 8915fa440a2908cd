"""The command line, as a person and as a script meets it."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path

import click
import pytest

from tests.attacks.pickles import of_protocol
from tests.builders import onnx
from tests.worker.conftest import ROOT, json_of
from worker.cli import app, models, run
from worker.cli.steering import queue
from worker.spool import keep, spool_of

EXAMPLE = ROOT / "examples" / "digits"

pytestmark = pytest.mark.usefixtures("home")


def text_of(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    assert run([str(argument) for argument in arguments]) == status
    return capsys.readouterr().out


def test_scan_shows_the_example_run(capsys: pytest.CaptureFixture[str]) -> None:
    shown = text_of(capsys, "scan", EXAMPLE)
    assert "✓ clean" in shown.splitlines()[0]
    assert "TensorFlow SavedModel  1767261900  ✓ complete" in shown
    assert "image: float32[?, 8, 8]" in shown
    assert "→ probabilities: float32[?, 10]" in shown
    assert "accuracy" in shown


def test_scan_as_json_is_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    report = json_of(capsys, "scan", EXAMPLE)
    assert report["schema"] == "modelport.scan/1"
    assert report["path"] == str(EXAMPLE)
    assert report["models"][0]["facts"]["parameters"]["trainable"] == 2410


def test_scan_registers_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "scan", EXAMPLE)
    assert not home.exists()


def test_a_result_goes_to_a_file_when_asked(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", str(model), "--format", "json", "--output", str(tmp_path / "report.json")]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "clean"


def test_ingest_registers_and_says_so(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json_of(capsys, "ingest", model, "--experiment", "e7", "--project", "digits")
    assert report["ingestion"]["state"] == "registered"
    assert report["ingestion"]["answer"] == "created"
    version = report["version"]
    assert version["id"].startswith("mo")
    assert (version["name"], version["number"], version["store"], version["duplicateOf"]) == ("e7", 1, "copy", None)
    assert version["digest"].startswith("sha256:")
    assert version["omsDigest"].startswith("sha256:")


def test_ingest_again_is_unchanged_with_the_same_version(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = json_of(capsys, "ingest", model)
    again = json_of(capsys, "ingest", model)
    assert (again["ingestion"]["state"], again["ingestion"]["answer"]) == ("unchanged", "unchanged")
    assert again["version"] == first["version"]
    assert again["models"] == first["models"]


def test_the_repository_is_listed_shown_renamed_tagged_downloaded_and_deleted(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = json_of(capsys, "ingest", model, "--name", "net")["version"]
    assert [row["id"] for row in json_of(capsys, "models", "list")["models"]] == [version["id"]]
    assert json_of(capsys, "models", "show", "net")["version"] == version | {"project": "default"}
    assert text_of(capsys, "models", "rename", "net@1", "better net") == f"{version['id']}: net is now better net\n"
    assert text_of(capsys, "models", "tag", "better net", "--add", "b", "--add", "a") == f"{version['id']}: a, b\n"
    assert text_of(capsys, "models", "tag", version["id"], "--remove", "b") == f"{version['id']}: a\n"
    assert len(json_of(capsys, "models", "list", "--tag", "a")["models"]) == 1
    assert json_of(capsys, "models", "list", "--tag", "b")["models"] == []
    text_of(capsys, "models", "download", version["id"], "--to", tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == onnx.model()
    text_of(capsys, "models", "delete", version["id"], "--yes")
    assert json_of(capsys, "models", "list")["models"] == []
    assert list((tmp_path / "home" / "store").rglob("*.onnx")) == []


def test_a_download_never_writes_over_anything(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "ingest", model, "--name", "net")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    assert run(["models", "download", "net", "--to", str(tmp_path / "out")]) == 2
    assert "there is something already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_damaged_copy_is_not_handed_out(tmp_path: Path, home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "ingest", model, "--name", "net")
    (kept,) = (home / "store").rglob("model.onnx")
    kept.chmod(0o644)
    kept.write_bytes(onnx.model().replace(b"hand", b"HAND"))
    assert run(["models", "download", "net", "--to", str(tmp_path / "out")]) == 2
    assert "1 file (model.onnx) is not what was registered" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "net"]


def test_delete_asks_first(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    json_of(capsys, "ingest", model, "--name", "net")
    monkeypatch.setattr("click.confirm", lambda *words, **more: False)
    monkeypatch.setattr("sys.stdin", Terminal())
    assert text_of(capsys, "models", "delete", "net") == "nothing was deleted\n"
    assert json_of(capsys, "models", "delete", "net") == {"deleted": None}
    assert len(json_of(capsys, "models", "list")["models"]) == 1


class Terminal(StringIO):
    """A stdin that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-", "</dev/zero"])
def test_delete_without_a_terminal_names_the_option_that_confirms(
    stdin: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_of(capsys, "ingest", model, "--name", "net")
    call = ["sh", "-c", f'exec "$@" models delete net {stdin}', "sh", *MODELPORT]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 4
    assert "Error: expected --yes: there is no terminal to ask at whether to delete" in done.stderr
    assert len(json_of(capsys, "models", "list")["models"]) == 1


def test_commands_that_change_something_answer_a_program_in_json(
    tmp_path: Path, home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = f"sqlite:///{home / 'modelport.db'}"
    assert json_of(capsys, "migrate")["applied"] != []
    assert json_of(capsys, "migrate") == {"database": database, "applied": []}
    version = json_of(capsys, "ingest", model, "--name", "net")["version"]
    assert json_of(capsys, "models", "rename", "net", "other")["version"] == version | {"name": "other"}
    assert json_of(capsys, "models", "tag", "other", "--add", "a")["version"] == version | {"name": "other", "tags": ["a"]}
    downloaded = json_of(capsys, "models", "download", "other", "--to", "out")
    assert downloaded["folder"] == str(tmp_path / "out")
    assert [file["path"] for file in downloaded["files"]] == ["model.onnx"]
    assert json_of(capsys, "models", "delete", "other", "--yes")["deleted"]["id"] == version["id"]


def test_an_unchanged_ingest_says_that_the_figures_are_those_of_the_registration(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = text_of(capsys, "ingest", model, "--name", "net")
    again = text_of(capsys, "ingest", model, "--name", "net")
    assert "when it was registered" not in first
    assert re.search(r"^read .* of 1 file in .* when it was registered$", again, re.MULTILINE)
    assert "none was read" in again.splitlines()[-1]


def test_a_database_that_does_not_answer_names_the_command_that_looks_closer(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    (home / "modelport.db").write_bytes(b"no database at all" * 100)
    assert run(["models", "list"]) == 2
    assert capsys.readouterr().err.endswith("; `modelport doctor` looks closer\n")


UNTIL_STOPPED = {"api", "run", "up", "watch", "worker"}
"""Commands that are processes, and give no answer of their own."""

FOR_PROGRAMS = {"bom"}
"""Commands whose answer is for programs alone."""


def test_every_command_that_answers_answers_programs_too() -> None:
    flat = [one for name, command in app.commands.items() for one in getattr(command, "commands", {name: command}).values()]
    without = {one.name for one in flat if "format" not in {parameter.name for parameter in one.params}}
    assert without <= UNTIL_STOPPED | FOR_PROGRAMS


ROOM = 62
"""Columns that a line of `modelport --help` has for what a command does, at 80 columns."""


@pytest.mark.parametrize("group", [app, models, queue], ids=["modelport", "models", "queue"])
def test_no_command_is_told_with_half_a_sentence(group: click.Group) -> None:
    assert [name for name, one in group.commands.items() if one.get_short_help_str(ROOM).endswith("...")] == []


def test_an_empty_repository_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert "modelport ingest PATH" in text_of(capsys, "models", "list")


@pytest.mark.parametrize(
    ("key", "value", "subject"),
    [
        ("MODELPORT_SETTLE_SECONDS", "soon", "settings"),
        ("MODELPORT_HOME", "/proc/nowhere", "home"),
        ("MODELPORT_DATABASE_URL", "postgresql://127.0.0.1:9/nowhere", "database"),
        ("MODELPORT_STORE_URL", "file:///proc/version", "store"),
    ],
)
def test_doctor_names_what_is_wrong_as_a_person_calls_it(
    key: str, value: str, subject: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(key, value)
    *earlier, last = json_of(capsys, "doctor", status=1)["checks"]
    assert (last["name"], last["state"]) == (subject, "trouble")
    assert {check["state"] for check in earlier} <= {"ok"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["scan"], 4, "Missing argument"),
        (["scan", "x", "--format", "xml"], 4, "Invalid value"),
        (["frobnicate"], 4, "No such command"),
        (["scan", "missing"], 2, "there is nothing at this path"),
        (["scan", "http://host/x"], 2, "expected a path on disk or s3://BUCKET/KEY, found another URL"),
        (["scan", "s3://b/x"], 2, "expected the name of a bucket after s3://"),
        (["ingest", "missing"], 2, ""),
        (["ingest", "http://host/x"], 2, ""),
        (["models", "show", ""], 4, "expected an id (mo…), NAME or NAME@NUMBER, found nothing"),
        (["models", "download", "x", "--to", "s3://bucket/x"], 4, "expected a folder on disk, found 's3://bucket/x'"),
        (["models", "show", "nobody"], 2, "no such model"),
        (["models", "show", "moaaaaaaaaaaaa"], 2, "no such model"),
        (["ingest", ".", "--name", "\x1b[31mred"], 2, "expected printable text"),
    ],
)
def test_what_a_user_does_wrong_is_told_in_a_sentence(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == status
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err + captured.out
    assert "\x1b" not in captured.err


def test_statuses_tell_a_script_what_happened(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "readme.txt").write_text("hello")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "m.onnx").write_bytes(onnx.model()[:-2])
    assert json_of(capsys, "scan", model)["verdict"] == "clean"
    assert json_of(capsys, "scan", tmp_path / "nothing", status=3)["verdict"] == "nothing"
    assert json_of(capsys, "scan", tmp_path / "broken", status=1)["verdict"] == "findings"
    assert json_of(capsys, "ingest", tmp_path / "nothing", status=3)["ingestion"]["state"] == "nothing_found"
    assert json_of(capsys, "ingest", tmp_path / "broken", status=1)["version"]["completeness"] == "corrupt"


def test_ingest_shows_what_it_ends_with_1_for_though_there_is_no_model(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_bytes(of_protocol(2))
    told = text_of(capsys, "ingest", tmp_path / "run", status=1)
    assert "pickle-runs-code" in told
    assert "nothing found" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_inconclusive_unless_allowed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "model.onnx").chmod(0)
    assert json_of(capsys, "scan", model, status=2)["verdict"] == "inconclusive"
    assert run(["scan", str(model), "--allow-skipped"]) == 0


def test_a_wrong_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MODELPORT_SETTLE_SECONDS", "soon")
    assert run(["models", "list"]) == 2
    assert "MODELPORT_SETTLE_SECONDS" in capsys.readouterr().err


def test_several_wrong_settings_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELPORT_SETTLE_SECONDS", "4000")
    monkeypatch.setenv("MODELPORT_STORE_URL", "ftp://x")
    assert run(["models", "list"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("modelport: MODELPORT_STORE_URL: expected ")
    assert "found 'ftp://x'; MODELPORT_SETTLE_SECONDS: " in said
    assert "\\n" not in said


def test_a_home_that_cannot_be_made_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MODELPORT_HOME", str(tmp_path / "file" / "home"))
    assert run(["models", "list"]) == 2
    assert "set MODELPORT_HOME to a folder that you may write" in capsys.readouterr().err


def test_a_home_on_a_network_file_system_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worker.filesystems.filesystem_of", lambda path: "nfs4")
    assert run(["models", "list"]) == 2
    assert "lies on nfs4, where SQLite may lose data" in capsys.readouterr().err


def test_migrate_is_idempotent(capsys: pytest.CaptureFixture[str]) -> None:
    assert "applied" in text_of(capsys, "migrate")
    assert "nothing to do" in text_of(capsys, "migrate")


def test_doctor_finds_and_repairs_leftovers(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = json_of(capsys, "ingest", model, "--name", "net")["version"]
    kept = Path(version["url"].removeprefix("file://"))
    shutil.copytree(kept, home / "copy")
    text_of(capsys, "models", "delete", version["id"], "--yes")
    kept.parent.mkdir(parents=True)
    (home / "copy").rename(kept)
    states = {check["name"]: check["state"] for check in json_of(capsys, "doctor", status=1)["checks"]}
    assert states["leftovers"] == "trouble"
    assert version["id"] in text_of(capsys, "doctor", "--repair")
    assert not kept.exists()
    assert {check["state"] for check in json_of(capsys, "doctor")["checks"]} == {"ok"}


def test_doctor_leaves_what_another_installation_keeps_in_the_same_store(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = json_of(capsys, "ingest", model, "--name", "net")["version"]
    monkeypatch.setenv("MODELPORT_STORE_URL", (home / "store").as_uri())
    monkeypatch.setenv("MODELPORT_HOME", str(home / "another"))
    told = text_of(capsys, "doctor", "--repair", status=1)
    assert "this database knows nothing of" in told
    assert version["id"] in told.replace("\n", "")
    assert Path(version["url"].removeprefix("file://")).is_dir()


def test_doctor_removes_nothing_below_a_store_that_is_named_wrongly(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = home / "disk" / "datasets" / "vision" / "raw" / "2024"
    others.mkdir(parents=True)
    (others / "x.bin").write_bytes(b"1")
    monkeypatch.setenv("MODELPORT_STORE_URL", (home / "disk").as_uri())
    text_of(capsys, "doctor", "--repair", status=1)
    assert (others / "x.bin").exists()


def test_doctor_finds_a_copy_that_lost_a_file(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = json_of(capsys, "ingest", model)["version"]
    (kept,) = (home / "store").rglob("model.onnx")
    kept.unlink()
    assert version["id"] in text_of(capsys, "doctor", status=1)


def test_a_name_of_two_projects_wants_the_project(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "ingest", model, "--name", "net", "--project", "a")
    json_of(capsys, "ingest", model, "--name", "net", "--project", "b", "--experiment", "e")
    assert run(["models", "show", "net"]) == 2
    assert "projects a, b each have a model of this name" in capsys.readouterr().err
    assert json_of(capsys, "models", "show", "net", "--project", "b")["version"]["projectId"] == "b"


def test_hostile_names_never_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "\x1b]0;owned\x07.onnx").write_bytes(onnx.model(onnx.small_graph(inputs=[onnx.value("\x1b[2J")])))
    os.symlink("/etc/\x1b[31m", os.fsencode(folder) + b"/\xff\x1b[0m")
    shown = text_of(capsys, "scan", folder, status=1)
    assert "\x1b" not in shown
    assert "\x07" not in shown


QUIET = ("tensorflow", "onnx", "numpy", "sqlalchemy", "alembic", "pydantic", "rich.table", "google.protobuf", "boto3")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["models", "--help"], ["scan", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; from worker.cli import run; run({arguments!r}); print(sorted(m for m in {QUIET!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_scan_imports_no_framework_and_no_database() -> None:
    heavy = ("tensorflow", "onnx", "numpy", "sqlalchemy", "alembic", "pydantic", "boto3")
    code = f"import sys; from worker.cli import run; run(['scan', {str(EXAMPLE)!r}])"
    code += f"; print(sorted(m for m in {heavy!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m_detectors_prints_the_same_report() -> None:
    done = subprocess.run([sys.executable, "-m", "detectors", str(EXAMPLE)], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["models"][0]["root"] == "1767261900"


def test_a_path_that_holds_our_own_files_is_refused(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json_of(capsys, "ingest", tmp_path, status=2)
    assert "holds modelport's own files" in report["ingestion"]["message"]


def test_no_path_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("scan", "ingest"):
        assert run([command, ""]) == 4
    assert "expected a folder or a file, found nothing" in capsys.readouterr().err


def test_a_stopped_ingest_is_ended_and_leaves_nothing(tmp_path: Path, home: Path, model: Path) -> None:
    """SIGTERM while the files have not settled: the ingestion ends, and doctor finds nothing to do."""
    environment = os.environ | {"MODELPORT_SETTLE_SECONDS": "600"}
    call = [sys.executable, "-c", "from worker.cli import main; main()"]
    with subprocess.Popen([*call, "ingest", str(model)], env=environment, stderr=subprocess.PIPE) as child:
        deadline = time.monotonic() + 30
        while states(home) != ["waiting"] and time.monotonic() < deadline:
            time.sleep(0.05)
        child.terminate()
    assert child.returncode == 143
    assert states(home) == ["failed"]
    assert subprocess.run([*call, "doctor"], env=environment, capture_output=True, check=False).returncode == 0


def states(home: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"file:{home / 'modelport.db'}?mode=ro", uri=True)) as database:
            return [state for (state,) in database.execute("SELECT state FROM ingestions")]
    except sqlite3.OperationalError:
        return []


HOSTILE = "none\x1b]0;title\x07\r\nregistered \u202e\x9b31m \u2028"


@pytest.mark.parametrize("arguments", [["scan", HOSTILE], ["scan", "x", HOSTILE], ["models", "show", "A", HOSTILE], [HOSTILE]])
def test_what_was_typed_reaches_the_terminal_as_plain_text_on_one_line(
    arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) != 0
    said = capsys.readouterr().err
    assert all(line.isprintable() for line in said.split("\n")), said
    assert not any(line.startswith("registered") for line in said.split("\n"))


MODELPORT = [sys.executable, "-c", "from worker.cli import main; main()"]


def test_doctor_tells_of_reports_that_no_server_took(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "doctor")
    spool = spool_of(home, "http://server", "red")
    keep({"id": "e1"}, spool)
    (spool / "0.refused").write_text("{}")
    [told] = [one for one in json_of(capsys, "doctor", status=1)["checks"] if one["name"] == "reports"]
    assert told["state"] == "trouble"
    assert told["says"].startswith(f"1 wait and 1 were refused, in {home / 'spool'}; ")


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    return os.environ | {"PYTHONUNBUFFERED": request.param}


@pytest.fixture
def pipe_that_nobody_reads() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["scan", "net", "--format", "json"], 0),
        (["scan", "net"], 0),
        (["scan", "broken", "--format", "json"], 1),
        (["scan", "empty"], 3),
        (["migrate"], 0),
        (["--version"], 0),
        (["scan", "--help"], 0),
        ([], 4),
    ],
)
def test_a_reader_who_went_away_changes_nothing_about_the_status(
    arguments: list[str], status: int, model: Path, tmp_path: Path, environment: dict[str, str], pipe_that_nobody_reads: int
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "m.onnx").write_bytes(onnx.model()[:-2])
    call = [*MODELPORT, *arguments]
    done = subprocess.run(call, stdout=pipe_that_nobody_reads, stderr=subprocess.PIPE, env=environment, text=True)
    assert (done.returncode, done.stderr) == (status, "")


def test_errors_that_nobody_reads_keep_their_status(pipe_that_nobody_reads: int, environment: dict[str, str]) -> None:
    for arguments, status in ((["scan", "missing"], 2), (["frobnicate"], 4)):
        nowhere = pipe_that_nobody_reads
        assert subprocess.run([*MODELPORT, *arguments], stdout=nowhere, stderr=nowhere, env=environment).returncode == status


@pytest.mark.parametrize("arguments", ["scan net", "scan net --format json", "models list", "migrate"])
def test_a_closed_stdout_is_told_in_words(arguments: str, model: Path, environment: dict[str, str]) -> None:
    call = ["sh", "-c", f'exec "$@" {arguments} >&-', "sh", *MODELPORT]
    done = subprocess.run(call, stderr=subprocess.PIPE, env=environment, text=True)
    assert done.returncode == 2
    assert done.stderr == "modelport: standard output is closed; there is nowhere to write the result\n"


def test_a_closed_stdout_does_no_harm_where_the_result_goes_to_a_file(model: Path, tmp_path: Path) -> None:
    call = ["sh", "-c", 'exec "$@" scan net --format json --output report >&-', "sh", *MODELPORT]
    assert subprocess.run(call, stderr=subprocess.PIPE).returncode == 0
    assert json.loads((tmp_path / "report").read_text())["verdict"] == "clean"


def test_a_closed_stderr_puts_no_error_into_the_result(tmp_path: Path) -> None:
    done = subprocess.run(["sh", "-c", 'exec "$@" scan missing 2>&-', "sh", *MODELPORT], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told_in_words(model: Path, environment: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*MODELPORT, "scan", "net"], stdout=full, stderr=subprocess.PIPE, env=environment, text=True)
    assert done.returncode == 2
    assert done.stderr == "modelport: the result could not be written: No space left on device\n"


@pytest.mark.parametrize("output", ["missing/report", "net/model.onnx/report", "net", ""])
def test_an_output_that_cannot_be_written_is_told_before_the_work(
    output: str, home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ingest", str(model), "--output", output]) == 4
    assert "--output" in capsys.readouterr().err
    assert not home.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_in_a_folder_that_may_not_be_written_is_told_before_the_work(home: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert run(["ingest", str(model), "--output", str(tmp_path / "locked" / "report")]) == 4
    assert not home.exists()


def test_a_result_that_cannot_be_kept_after_all_stands_on_stderr(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report").write_text("the old one")

    def no_space(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    assert run(["scan", str(model), "--format", "json", "--output", str(tmp_path / "report")]) == 2
    report, _, said = capsys.readouterr().err.rpartition("modelport: ")
    assert json.loads(report)["verdict"] == "clean"
    assert said == f"{tmp_path / 'report'} could not be written: No space left on device; the result stands above\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "report"]
    assert (tmp_path / "report").read_text() == "the old one"


def test_an_output_takes_the_place_of_an_old_one_and_keeps_its_rights_and_its_links(model: Path, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o640)
    (tmp_path / "link").symlink_to("old")
    assert run(["scan", str(model), "--format", "json", "--output", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640
    assert json.loads((tmp_path / "old").read_text())["verdict"] == "clean"


def test_an_output_that_is_a_device_stays_one(model: Path) -> None:
    done = subprocess.run(
        [*MODELPORT, "scan", str(model), "--format", "json", "--output", "/dev/stdout"], stdout=subprocess.PIPE, check=True
    )
    assert json.loads(done.stdout)["verdict"] == "clean"


def test_doctor_reads_every_byte_only_when_asked(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = json_of(capsys, "ingest", model)["version"]
    (kept,) = (home / "store").rglob("model.onnx")
    kept.chmod(0o644)
    kept.write_bytes(onnx.model().replace(b"hand", b"HAND"))
    assert {check["state"] for check in json_of(capsys, "doctor")["checks"]} == {"ok"}
    checks = {check["name"]: check for check in json_of(capsys, "doctor", "--digests", status=1)["checks"]}
    assert checks["digests of references"]["state"] == "ok"
    assert checks["digests of copies"]["state"] == "trouble"
    assert f"bytes of {version['id']} are not those that were registered" in checks["digests of copies"]["says"]


def test_doctor_confirms_the_bytes_of_copies_and_references(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    json_of(capsys, "ingest", model, "--name", "copied")
    monkeypatch.setenv("MODELPORT_STORE_MODE", "reference")
    json_of(capsys, "ingest", EXAMPLE, "--name", "referenced")
    told: list[int] = []

    @contextmanager
    def watched() -> Iterator[tuple[Callable[[str], None], Callable[[int], None], Callable[[int], None]]]:
        yield (lambda name: None), (lambda size: told.append(-size)), told.append

    monkeypatch.setattr("worker.cli.progress_bar", watched)
    checks = {check["name"]: check["says"] for check in json_of(capsys, "doctor", "--digests")["checks"]}
    assert checks["digests of copies"] == checks["digests of references"] == "1 of 1 have their files, byte for byte"
    assert sum(told) == 0
    assert -told[0] > 100_000


def test_no_line_is_broken_where_a_program_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ingestion is a line below the one heading, each model a line with its state, however long their paths are."""
    run_folder = tmp_path / "run"
    deep = run_folder / "/".join(["a-folder-with-a-long-name"] * 8)
    deep.mkdir(parents=True)
    (deep / "model.onnx").write_bytes(onnx.model())
    shown = text_of(capsys, "ingest", run_folder)
    assert any(str(deep.relative_to(run_folder)) in line and "✓ complete" in line for line in shown.splitlines())
    heading, row = text_of(capsys, "ingestions", "list").splitlines()
    assert heading.split() == ["ID", "STATE", "REASON", "ACCEPTED", "ATTEMPTS", "EXPERIMENT", "PATH"]
    assert row.endswith(str(run_folder))


def test_equal_content_of_another_experiment_is_named(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = json_of(capsys, "ingest", model, "--experiment", "e1")["version"]["id"]
    assert f"equal to e1@1 ({first}) of another experiment" in text_of(capsys, "ingest", model, "--experiment", "e2")
    shown = text_of(capsys, "models", "show", "e2")
    assert f"e1@1 ({first})" in shown
    assert "\nregistered    20" in shown
