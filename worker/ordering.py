"""The order of a list, as people write it: `created`, `name`, `size` or `metric:NAME`, after a `-` the other way round."""

from __future__ import annotations

from worker.errors import RejectedEvent
from worker.records import NEWEST_FIRST, Order, SortKey

METRIC = f"{SortKey.METRIC.value}:"

MAX_SHOWN_CHARACTERS = 80
"""How much of a wrong order a rejection repeats."""


def parse_order(text: str | None) -> Order:
    """Return the order that *text* means; newest first for None.

    Raises:
        RejectedEvent: it means none.
    """
    if text is None:
        return NEWEST_FIRST
    is_descending, word = text.startswith("-"), text.removeprefix("-")
    if word.startswith(METRIC) and word != METRIC:
        return Order(SortKey.METRIC, word.removeprefix(METRIC), is_descending)
    if word in (SortKey.CREATED.value, SortKey.NAME.value, SortKey.SIZE.value):
        return Order(SortKey(word), None, is_descending)
    expected = "created, name, size or metric:NAME, or one of them after a -"
    raise RejectedEvent(f"sort: expected {expected}, found {text[:MAX_SHOWN_CHARACTERS]!a}")
