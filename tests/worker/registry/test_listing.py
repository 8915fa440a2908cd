"""What lists of versions go by."""

from __future__ import annotations

import math

import pytest

from detectors.facts import Metric
from tests.contracts.lists import measured
from worker.records import Attention
from worker.registry.listing import BITS, Wanted, has_reason, headlines, wanted


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("MNIST", Wanted("mnist", None)),
        ("9f2c41d", Wanted("9f2c41d", None)),
        ("9F2C41D7", Wanted("9f2c41d7", "sha256:9f2c41d7")),
        ("sha256:9f2c41d7", Wanted("sha256:9f2c41d7", "sha256:9f2c41d7")),
        ("sha256:" + "a" * 65, Wanted("sha256:" + "a" * 65, None)),
        ("md5:9f2c41d7", Wanted("md5:9f2c41d7", None)),
    ],
)
def test_eight_digits_may_be_the_beginning_of_a_digest(text: str, meant: Wanted) -> None:
    assert wanted(text) == meant


def test_the_session_that_speaks_for_the_run_is_asked_for_each_metric_apart() -> None:
    given = [("eval", "a", 0.5), ("train", "a", 0.1), ("train", "b", 0.2), ("eval", "a", 0.6), ("eval", "b", math.nan)]
    found = headlines(Metric(name, value, None, session, "events") for session, name, value in given)
    assert found == {"a": 0.6, "b": 0.2}
    assert headlines(measured(a=math.inf, b=-math.inf, c=math.nan, d=2**63, e=-(2**63))) == {}
    assert headlines(measured(a=2**62)) == {"a": 2.0**62}


def test_every_reason_but_the_one_for_all_has_a_bit_of_its_own() -> None:
    assert set(BITS) == set(Attention) - {Attention.NEEDS_LOOK}
    for reason, bit in BITS.items():
        assert [other for other in BITS if has_reason(bit, other)] == [reason]
        assert has_reason(bit, Attention.NEEDS_LOOK)
    assert not any(has_reason(0, reason) for reason in Attention)
