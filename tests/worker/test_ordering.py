"""Orders as people write them."""

from __future__ import annotations

import pytest

from worker.errors import RejectedEvent
from worker.ordering import parse_order
from worker.records import NEWEST_FIRST, Order, SortKey


@pytest.mark.parametrize(
    ("text", "order"),
    [
        (None, NEWEST_FIRST),
        ("-created", NEWEST_FIRST),
        ("created", Order(SortKey.CREATED)),
        ("name", Order(SortKey.NAME)),
        ("-size", Order(SortKey.SIZE, is_descending=True)),
        ("metric:accuracy", Order(SortKey.METRIC, "accuracy")),
        ("-metric:val/loss:1 -x", Order(SortKey.METRIC, "val/loss:1 -x", True)),
        ("metric:-", Order(SortKey.METRIC, "-")),
    ],
)
def test_an_order_is_read_as_it_is_written(text: str | None, order: Order) -> None:
    assert parse_order(text) == order


@pytest.mark.parametrize("text", ["", "-", "--name", "Name", "metric", "metric:", "-metric:", "accuracy", "name,size", "+name"])
def test_any_other_is_refused_in_words(text: str) -> None:
    with pytest.raises(RejectedEvent, match=r"sort: expected created, name, size or metric:NAME, .* found '") as refused:
        parse_order(text)
    assert str(refused.value).endswith(f"found {text!a}")
