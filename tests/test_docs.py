"""The documentation is kept true: commands, settings, findings, links, and the README's own examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.make_reference import commands_page, findings_page, settings_page
from worker.cli import app, run

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("benchmarks/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_of_commands_is_fresh() -> None:
    assert (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8") == commands_page()


def test_the_page_of_settings_is_fresh() -> None:
    assert (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8") == settings_page()


def test_every_command_has_an_example() -> None:
    for name, command in app.commands.items():
        inner = getattr(command, "commands", {name: command})
        for one in inner.values():
            assert f"Example: modelport {'' if one is command else name + ' '}{one.name}" in (one.epilog or ""), one.name


def test_the_page_of_findings_is_fresh() -> None:
    assert (ROOT / "docs" / "reference" / "findings.md").read_text(encoding="utf-8") == findings_page()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_leads_to_every_page_and_its_map_to_what_people_look_for() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", README))
    pages = {
        str(page.relative_to(ROOT))
        for folder in ("docs", "docs/reference", "docs/howto")
        for page in (ROOT / folder).glob("*.md")
    }
    assert pages <= linked
    assert {"detectors/safety", "detectors/executables", "worker/cage", "benchmarks/trust"} <= linked


def test_the_quick_start_is_two_commands_that_the_makefile_has() -> None:
    section = README.split("## Quick start")[1].split("##")[0]
    block = section.split("```sh\n")[1].split("```")[0].splitlines()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert block == ["make demo", "make test"]
    assert {"demo", "test"} <= set(targets)


def test_the_examples_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mnist").symlink_to(ROOT / "examples" / "digits")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELPORT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELPORT_SETTLE_SECONDS", "0")
    block = README.split("## Everyday use")[1].split("```sh\n")[1].split("```")[0]
    for line in block.splitlines():
        program, *arguments = line.split("#")[0].split()
        assert program == "modelport"
        assert run(arguments) == 0, line
    assert (tmp_path / "serving" / "1" / "digits.onnx").exists()
    capsys.readouterr()


def test_the_version_is_said_once_and_the_changelog_has_it() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_generated_modules_follow_from_their_protos(tmp_path: Path) -> None:
    protos = sorted((ROOT / "detectors" / "protos").glob("*.proto"))
    call = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT), f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([*call, *map(str, protos)], check=True)
    for made in sorted(tmp_path.rglob("*_pb2.py*")):
        assert made.read_text() == (ROOT / made.relative_to(tmp_path)).read_text(), made.name
