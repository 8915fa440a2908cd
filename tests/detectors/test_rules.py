"""The rules of the scanner, and that nothing is found without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from detectors.facts import Severity
from detectors.rules import RULES, Rule, advice_on, rule
from detectors.scan import RULES_VERSION

DETECTORS = Path(__file__).parents[2] / "detectors"
RAISED = re.compile(r'Finding\(\s*"([a-z0-9-]+)",\s*(?:Severity\.)?(\w+)')


def test_every_finding_has_a_rule() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in DETECTORS.rglob("*.py"))
    raised = RAISED.findall(code)
    assert raised
    for name, severity in raised:
        assert name in RULES, name
        if severity.isupper():
            assert Severity[severity] in RULES[name].severities, name


@pytest.mark.parametrize("one", RULES.values(), ids=lambda one: one.name)
def test_a_rule_says_how_bad_it_may_be_why_and_what_to_do(one: Rule) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]+", one.name)
    assert one.severities == tuple(sorted(set(one.severities), key=list(Severity).index))
    assert one.severities
    for words in (one.says, one.why, one.advice):
        assert words
        assert not words.endswith("."), words
        assert "|" not in words, "a table of the documentation would break"
    assert 1 <= one.since <= int(RULES_VERSION)


def test_a_rule_of_another_version_has_no_advice() -> None:
    assert advice_on("of-another-time") == ""
    with pytest.raises(KeyError):
        rule("of-another-time")
