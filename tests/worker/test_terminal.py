"""What a person reads at terminals of several widths."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from worker import terminal

DOCS = Path(__file__).parents[2] / "docs"

MODEL: dict[str, Any] = {
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
    "store": "copy",
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


def test_no_line_of_a_report_is_filled_up_to_the_width_of_the_page() -> None:
    """A page that goes to a file is a million columns wide; filling one line up takes longer than the scan."""
    page = StringIO()
    terminal.show_report(Console(width=10_000, file=page, highlight=False), REPORT)
    assert len(page.getvalue()) < 10_000


def test_a_clean_report_without_findings_says_so() -> None:
    assert heading() == "✓ clean"


def test_findings_that_leave_it_clean_are_counted_beside_the_word() -> None:
    assert heading(findings=[finding("medium")]) == "✓ clean, 1 finding, medium"
    assert heading(findings=[finding("medium"), finding("low")]) == "✓ clean, 2 findings, medium at worst"


def test_serious_findings_are_counted_with_the_worst() -> None:
    assert heading(verdict="findings", findings=[finding("critical"), finding("low")]) == "⬣ 2 findings, critical at worst"


def test_a_lone_model_that_is_not_whole_is_the_heading_where_no_finding_is_listed() -> None:
    assert heading(verdict="findings", models=[model("incomplete")]) == "▲ incomplete"
    assert heading(verdict="findings", models=[model("corrupt")]) == "⬣ corrupt"


def test_the_heading_counts_the_models_that_are_not_whole() -> None:
    several = [model("complete"), model("incomplete"), model("corrupt"), model("incomplete")]
    assert heading(verdict="findings", models=several) == "⬣ 1 corrupt, 2 incomplete"
    assert heading(verdict="findings", models=several[:2], findings=[finding("medium")] * 6) == (
        "▲ 6 findings, medium at worst, 1 incomplete"
    )


def test_every_mark_is_explained() -> None:
    tables = (
        terminal.STATE_SIGNS,
        terminal.WHOLENESS_SIGNS,
        terminal.VERDICT_SIGNS,
        terminal.GONE_SIGNS,
        terminal.UNSURE_SIGNS,
    )
    used = {words[0] for table in tables for words, _ in table.values()} | {terminal.QUARANTINE_SIGN[0][0]}
    explained = re.findall(r"^\| (\S) \|", (DOCS / "reference" / "scan-report.md").read_text(), re.MULTILINE)
    assert set(explained) == used


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


def test_models_that_are_not_whole_come_first_with_their_problems_further_in() -> None:
    problem = {"path": "b.onnx", "problem": "ends after 7 bytes"}
    broken = MODEL | {"root": "b.onnx", "primary": False, "completeness": {"state": "corrupt", "problems": [problem]}}
    whole = MODEL | {"root": "a", "primary": False}
    shown = lines(80, lambda console: terminal.show_report(console, REPORT | {"models": [MODEL, whole, broken]}))
    at = shown.index("also here")
    assert shown[at + 1 : at + 4] == [
        "  ⬣ corrupt   10.1 kB  TensorFlow SavedModel  b.onnx",
        "    b.onnx: ends after 7 bytes",
        "  ✓ complete  10.1 kB  TensorFlow SavedModel  a",
    ]


def test_a_model_of_which_something_was_not_read_is_complete_as_far_as_it_was_read() -> None:
    other = MODEL | {"root": "b", "primary": False}
    unread = {"skipped": [], "inconclusive": [{"path": "b/weights", "reason": "lies outside"}]}
    shown = lines(120, lambda console: terminal.show_report(console, REPORT | {"models": [MODEL, other], "coverage": unread}))
    assert "  ◌ complete as far as it was read  10.1 kB  TensorFlow SavedModel  b" in shown
    assert shown[2].split("  ")[2] == "✓ complete"
    assert "not read  b/weights: lies outside" in shown


MANY = [{"path": f"f{at:02}", "reason": "no permission"} for at in range(23)]


@pytest.mark.parametrize(
    "changes",
    [
        {"findings": [finding("low")] * 23},
        {"coverage": {"skipped": MANY, "inconclusive": []}},
        {"coverage": {"skipped": [], "inconclusive": MANY}},
        {"models": [MODEL] + [MODEL | {"primary": False}] * 23},
        {"metrics": {"values": [{"name": "loss", "value": 0.5, "step": 1, "session": "eval"}] * 23}},
        {
            "models": [
                MODEL
                | {"facts": MODEL["facts"] | {"signatures": [{"name": "f", "method": "", "inputs": [], "outputs": []}] * 23}}
            ]
        },
    ],
    ids=["findings", "notes", "unread files", "models", "metrics", "signatures"],
)
def test_what_a_report_leaves_out_is_counted(changes: dict[str, Any]) -> None:
    shown = lines(120, lambda console: terminal.show_report(console, REPORT | changes))
    assert [line.strip() for line in shown if "more" in line] == ["and 3 more"]


def test_a_signature_without_inputs_says_so() -> None:
    signature = {"name": "init", "method": "", "inputs": [], "outputs": []}
    report = REPORT | {"models": [MODEL | {"facts": MODEL["facts"] | {"signatures": [signature]}}]}
    shown = lines(80, lambda console: terminal.show_report(console, report))
    at = shown.index("  signature init")
    assert shown[at + 1 : at + 3] == ["    (no inputs)", "  → (no outputs)"]


def outcome(version: dict[str, Any] = VERSION, **changes: Any) -> list[str]:
    ingestion = {"state": "registered", "answer": "created", "message": ""}
    report = REPORT | {"ingestion": ingestion, "version": version} | changes
    return lines(120, lambda console: terminal.show_outcome(console, report, "digits@1"))


def test_the_verdict_stands_beside_the_version_that_was_registered() -> None:
    registered = "registered mnist-classifier@3  moaaaaaaaaaaaa  257 kB copied  "
    assert outcome() == [registered + "✓ clean"]
    assert outcome(verdict="findings", models=[model("corrupt")]) == [registered + "⬣ corrupt"]
    assert outcome(verdict="inconclusive") == [registered + "◌ not fully read"]


def test_the_line_of_a_version_says_whether_its_files_were_copied_or_are_referenced() -> None:
    assert outcome(VERSION | {"store": "reference"}) == [
        "registered mnist-classifier@3  moaaaaaaaaaaaa  257 kB referenced  ✓ clean"
    ]


def test_findings_are_not_hidden_behind_a_model_that_is_corrupt() -> None:
    [line] = outcome(verdict="findings", models=[model("corrupt")], findings=[finding("high")])
    assert line.endswith("  257 kB copied  ⬣ 1 finding, high, corrupt")


def test_the_end_of_a_report_shows_the_verdict_on_its_version() -> None:
    row = {"id": "in4f8dzaduglhlx3cm1pp5", "state": "registered", "reason": "new-content", "attempts": 1, "message": "done"}
    row |= {"dtCreated": "2026-01-01T10:05:00.000Z", "experimentId": "e7", "modelPath": "/mnt/runs/mnist-7"}
    corrupt = VERSION | {"completeness": "corrupt"}
    assert lines(120, lambda console: terminal.show_end(console, row, corrupt))[-2:] == [
        "done",
        "mnist-classifier@3  moaaaaaaaaaaaa  257 kB copied  ⬣ corrupt",
    ]


def facts_shown(**changes: Any) -> list[str]:
    report = REPORT | {"models": [MODEL | {"root": "m", "facts": MODEL["facts"] | changes}]}
    shown = lines(80, lambda console: terminal.show_report(console, report))
    at = next(at for at, line in enumerate(shown) if line.endswith("  primary")) + 1
    return shown[at : shown.index("", at)]


def test_facts_stand_in_below_their_model_and_a_tool_is_named_once() -> None:
    tool = {"name": "cntk", "version": "2.5.1"}
    assert facts_shown(framework=tool, producer="CNTK 2.5.1", style="graph", created="2026-01-01T10:05:00Z") == [
        "  written by    cntk 2.5.1",
        "  saved as      a graph, as in TensorFlow 1",
        "  parameters    3 stored",
        "  operators     Const 24, VariableV2 4",
        "  created       2026-01-01 10:05:00 UTC",
    ]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (18_000, "18.0 kB"),
        (257_482, "257 kB"),
        (999_600, "1.00 MB"),
        (5 * 10**15, "5.00 PB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes_have_three_digits(count: int, told: str) -> None:
    assert terminal.size(count) == told


def test_an_ingestion_is_shown_in_words() -> None:
    row = {"id": "in4f8dzaduglhlx3cm1pp5", "state": "failed", "reason": "nothing-there", "message": "nothing is there"}
    row |= {"versionId": None, "projectId": "default", "trigger": "completion", "source": "modelport complete", "attempts": 2}
    row |= {
        "dtCreated": "2026-01-01T10:05:00.000Z",
        "experimentId": "e7",
        "modelPath": "/artifacts",
        "history": [],
        "format": None,
    }
    assert lines(80, lambda console: terminal.show_ingestion(console, row))[:10] == [
        "ingestion     in4f8dzaduglhlx3cm1pp5",
        "state         failed",
        "reason        nothing-there",
        "message       nothing is there",
        "path          /artifacts",
        "project       default",
        "experiment    e7",
        "asked by      completion from modelport complete",
        "accepted      2026-01-01 10:05:00 UTC",
        "attempts      2",
    ]


def test_a_history_of_many_looks_that_came_to_the_same_is_short() -> None:
    def step(second: int, state: str, reason: str | None = None, message: str | None = None) -> dict[str, Any]:
        return {"at": f"2026-01-01T10:05:{second:02}.000Z", "state": state, "reason": reason, "message": message}

    def shown(looks: int) -> list[str]:
        history = [step(0, "received")]
        for second in range(1, 2 * looks, 2):
            history.append(step(second, "running", "claimed", f"attempt 1 by worker-1.{second}"))
            history.append(step(second + 1, "waiting", "not-settled", "files changed a moment ago"))
        history.append(step(59, "failed", "not-settled", "given up"))
        row = {"id": "in4f8dzaduglhlx3cm1pp5", "state": "failed", "reason": "not-settled", "message": "given up", "attempts": 0}
        row |= {"versionId": None, "projectId": "default", "trigger": "cli", "source": "cli", "experimentId": None}
        row |= {"dtCreated": "2026-01-01T10:05:00.000Z", "modelPath": "/runs/1", "history": history, "format": None}
        return lines(80, lambda console: terminal.show_ingestion(console, row))[11:]

    assert shown(20) == [
        "2026-01-01 10:05:00  received",
        "2026-01-01 10:05:01  running   claimed      attempt 1 by worker-1.1",
        "2026-01-01 10:05:02  waiting   not-settled  files changed a moment ago",
        "                                            and 36 more steps like these two",
        "2026-01-01 10:05:39  running   claimed      attempt 1 by worker-1.39",
        "2026-01-01 10:05:40  waiting   not-settled  files changed a moment ago",
        "2026-01-01 10:05:59  failed    not-settled  given up",
    ]
    assert (len(shown(2)), len(shown(3)), len(shown(4))) == (6, 8, 7)


def test_the_version_that_one_is_equal_to_is_named() -> None:
    assert outcome(VERSION | {"duplicateOf": "mobbbbbbbbbbbb"})[1] == "equal to digits@1 (mobbbbbbbbbbbb) of another experiment"


def test_a_wide_terminal_shows_a_table_of_versions() -> None:
    assert lines(170, lambda console: terminal.show_versions(console, [VERSION])) == [
        "ID              MODEL               STATE      SIZE  TYPE        REGISTERED        PROJECT                "
        "EXPERIMENT                 TAGS",
        "moaaaaaaaaaaaa  mnist-classifier@3  ✓ clean  257 kB  Tensorflow  2026-01-01 10:05  vision-team-quarterly  "
        "mnist-2026-01-01T10-05-00  production, reviewed-by-anna",
    ]


GATES = [{"passed": False}, {"passed": True}]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "✓ clean"),
        ({"wholeness": "not checked"}, "◌ not checked"),
        ({"verdict": "inconclusive"}, "◌ not fully read"),
        ({"severities": {"medium": 1}}, "✓ clean"),
        ({"verdict": "findings"}, "▲ findings"),
        ({"verdict": "findings", "severities": {"high": 2, "low": 1}}, "⬣ 2 high"),
        ({"verdict": "findings", "completeness": "incomplete"}, "▲ incomplete"),
        (
            {"verdict": "findings", "completeness": "corrupt", "severities": {"high": 1, "critical": 3}, "gates": GATES},
            "⬣ 3 critical, 1 high, gate failed, corrupt",
        ),
        ({"gates": GATES}, "⬣ gate failed"),
        ({"gates": GATES * 2, "drift": {"state": "touched"}}, "⬣ 2 gates failed, files written since"),
        (
            {"quarantined": True, "verdict": "findings", "severities": {"high": 1}, "drift": {"state": "missing"}},
            "⊘ in quarantine, files gone, 1 high",
        ),
        ({"drift": {"state": "fine"}}, "✓ clean"),
    ],
)
def test_what_matters_most_of_a_version_is_seen_first(changes: dict[str, Any], state: str) -> None:
    shown = lines(300, lambda console: terminal.show_versions(console, [VERSION | changes]))[1]
    assert shown.split("  257 kB")[0].removeprefix("moaaaaaaaaaaaa  mnist-classifier@3  ") == state


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (
            60,
            [
                "moaaaaaaaaaaaa  mnist-classifier@3  ✓ clean  257 kB",
                "Tensorflow",
                "    registered 2026-01-01 10:05 ·",
                "    project vision-team-quarterly ·",
                "    experiment mnist-2026-01-01T10-05-00 ·",
                "    tags production, reviewed-by-anna",
            ],
        ),
        (
            80,
            [
                "moaaaaaaaaaaaa  mnist-classifier@3  ✓ clean  257 kB  Tensorflow",
                "    registered 2026-01-01 10:05 · project vision-team-quarterly ·",
                "    experiment mnist-2026-01-01T10-05-00 · tags production, reviewed-by-anna",
            ],
        ),
        (
            100,
            [
                "moaaaaaaaaaaaa  mnist-classifier@3  ✓ clean  257 kB  Tensorflow",
                "    registered 2026-01-01 10:05 · project vision-team-quarterly ·",
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
        "    accepted 2026-01-01 10:05:00 · attempts 2 ·",
        "    experiment e7 · path /mnt/runs/mnist-7",
    ]


def test_the_answer_of_a_server_names_the_path_that_it_will_look_at() -> None:
    def answered(state: str, path: str) -> list[str]:
        answer = {"id": "in4f8dzaduglhlx3cm1pp5", "state": state, "known": False}
        return lines(80, lambda console: terminal.show_answer(console, answer, path))

    assert answered("received", "/artifacts") == ["in4f8dzaduglhlx3cm1pp5: received; /artifacts will be looked at"]
    assert answered("ignored", "/artifacts") == ["in4f8dzaduglhlx3cm1pp5: ignored"]
    assert answered("received", "") == ["in4f8dzaduglhlx3cm1pp5: received"]


def test_records_are_listed_like_everything_else() -> None:
    """Heads and moments of teams, tokens, projects and the log look as in all other lists."""
    record = {"id": "tk4x8d3k2m9p1q", "dtLastUsed": "2026-01-01T10:05:00.000Z", "dtRevoked": None}
    assert lines(80, lambda console: terminal.show_records(console, [record], "no tokens")) == [
        "ID              LAST USED            REVOKED",
        "tk4x8d3k2m9p1q  2026-01-01 10:05:00  –",
    ]
