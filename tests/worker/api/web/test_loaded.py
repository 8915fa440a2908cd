"""What the page of a version says of its load check."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from detectors.facts import TensorSpec
from tests.worker.api.conftest import Door
from tests.worker.api.web.run import dangerous, digits, ingest
from tests.worker.api.web.test_version_pages import headings, words
from tests.worker.api.web.visitor import Visitor
from worker.records import ModelVersion
from worker.verification import (
    Claims,
    Ending,
    LoadCheck,
    Outcome,
    Run,
    Rung,
    Seen,
    Tried,
    Verified,
    Withheld,
    kept_text,
    verification_json,
    worst,
)

RUN = Run("serve", True, 0.0124, "inputs of 0", "", (TensorSpec("y", "float32", (1, 10)),))
CLAIMS = Claims("", "tensorflow 2.21.0", True, 0.21, "", (RUN,))
SEEN = Seen(Rung.BUBBLEWRAP, Ending.ANSWERED, "", 1.34, 530_000_000, True, (), CLAIMS)
VERIFIED = LoadCheck("saved", "tensorflow_savedmodel", Outcome.VERIFIED, "", SEEN)
READS = replace(SEEN, tried=(Tried("read", "/home/ann/.ssh/id_rsa", 2),))
FAILED = replace(VERIFIED, outcome=Outcome.FAILED, why="signature <serve> does not run: \x1b[2J", seen=READS)


@pytest.fixture
def version(room: Door, tmp_path: Path) -> ModelVersion:
    return ingest(room, digits(tmp_path / "run"), "digits", experiment="e7")


def told(room: Door, reader: Visitor, version: ModelVersion, *checks: LoadCheck) -> str:
    """Return what the page says an hour after *checks* were kept."""
    text = kept_text(verification_json("digits@1", checks))
    assert room.registry.verifications.keep(version.id, Verified(worst(checks), text, room.clock.now()))
    room.clock.at += timedelta(hours=1)
    return words(reader.get(f"/versions/{version.id}"))


def test_before_a_load_check_it_is_said_how_one_is_made(reader: Visitor, version: ModelVersion) -> None:
    page = reader.get(f"/versions/{version.id}")
    assert "Load check" in headings(page)
    assert f"Load check Nobody has loaded it yet. modelport verify {version.id} loads it once in a sandbox" in words(page)


def test_a_model_that_loads_and_runs_is_told_with_what_it_took(room: Door, reader: Visitor, version: ModelVersion) -> None:
    said = told(room, reader, version, VERIFIED)
    assert "digits v1 Complete No findings It can be used: nothing speaks against it." in said
    for sentence in (
        "Load check Loads and runs Loaded once in a sandbox, 1 h ago ; it informs, and decides nothing.",
        "loads in 0.2 s by tensorflow 2.21.0",
        "runs serve in 0.012 s, inputs of 0",
        "outputs are those that its signatures declare",
        "1.3 s in all, memory 530 MB at most, in bubblewrap",
        "blocked: nothing, it tried nothing",
    ):
        assert sentence in said


def test_a_model_that_fails_says_so_at_the_top_and_what_it_was_kept_from(
    room: Door, reader: Visitor, version: ModelVersion
) -> None:
    said = told(room, reader, version, FAILED)
    assert "digits v1 Load check failed Complete No findings Look at its load check before you use it." in said
    assert "signature <serve> does not run: \\x1b[2J" in said
    assert "blocked: read /home/ann/.ssh/id_rsa × 2" in said


def test_a_failed_load_check_does_not_hide_what_is_worse(room: Door, reader: Visitor, tmp_path: Path) -> None:
    version = ingest(room, dangerous(tmp_path / "run"), "evil")
    said = told(room, reader, version, FAILED)
    assert "evil v1 1 high finding Load check failed Incomplete Read the findings before anybody loads it." in said


@pytest.mark.parametrize(
    ("check", "why"),
    [
        (LoadCheck("m", "onnx", Outcome.NOT_VERIFIED, "not verified (no sandbox): the kernel has none"), "the kernel has none"),
        (
            LoadCheck("m", "onnx", Outcome.NOT_VERIFIED, "all withheld", withheld=(Withheld("w.bin", "it is a hard link"),)),
            "withheld w.bin: it is a hard link",
        ),
    ],
)
def test_what_could_not_be_verified_says_why_and_speaks_against_nothing(
    check: LoadCheck, why: str, room: Door, reader: Visitor, version: ModelVersion
) -> None:
    said = told(room, reader, version, check)
    assert "Load check Not verified Loaded" not in said
    assert "Load check Not verified Tried once in a sandbox, 1 h ago" in said
    assert why in said
    assert "It can be used: nothing speaks against it." in said


def test_several_models_are_told_apart(room: Door, reader: Visitor, version: ModelVersion) -> None:
    said = told(room, reader, version, VERIFIED, replace(FAILED, root="other"))
    assert "Load check Load check failed Loaded once" in said
    assert "saved loads in 0.2 s" in said
    assert "other loads in 0.2 s" in said
