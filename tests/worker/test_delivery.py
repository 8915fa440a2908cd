"""How a delivery stands after each step: pure, so every number is here."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.registry import NOON
from worker.delivery import (
    LEASE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST_TRIES,
    OVER,
    TRY_SECONDS,
    Delivery,
    DeliveryKind,
    DeliveryState,
    claim,
    failed,
    given_up,
    new_delivery,
    pause_seconds,
    retried,
    told,
)

NEW = new_delivery("de1", "default", DeliveryKind.REGISTERED, "mlflow", "in1", "mo1", NOON)

steps = st.lists(st.sampled_from(["claim", "told", "failed", "given up", "retried"]), max_size=12)


def after(delivery: Delivery, step: str) -> Delivery:
    """Return *delivery* after a step, where it can be taken: what is over is not claimed, what does not run is not told."""
    runs, is_over = delivery.state is DeliveryState.RUNNING, delivery.state in OVER
    if step == "claim":
        return delivery if is_over else claim(delivery, "me", NOON)
    if step == "retried":
        return retried(delivery, NOON) or delivery
    if not runs:
        return delivery
    if step == "failed":
        return failed(delivery, "away", NOON, 0.5)
    return told(delivery, "there", NOON) if step == "told" else given_up(delivery, "never", NOON)


@given(steps)
def test_a_delivery_is_due_exactly_while_it_is_not_over(taken: list[str]) -> None:
    delivery = NEW
    for step in taken:
        delivery = after(delivery, step)
        assert (delivery.due is None) == (delivery.state in OVER)
        assert (delivery.owner is not None) == (delivery.state is DeliveryState.RUNNING)
        assert (delivery.delivered is not None) == (delivery.state is DeliveryState.DELIVERED)


@pytest.mark.parametrize("is_killed", [False, True], ids=["fails", "dies"])
def test_a_delivery_is_not_tried_for_ever_whoever_fails_at_it(is_killed: bool) -> None:
    delivery, tries = NEW, 0
    while delivery.state not in OVER:
        delivery = claim(delivery, "me", NOON)
        tries += delivery.state is DeliveryState.RUNNING
        if not is_killed and delivery.state is DeliveryState.RUNNING:
            delivery = failed(delivery, "away", NOON, 0.0)
    assert (tries, delivery.state) == (MOST_TRIES, DeliveryState.GIVEN_UP)
    assert delivery.message == ("400 tries; the last was me's" if is_killed else "away (tried 400 times)")


def test_pauses_grow_and_no_two_are_alike() -> None:
    assert [pause_seconds(tries, 1.0) for tries in (1, 2, 3, 4, 7, 8, 400)] == [10, 20, 40, 80, 600, 600, 600]
    assert [pause_seconds(1, chance) for chance in (0.0, 0.5)] == [5.0, 7.5]


def test_an_outage_of_two_days_is_outlasted() -> None:
    least = sum(pause_seconds(tries, 0.0) for tries in range(1, MOST_TRIES))
    assert timedelta(seconds=least) > timedelta(hours=32)
    assert timedelta(seconds=2 * least) > timedelta(days=2)


def test_a_try_and_a_request_that_outlasts_it_end_within_the_lease() -> None:
    assert TRY_SECONDS + 60 < LEASE_SECONDS
    assert LONGEST_PAUSE_SECONDS > LEASE_SECONDS
