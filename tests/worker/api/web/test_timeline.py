"""What happened each minute of the last hour, drawn by the server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as some
from markupsafe import Markup

from worker.api.web.timeline import HEIGHT, MINUTES, WIDTH, timeline, whole_minutes

NOW = datetime(2026, 11, 22, 9, 15, 42, tzinfo=UTC)

counts = some.lists(some.none() | some.integers(0, 10**7), min_size=MINUTES, max_size=MINUTES)


def of(picture: Markup, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(str(picture)).iter(tag))


def test_the_minutes_are_those_that_are_over() -> None:
    minutes = whole_minutes(NOW)
    assert len(minutes) == MINUTES
    assert (minutes[0], minutes[-1]) == (NOW.replace(hour=8, second=0), NOW.replace(minute=14, second=0))


def test_a_curve_ends_with_the_last_minute_and_its_number() -> None:
    picture = timeline("Failed a minute", [0] * 58 + [9, 3], NOW, "failed")
    assert [text.text for text in of(picture, "text")] == [
        *("0", "5", "10"),
        *("08:15", "08:30", "08:45", "09:00", "09:15"),
        "3",
    ]
    [line] = of(picture, "polyline")
    assert (line.get("points") or "").endswith("309.4,23.6 314.0,93.2")
    assert of(picture, "title")[0].text == "Failed a minute, last hour"
    assert of(picture, "desc")[0].text == "12 in 60 minutes, 9 a minute at most, 3 in the last."


def test_an_hour_without_anything_is_a_line_at_the_bottom() -> None:
    picture = timeline("Failed a minute", [0] * 60, NOW, "failed")
    assert of(picture, "desc")[0].text == "None in the last 60 minutes."
    assert {text.text for text in of(picture, "text")} >= {"0", "1", "2"}


def test_a_minute_that_nobody_counted_is_a_gap() -> None:
    picture = timeline("Failed a minute", [None] * 40 + [7] * 20, NOW, "failed")
    [line] = of(picture, "polyline")
    assert len((line.get("points") or "").split()) == 20
    assert (of(picture, "desc")[0].text or "").endswith("Not known for the first 40 minutes: there are too many to count.")
    nothing = timeline("Failed a minute", [None] * 60, NOW, "failed")
    assert of(nothing, "polyline") == of(nothing, "circle") == []


@given(counts)
def test_the_drawing_stays_inside_its_frame(found: list[int | None]) -> None:
    picture = timeline("<b>", found, NOW, "x")
    for line in of(picture, "polyline"):
        points = [tuple(map(float, point.split(","))) for point in (line.get("points") or "").split()]
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    for text in of(picture, "text"):
        assert 0 <= float(text.get("x", "-1")) <= WIDTH
    labels = [text.text or "" for text in of(picture, "text")]
    assert all(re.fullmatch(r"[\d,:.k]+", label) for label in labels)
    assert len(labels) <= 12


def test_the_hour_is_in_utc_wherever_somebody_looks() -> None:
    assert whole_minutes(NOW) == whole_minutes(NOW + timedelta(seconds=10))
