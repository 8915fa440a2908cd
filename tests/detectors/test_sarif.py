"""Scans as SARIF: valid by the official schema, complete, and safe to show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import sarif
from detectors.facts import Finding, Note, Severity
from detectors.local_tree import LocalTree
from detectors.rules import RULES
from detectors.sarif import MAX_RESULTS, NOTIFICATIONS, SECURITY_SEVERITY, WHOLENESS, sarif_log
from detectors.scan import UNSEEN, Coverage, Scan, Verdict, judge, scan
from detectors.tree import MemoryTree
from tests.builders import onnx
from tests.detectors.sarif_schema import mistakes

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
URI_REFERENCE = re.compile(r"([A-Za-z0-9/._~-]|%[0-9A-F]{2})+")
"""What paths become, by RFC 3986, section 2; an empty one, which names the log itself, never is."""

OUTSIDE = onnx.model(onnx.small_graph(initializers=[onnx.external_tensor(location="../../etc/passwd")]))
MISSING = onnx.model(onnx.small_graph(initializers=[onnx.external_tensor(location="w.bin")]))


def looked_at(**files: bytes) -> Scan:
    return scan(MemoryTree({name.replace("__", "/"): data for name, data in files.items()}))


def run_of(found: Scan, base: str = "") -> dict[str, Any]:
    """Return the one run of the log of *found*, which the schema must take."""
    log = sarif_log(found, base, "0.1.0")
    assert mistakes(log) == []
    [run] = log["runs"]
    assert isinstance(run, dict)
    return run


def results_of(found: Scan, base: str = "") -> list[dict[str, Any]]:
    return [dict(result) for result in run_of(found, base)["results"]]


ALL_READ = Coverage(1, (), ())


def with_findings(*findings: Finding, coverage: Coverage = ALL_READ) -> Scan:
    return replace(UNSEEN, findings=findings, coverage=coverage, verdict=judge((), findings, coverage))


def finding(message: str = "m", path: str = "p", place: str = "", severity: Severity = Severity.HIGH) -> Finding:
    return Finding("odd-name", severity, path, place, message)


def test_the_schema_would_notice_a_slip() -> None:
    log = sarif_log(looked_at(m=OUTSIDE), "", "0.1.0")
    log["runs"][0]["results"][0]["level"] = "high"
    assert mistakes(log) == ["$.runs[0].results[0].level: 'high' is not one of ['none', 'note', 'warning', 'error']"]


def test_a_clean_run_has_no_results_and_says_so() -> None:
    with LocalTree(EXAMPLE) as tree:
        run = run_of(scan(tree), "examples/digits/")
    assert run["results"] == []
    assert run["properties"]["verdict"] == "clean"
    assert {model["format"] for model in run["properties"]["models"]} >= {"onnx", "tensorflow_savedmodel"}
    assert run["automationDetails"]["id"] == "modelport/examples/digits/"


def test_a_finding_is_a_result_with_its_rule_level_and_place() -> None:
    found = scan(MemoryTree({"nets/m.onnx": OUTSIDE}))
    [result] = [one for one in results_of(found, "models/") if one["ruleId"] == "onnx-external-data-outside"]
    [written] = [one for one in found.findings if one.rule == "onnx-external-data-outside"]
    assert (result["level"], result["kind"], result["properties"]["severity"]) == ("error", "fail", "high")
    [location] = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "models/nets/m.onnx"
    assert location["logicalLocations"] == [{"fullyQualifiedName": written.place}]
    assert result["message"]["text"] == f"{written.message} ({written.place})"
    rule = run_of(found)["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"]
    assert rule["properties"]["security-severity"] == "8.0"


def test_what_a_model_lacks_and_what_contradicts_itself_are_results() -> None:
    cut = onnx.model(more=onnx.field(7, b"x" * 100))[:-50]
    found = scan(MemoryTree({"a/m.onnx": MISSING, "b/m.onnx": cut}))
    told = [
        (one["ruleId"], one["level"], one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
        for one in results_of(found)
    ]
    assert told == [("model-incomplete", "error", "a/w.bin"), ("model-corrupt", "error", "b/m.onnx")]


def test_what_could_not_be_read_is_a_result_and_a_notification() -> None:
    coverage = Coverage(2, (Note("n", "told by name"),), (Note("closed.onnx", "may not be read"),))
    run = run_of(replace(UNSEEN, coverage=coverage))
    [result] = run["results"]
    assert (result["ruleId"], result["level"], result["kind"]) == ("not-fully-read", "warning", "fail")
    [invocation] = run["invocations"]
    unread, note = invocation["toolExecutionNotifications"]
    assert (unread["level"], unread["associatedRule"]["id"], unread["message"]["text"]) == (
        "warning",
        "not-fully-read",
        "may not be read",
    )
    assert (note["level"], note["descriptor"]["id"], note["message"]["text"]) == ("note", "note", "told by name")


def test_a_path_without_a_model_is_told() -> None:
    found = looked_at(notes=b"nothing")
    run = run_of(found)
    assert (found.verdict, run["results"]) == (Verdict.NOTHING, [])
    [told] = run["invocations"][0]["toolExecutionNotifications"]
    assert (told["level"], told["descriptor"]["id"]) == ("warning", "nothing")
    assert told["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "."


def test_every_rule_is_listed_with_what_forges_show_of_it() -> None:
    """GitHub takes texts of 1,024 characters, and a severity for security above 0.0."""
    driver = run_of(looked_at(m=onnx.model()))["tool"]["driver"]
    rules = {rule["id"]: rule for rule in driver["rules"]}
    assert set(rules) == {*RULES, *(rule.name for rule in WHOLENESS)}
    for rule in rules.values():
        assert 0 < len(rule["shortDescription"]["text"]) <= 1024
        assert 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert "**What to do**" in rule["help"]["markdown"]
    assert rules["tf-equal-tags"]["defaultConfiguration"]["level"] == "note"
    assert rules["tf-equal-tags"]["properties"]["problem.severity"] == "recommendation"
    assert "security-severity" not in rules["tf-equal-tags"]["properties"]
    assert "security-severity" not in rules["model-corrupt"]["properties"]
    assert [one["id"] for one in driver["notifications"]] == list(NOTIFICATIONS)


def test_the_severities_fall_into_the_bands_of_github() -> None:
    critical, high, medium, low = (float(SECURITY_SEVERITY[one]) for one in list(Severity)[:4])
    assert 9 < critical <= 10
    assert 7 <= high < 9
    assert 4 <= medium < 7
    assert 0 < low < 4


def test_the_worst_stand_first() -> None:
    low, critical = finding(severity=Severity.LOW), finding(severity=Severity.CRITICAL)
    unread = Coverage(0, (), (Note("c", "closed"),))
    told = [one["properties"]["severity"] for one in results_of(with_findings(low, critical, coverage=unread))]
    assert told == ["critical", "medium", "low"]


def test_more_than_a_forge_takes_is_left_out_and_told() -> None:
    run = run_of(with_findings(*(finding(path=f"p{number}") for number in range(MAX_RESULTS + 3))))
    assert len(run["results"]) == MAX_RESULTS
    [told] = run["invocations"][0]["toolExecutionNotifications"]
    assert told["message"]["text"].startswith("3 further results are left out")


@pytest.mark.parametrize(
    ("base", "path", "uri"),
    [
        ("", "m.onnx", "m.onnx"),
        ("", "", "."),
        ("nets/", "", "nets/"),
        ("s3://bucket/run/", "a b/é.onnx", "s3://bucket/run/a%20b/%C3%A9.onnx"),
        ("", "C:\\m#1?.onnx", "C%3A%5Cm%231%3F.onnx"),
        ("", "m\udcff%.onnx", "m%FF%25.onnx"),
        ("", "m\ud800.onnx", "m%5Cud800.onnx"),
    ],
)
def test_a_path_is_percent_encoded_byte_by_byte(base: str, path: str, uri: str) -> None:
    assert sarif.uri_of(base, path) == uri


FINDINGS = st.builds(
    Finding,
    st.sampled_from(sorted(RULES)),
    st.sampled_from(Severity),
    st.text(st.characters(codec=None), max_size=8),
    st.text(st.characters(codec=None), max_size=8),
    st.text(st.characters(codec=None), max_size=12) | st.text("[]({})0 ", max_size=12),
)
NOTES = st.lists(st.builds(Note, st.text(max_size=5), st.text("[]({})0 ", max_size=12)), max_size=2).map(tuple)
SCANS = st.builds(
    lambda findings, coverage: replace(
        UNSEEN, findings=tuple(findings), coverage=coverage, verdict=judge((), findings, coverage)
    ),
    st.lists(FINDINGS, max_size=4),
    st.builds(Coverage, st.just(0), NOTES, NOTES),
)


@settings(max_examples=40, deadline=None)
@given(SCANS)
def test_a_log_without_results_is_of_a_clean_scan_or_of_nothing(found: Scan) -> None:
    results = results_of(found)
    assert results or found.verdict in (Verdict.CLEAN, Verdict.NOTHING)
    for result in results:
        assert URI_REFERENCE.fullmatch(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])


def test_a_scan_that_never_was_is_not_clean() -> None:
    assert [one["ruleId"] for one in results_of(UNSEEN)] == ["not-fully-read"]


@settings(max_examples=40, deadline=None)
@given(SCANS)
def test_the_fingerprint_of_a_result_is_the_same_in_every_run(found: Scan) -> None:
    """… whatever its message says, and wherever the run lies; and no two results of a log have the same."""
    other = replace(found, findings=tuple(replace(one, message=f"{one.message}, again") for one in found.findings))
    prints, again = (
        [one["partialFingerprints"]["primaryLocationLineHash"] for one in results_of(*looked)]
        for looked in ((found, ""), (other, "elsewhere/"))
    )
    assert prints == again
    assert len(set(prints)) == len(prints)


def test_the_fingerprint_never_changes_between_releases() -> None:
    [first, second] = results_of(with_findings(finding("one"), finding("two")))
    assert first["partialFingerprints"] == {"primaryLocationLineHash": "3397a2e6b5a448a46d2192777c0b831c:1"}
    assert second["partialFingerprints"] == {"primaryLocationLineHash": "3397a2e6b5a448a46d2192777c0b831c:2"}


@settings(max_examples=60, deadline=None)
@given(SCANS)
def test_what_a_model_says_of_itself_makes_no_link_and_no_placeholder(found: Scan) -> None:
    run = run_of(found)
    told = [*run["results"], *run["invocations"][0]["toolExecutionNotifications"]]
    for text in (one["message"]["text"] for one in told):
        assert "](" not in text
        assert not re.search(r"[{}]", text.replace("{{", "").replace("}}", ""))
        assert text


def test_a_name_that_would_be_a_link_is_shown_as_it_is_but_for_a_space() -> None:
    [result] = results_of(with_findings(finding("node '[free money](https://evil.example)' {0}")))
    assert result["message"]["text"] == "node '[free money] (https://evil.example)' {{0}}"
