"""What a person reads at terminals of several widths."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from worker import terminal

MODEL = {
    "root": "tensorflow_serving/servables/testdata/half_plus_two/00000123",
    "primary": True,
    "format": "tensorflow_savedmodel",
    "completeness": {"state": "complete", "problems": []},
    "facts": {
        "signatures": [],
        "parameters": {"stored": 3},
        "size_bytes": 10_100,
        "framework": None,
        "producer": None,
        "style": None,
        "tags": [],
        "opset_imports": {},
        "operators": {"Const": 24, "VariableV2": 4},
        "custom_operators": [],
        "created": None,
    },
}
REPORT: dict[str, Any] = {
    "path": "/work/runs/of/a/team/with/long/names/of/folders/mnist-2026-01-01T10-05-00/export",
    "verdict": "clean",
    "models": [MODEL],
    "metrics": {"values": []},
    "metadata": {"source": None},
    "findings": [],
    "coverage": {"skipped": [], "inconclusive": []},
    "read": {"files": 2, "bytes": 246_000, "seconds": 0.0167},
}
VERSION = {
    "id": "moaaaaaaaaaaaa",
    "name": "mnist-classifier",
    "number": 3,
    "completeness": "complete",
    "verdict": "clean",
    "sizeBytes": 257_000,
    "modelType": "Tensorflow",
    "dtCreated": "2026-01-01T10:05:00.000Z",
    "projectId": "vision-team-quarterly",
    "experimentId": "mnist-2026-01-01T10-05-00",
    "tags": ["production", "reviewed-by-anna"],
}


def lines(width: int, show: Callable[[Console], None]) -> list[str]:
    with open(os.devnull, "w") as nowhere:
        console = Console(width=width, record=True, file=nowhere, highlight=False)
        show(console)
        return [line.rstrip() for line in console.export_text().splitlines()]


def heading(**changes: Any) -> str:
    return lines(160, lambda console: terminal.show_report(console, REPORT | changes))[0].split("  ")[0]


def finding(severity: str) -> dict[str, str]:
    return {"severity": severity, "rule": "tf-file-read", "path": "saved_model.pb", "place": "", "message": "reads a file"}


def model(state: str) -> dict[str, Any]:
    return MODEL | {"completeness": {"state": state, "problems": []}}


def test_a_clean_report_without_findings_says_so() -> None:
    assert heading() == "✓ clean"


def test_findings_that_leave_it_clean_are_counted_beside_the_word() -> None:
    assert heading(findings=[finding("medium")]) == "✓ clean, 1 finding, medium"
    assert heading(findings=[finding("medium"), finding("low")]) == "✓ clean, 2 findings, medium at worst"


def test_serious_findings_are_counted_with_the_worst() -> None:
    assert heading(verdict="findings", findings=[finding("critical"), finding("low")]) == "▲ 2 findings, critical at worst"


def test_a_model_that_is_not_whole_is_the_heading_where_no_finding_is_listed() -> None:
    assert heading(verdict="findings", models=[model("complete"), model("incomplete")]) == "▲ incomplete"
    assert heading(verdict="findings", models=[model("incomplete"), model("corrupt")]) == "⬣ corrupt"


def test_what_was_not_read_stays_not_fully_read_beside_findings() -> None:
    assert heading(verdict="inconclusive", findings=[finding("medium")]) == "◌ not fully read, 1 finding, medium"


def test_a_report_of_an_earlier_time_says_when_it_was_read() -> None:
    now = lines(80, lambda console: terminal.show_report(console, REPORT))
    earlier = lines(80, lambda console: terminal.show_report(console, REPORT, is_earlier=True))
    assert now[-1] == "read 246 kB of 2 files in 16.7 ms"
    assert earlier[-1] == "read 246 kB of 2 files in 16.7 ms when it was registered"


def test_a_report_is_broken_after_folders_and_between_words() -> None:
    assert lines(60, lambda console: terminal.show_report(console, REPORT))[:6] == [
        "✓ clean  /work/runs/of/a/team/with/long/names/of/folders/",
        "mnist-2026-01-01T10-05-00/export",
        "",
        "TensorFlow SavedModel  tensorflow_serving/servables/",
        "testdata/half_plus_two/00000123  ✓ complete  10.1 kB",
        "primary",
    ]


def test_a_wide_terminal_shows_a_table_of_versions() -> None:
    assert lines(170, lambda console: terminal.show_versions(console, [VERSION])) == [
        "ID              MODEL               STATE      SIZE  TYPE        CREATED           PROJECT                "
        "EXPERIMENT                 TAGS",
        "moaaaaaaaaaaaa  mnist-classifier@3  ✓ clean  257 kB  Tensorflow  2026-01-01 10:05  vision-team-quarterly  "
        "mnist-2026-01-01T10-05-00  production, reviewed-by-anna",
    ]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            60,
            [
                "moaaaaaaaaaaaa  mnist-classifier@3  ✓ clean  257 kB",
                "Tensorflow",
                "    created 2026-01-01 10:05 ·",
                "    project vision-team-quarterly ·",
                "    experiment mnist-2026-01-01T10-05-00 ·",
                "    tags production, reviewed-by-anna",
            ],
        ),
        (
            80,
            [
                "moaaaaaaaaaaaa  mnist-classifier@3  ✓ clean  257 kB  Tensorflow",
                "    created 2026-01-01 10:05 · project vision-team-quarterly ·",
                "    experiment mnist-2026-01-01T10-05-00 · tags production, reviewed-by-anna",
            ],
        ),
        (
            100,
            [
                "moaaaaaaaaaaaa  mnist-classifier@3  ✓ clean  257 kB  Tensorflow",
                "    created 2026-01-01 10:05 · project vision-team-quarterly ·",
                "    experiment mnist-2026-01-01T10-05-00 · tags production, reviewed-by-anna",
            ],
        ),
    ],
)
def test_a_narrow_terminal_shows_every_field_of_a_version(width: int, expected: list[str]) -> None:
    assert lines(width, lambda console: terminal.show_versions(console, [VERSION])) == expected


def test_a_narrow_terminal_shows_every_field_of_an_ingestion() -> None:
    row = {"id": "in4f8dzaduglhlx3cm1pp5", "state": "failed", "reason": "nothing-there", "attempts": 2}
    row |= {"dtCreated": "2026-01-01T10:05:00.000Z", "experimentId": "e7", "modelPath": "/mnt/runs/mnist-7"}
    assert lines(60, lambda console: terminal.show_ingestions(console, [row])) == [
        "in4f8dzaduglhlx3cm1pp5  failed  nothing-there",
        "    accepted 2026-01-01 10:05:00 · tries 2 · experiment e7 ·",
        "    path /mnt/runs/mnist-7",
    ]
