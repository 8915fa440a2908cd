"""Pictures that the server draws."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from worker.api.web.pictures import HEIGHT, MOST_POINTS, WIDTH, Curve, bar, curves, key, parts, percent, sparkline

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def spaced(text: object) -> str:
    return str(text).replace("\u00a0", " ")


def tree(picture: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(picture))


def of(picture: Markup, tag: str) -> list[ElementTree.Element]:
    return list(tree(picture).iter(tag))


ACCURACY = Curve("eval", ((0, 0.5), (6000, 0.9), (12_000, 1.0)))


def test_a_curve_goes_from_its_first_to_its_last_value() -> None:
    """The plot reaches from (40, 166) to (324, 12): the axis from 0.4 to 1.0, so 0.5 lies at 166 - 154 / 6."""
    picture = curves("accuracy by step", [ACCURACY], "m1")
    assert [line.get("points") for line in of(picture, "polyline")] == ["40.0,140.3 182.0,37.7 324.0,12.0"]
    assert [text.text for text in of(picture, "text")] == [
        *("0.4", "0.6", "0.8", "1.0"),
        *("0", "5k", "10k"),
        "step",
        "1.0000",
    ]
    assert of(picture, "title")[0].text == "accuracy by step"
    assert of(picture, "desc")[0].text == "eval rises from 0.5000 at step 0 to 1.0000 at step 12,000."
    assert tree(picture).get("aria-labelledby") == "m1-t m1-d"


def test_a_second_curve_is_dashed_and_both_ends_can_be_read() -> None:
    train = Curve("train", ((0, 0.6), (12_000, 0.999)))
    picture = curves("accuracy", [ACCURACY, train], "m1")
    assert [line.get("class") for line in of(picture, "polyline")] == ["line-b", "line-a"]
    ends = [(text.text, float(text.get("y", ""))) for text in of(picture, "text")][-2:]
    assert [name for name, _ in ends] == ["0.9990", "1.0000"]
    assert abs(ends[0][1] - ends[1][1]) >= 13
    assert of(picture, "desc")[0].text == (
        "eval rises from 0.5000 at step 0 to 1.0000 at step 12,000; train ends at 0.9990 at step 12,000."
    )


def test_what_is_no_number_is_a_gap_and_is_counted() -> None:
    points = ((1, 0.5), (2, math.nan), (3, 0.7), (4, 0.8), (5, math.inf), (6, math.nan))
    picture = curves("loss", [Curve("eval", points)], "m1")
    assert len(of(picture, "polyline")) == 1
    assert [dot.get("r") for dot in of(picture, "circle")] == ["2.5", "3.5"]
    assert spaced(of(picture, "desc")[0].text) == (
        "eval rises from 0.5000 at step 1 to 0.8000 at step 4, 3 values not drawn because they are no finite number."
    )


def test_nothing_but_gaps_is_said_and_not_drawn() -> None:
    picture = curves("loss", [Curve("eval", ((1, math.nan),))], "m1")
    assert not of(picture, "polyline") + of(picture, "circle")
    assert spaced(of(picture, "desc")[0].text) == (
        "eval has no value that can be drawn; 1 value not drawn because it is no finite number."
    )
    assert of(curves("loss", [], "m1"), "desc")[0].text == "loss: no values."


def test_one_value_is_a_point() -> None:
    picture = curves("loss", [Curve("eval", ((7, 0.25),))], "m1")
    assert not of(picture, "polyline")
    assert of(picture, "text")[-1].text == "0.2500"


def test_many_points_keep_their_extremes() -> None:
    points = [(step, 0.0) for step in range(10_000)]
    points[4321], points[8765] = (4321, 10.0), (8765, -10.0)
    drawn = of(curves("loss", [Curve("eval", tuple(points))], "m1"), "polyline")[0].get("points", "").split()
    assert len(drawn) <= MOST_POINTS + 1
    assert {"12.0", "166.0"} < {point.partition(",")[2] for point in drawn}


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([0.0, 1.0, 0.5], ["3.0,20.0 48.0,4.0 93.0,12.0"]),
        ([2.0, 2.0], ["3.0,12.0 93.0,12.0"]),
        ([0.0, None, 1.0, 1.0], ["63.0,4.0 93.0,4.0"]),
        ([], []),
        ([math.nan], []),
    ],
)
def test_a_sparkline_goes_from_version_to_version(values: list[float | None], places: list[str]) -> None:
    assert [line.get("points") for line in of(sparkline("accuracy", values), "polyline")] == places


def test_a_sparkline_says_what_it_shows() -> None:
    assert spaced(tree(sparkline("accuracy", [0.9702, 0.9911])).get("aria-label")) == (
        "accuracy over 2 versions, 0.9702 to 0.9911"
    )


def test_a_bar_is_as_long_as_its_share() -> None:
    assert [of(bar(share), "rect")[0].get("width") for share in (0.585, 2.0, -1.0, math.nan)] == [
        *("58.5", "100.0", "0.0", "0.0")
    ]


def test_parts_make_a_whole_and_small_ones_are_one() -> None:
    picture = parts([("float32", 70), ("int64", 20), ("a", 5), ("b", 3), ("c", 2)])
    assert [(rect.get("class"), rect.get("x"), rect.get("width")) for rect in of(picture, "rect")] == [
        ("p1", "0.0", "698.0"),
        ("p2", "700.0", "198.0"),
        ("p3", "900.0", "48.0"),
        ("p4", "950.0", "48.0"),
    ]
    assert spaced(tree(picture).get("aria-label")) == "float32 70.0 %, int64 20.0 %, a 5.0 %, others 5.0 %"
    assert parts([]) == ""
    assert of(key(9), "rect")[0].get("class") == "p4"


def test_a_share_of_next_to_nothing_is_not_nothing() -> None:
    assert [spaced(percent(count, 100_000)) for count in (0, 1, 98_100)] == ["0.0 %", "< 0.1 %", "98.1 %"]


outside = st.text(st.characters(), max_size=12)
odd = st.sampled_from(
    [math.nan, math.inf, -math.inf, 1e308, -1e308, 1.7976931348623157e308, 5e-324, -5e-324, 0.0, 1e9, 1e9 + 1e-6]
)
numbers = odd | st.floats()
steps = st.integers(-(2**63), 2**63) | st.floats(-1e300, 1e300)
series = st.builds(
    lambda name, points: Curve(name, tuple(sorted(points, key=lambda point: point[0]))),
    outside,
    st.lists(st.tuples(steps, numbers), max_size=6),
)


@given(outside, st.lists(series, max_size=4), st.booleans())
def test_whatever_is_drawn_is_well_formed(title: str, many: list[Curve], is_named: bool) -> None:
    picture = tree(curves(title, many, "m1", is_named))
    assert [child.tag for child in picture][:2] == ["title", "desc"]
    assert not any("style" in element.attrib for element in picture.iter())
    assert "nan" not in "".join(filter(None, (element.get("points", "") for element in picture.iter())))
    tree(sparkline(title, [value for curve in many for _, value in curve.points]))
    tree(parts([(curve.name, len(curve.points)) for curve in many]) or Markup("<svg/>"))


@given(st.lists(series, max_size=4), st.booleans())
def test_whatever_is_drawn_lies_inside_its_frame(many: list[Curve], is_named: bool) -> None:
    for element in tree(curves("t", many, "m1", is_named)).iter():
        across = [float(number) for number in (element.get("x"), element.get("cx")) if number]
        up = [float(number) for number in (element.get("y"), element.get("cy")) if number]
        for point in element.get("points", "").split():
            x, _, y = point.partition(",")
            across.append(float(x))
            up.append(float(y))
        assert all(0 <= x <= WIDTH for x in across)
        assert all(0 <= y <= HEIGHT for y in up)


@given(series)
def test_the_last_value_is_written_at_its_point(one: Curve) -> None:
    picture = curves("t", [one], "m1")
    if one.finite:
        *_, dot = of(picture, "circle")
        text = of(picture, "text")[-1]
        assert text.get("class") == "last"
        assert abs(float(dot.get("cy", "")) + 4 - float(text.get("y", ""))) <= 2.1
