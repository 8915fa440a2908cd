"""The commands of docs/howto are real ones: ours have these options, and what others are told of is in the project."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile, groupby, takewhile
from pathlib import Path

import click
import pytest

from tests.test_compose import check_command

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
UNITS = ROOT / "deploy" / "systemd"
PROGRAMS = (
    "apt-get celery cp createdb curl docker dropdb grep install jq kubectl ln mkdir mv openssl pg_dump pg_restore pip"
    " python3 rm"
)
OF_OTHERS = frozenset((*PROGRAMS.split(), "systemctl", "useradd", "echo", "export", "set"))


def shown(page: Path) -> Iterator[str]:
    """Yield the lines of the blocks of commands, and what stands in a line as a command of ours."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`((?:modelport|make) [^`]+)`", text)


def commands(line: str) -> Iterator[list[str]]:
    """Yield the words of each command of a pipe, without what is set for it and where it writes to."""
    for is_bar, words in groupby(shlex.split(line, comments=True), lambda word: word == "|"):
        if not is_bar:
            behind = dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=.*", word, re.DOTALL), words)
            yield list(takewhile(lambda word: not re.match(r"\d?>", word), behind))


def ours(words: list[str]) -> tuple[str, ...] | None:
    """Return the words after `modelport` where that is run, wherever its program lies and whatever runs it."""
    places = [place for place, word in enumerate(words) if word == "modelport" or word.endswith("/bin/modelport")]
    is_run = places and (places[0] == 0 or "/" in words[places[0]] or words[0] in ("kubectl", "docker"))
    return tuple(words[places[0] + 1 :]) if is_run else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_one_that_there_is(page: Path) -> None:
    for words in (words for line in shown(page) for words in commands(line)):
        own = ours(words)
        if own is not None:
            check_command_or_version(own)
        elif words and words[0] == "make":
            assert words[1] in TARGETS, words
        elif words:
            assert Path(words[0]).name in OF_OTHERS, words
        check_named(words)


def check_command_or_version(words: tuple[str, ...]) -> None:
    if words == ("--version",):
        return
    if words[:2] in (("ingestions", "retry"), ("ingestions", "discard")) and words[2:3] and words[2].startswith("--"):
        assert "--all" in words, f"modelport {' '.join(words)}: which ones is told by options of --all"
    try:
        check_command(words)
    except click.MissingParameter:  # a sentence names the command without what it needs
        return
    except click.ClickException as exc:
        raise AssertionError(f"modelport {' '.join(words)}: {exc.format_message()}") from exc


def check_named(words: list[str]) -> None:
    """Check that what *words* name of the project is there: its files, and its units."""
    for word in words:
        if word.startswith(("deploy/", "docs/")):
            assert list(ROOT.glob(word)), word
        if re.match(r"modelport[\w@.*-]*\.(service|target)$", word):
            unit = re.sub(r"@[^.]+\.", "@.", word)
            assert (UNITS / unit).exists(), word
    if "-k" in words and words[0] == "kubectl":
        assert (ROOT / words[words.index("-k") + 1] / "kustomization.yaml").exists()


def test_a_slip_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="--repare"):
        check_command_or_version(("doctor", "--repare"))
    with pytest.raises(AssertionError, match="--all"):
        check_command_or_version(("ingestions", "retry", "--reason", "store-unavailable"))
    with pytest.raises(AssertionError):
        check_named(["systemctl", "restart", "modelport-apy.service"])
