"""The units of deploy/systemd, by systemd's own program, and against ourselves. No systemd has started them yet."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.servers.process import NoServer, skip_without
from tests.test_compose import check_command
from worker.api.server import GRACE_SECONDS
from worker.celery_app import SECONDS_PER_BELL
from worker.settings import load

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
COMMON = UNITS / "modelport-.service.d" / "common.conf"
PROGRAM = "/opt/modelport/bin/modelport"

MOST_EXPOSED = 25
"""Tenths of systemd's measure of what a service may do: 0 is nothing, 100 all."""


def entries(unit: Path) -> dict[str, list[str]]:
    """Return what is said in a unit, by its key; what all have in common comes first."""
    found: dict[str, list[str]] = {}
    texts = [COMMON.read_text(encoding="utf-8")] if unit.suffix == ".service" else []
    for line in "\n".join([*texts, unit.read_text(encoding="utf-8")]).splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def told(example: str) -> Mapping[str, str]:
    """Return the variables of a file of settings. Source: systemd.exec(5), "EnvironmentFile=": quotes as in a shell."""
    lines = [line for line in example.splitlines() if line and not line.startswith("#")]
    return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


def test_all_parts_are_there() -> None:
    names = [unit.name for unit in SERVICES]
    parts = ("api", "migrate", "sweep", "watch", "worker@")
    assert names == [f"modelport-{part}.service" for part in parts]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_every_command_is_one_of_ours_with_options_that_it_has(unit: Path) -> None:
    (command,) = entries(unit)["ExecStart"]
    program, *words = shlex.split(command)
    assert program == PROGRAM
    check_command(tuple(words))


def test_every_setting_is_one_of_ours_and_has_a_good_value(tmp_path: Path) -> None:
    common = entries(COMMON)
    environment = dict(word.split("=", 1) for word in common["Environment"][0].split())
    example = told((UNITS / "modelport.env.example").read_text(encoding="utf-8"))
    loaded = load({**environment, **example}, tmp_path)
    assert str(loaded.home) == f"/var/lib/{common['StateDirectory'][0]}" == common["WorkingDirectory"][0]
    assert loaded.store_folder is not None
    assert loaded.store_folder.is_relative_to(loaded.home)
    assert loaded.mounts
    assert loaded.roots
    assert environment["PGPASSFILE"] == "%d/" + common["LoadCredential"][0].partition(":")[0]
    assert "PASSWORD" not in example["MODELPORT_DATABASE_URL"]


def test_each_may_end_what_it_has_begun() -> None:
    assert seconds("modelport-api.service") > GRACE_SECONDS
    assert seconds("modelport-worker@.service") > SECONDS_PER_BELL
    assert entries(COMMON)["KillMode"] == ["mixed"]


def seconds(name: str) -> float:
    return float(entries(UNITS / name)["TimeoutStopSec"][-1])


def test_what_units_want_is_here() -> None:
    for unit in [*SERVICES, UNITS / "modelport.target"]:
        named = {name for values in entries(unit).values() for value in values for name in value.split()}
        ours = {name for name in named if re.fullmatch(r"modelport[\w@.-]*\.(service|target)", name)}
        assert all((UNITS / name).exists() for name in ours), unit.name


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy whose program is on this machine."""
    shutil.copytree(UNITS, tmp_path / "units")
    for unit in (tmp_path / "units").glob("*.service"):
        unit.write_text(unit.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true"), encoding="utf-8")
    shutil.copy(tmp_path / "units" / "modelport-worker@.service", tmp_path / "units" / "modelport-worker@1.service")
    return tmp_path / "units"


def systemd_analyze(units: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on *units*, which are looked for there before they are looked for on this machine."""
    program = shutil.which("systemd-analyze")
    if program is None:
        raise NoServer("there is no systemd-analyze: install Debian's systemd")
    environment = {"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    return subprocess.run([program, *words], env=environment, cwd=units, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_systemd_takes_the_units_and_a_slip_would_be_noticed(units: Path) -> None:
    skip_without(lambda: systemd_analyze(units, "--version"), "WITHOUT_SYSTEMD")
    names = [f"modelport-{part}.service" for part in ("api", "migrate", "sweep", "watch", "worker@1")]
    done = systemd_analyze(units, "verify", "--man=no", *names, "modelport.target")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    unit = units / "modelport-api.service"
    unit.write_text(unit.read_text().replace("Restart=always", "Restart=allways\nRestrt=no"))
    slipped = systemd_analyze(units, "verify", "--man=no", unit.name).stderr
    assert "Failed to parse service restart specifier" in slipped
    assert re.search("Unknown key.*'Restrt'", slipped)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["api", "migrate", "sweep", "watch", "worker@1"])
def test_a_service_may_do_little(units: Path, name: str) -> None:
    skip_without(lambda: systemd_analyze(units, "--version"), "WITHOUT_SYSTEMD")
    words = ("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", f"modelport-{name}.service")
    done = systemd_analyze(units, *words)
    assert done.returncode == 0, done.stdout + done.stderr
