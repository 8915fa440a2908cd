"""How facts read on a page."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from tests.contracts.registry import event
from worker.api.web import wording
from worker.records import Ingestion, IngestionState, Trigger

NOON = datetime(2026, 11, 20, 12, 4, 12, tzinfo=UTC)


def spaced(text: object) -> str:
    return str(text).replace("\u00a0", " ")


def tensor(name: str, dtype: str, shape: list[Any] | None) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape}


def read(inputs: list[Any], outputs: list[Any], name: str = "serving_default") -> str:
    return str(wording.signature({"name": name, "method": "", "inputs": inputs, "outputs": outputs}))


@pytest.mark.parametrize(
    ("inputs", "outputs", "told"),
    [
        (
            [tensor("image", "float32", [None, 28, 28])],
            [tensor("classes", "int64", [None])],
            "image: float32[batch, 28, 28] → classes: int64[batch]",
        ),
        (
            [tensor("x", "float32", [None, None])],
            [tensor("y", "float32", [None, 8])],
            "x: float32[batch, ?] → y: float32[batch, 8]",
        ),
        ([tensor("x", "float32", [None, 4])], [tensor("y", "float32", [10])], "x: float32[?, 4] → y: float32[10]"),
        ([tensor("x", "string", [])], [tensor("y", "int64", None)], "x: string[] → y: int64[…]"),
        ([tensor("x", "float32", ["n", 3, None])], [tensor("y", "float32", ["n"])], "x: float32[n, 3, ?] → y: float32[n]"),
        (
            [tensor("a", "float32", [None]), tensor("b", "bool", [])],
            [],
            "a: float32[?], b: bool[] →",
        ),
    ],
)
def test_a_signature_reads_as_people_write_it(inputs: list[Any], outputs: list[Any], told: str) -> None:
    assert read(inputs, outputs) == told


def test_names_in_a_signature_cannot_draw_or_turn_around() -> None:
    assert read([tensor("a\u202eb\x1b", "float32", ["\udcff"])], []) == "a\\u202eb\\x1b: float32[\\udcff] →"


@pytest.mark.parametrize(
    ("figure", "markup"),
    [
        (wording.size(13_193_436), '<span title="13,193,436 bytes">13.2 MB</span>'),
        (wording.size(517), "517 B"),
        (wording.size(1), "1 B"),
        (
            wording.size(None),
            '<span class="quiet" title="size not known"><span aria-hidden="true">–</span>'
            '<span class="sr">size not known</span></span>',
        ),
        (wording.number(3_274_634), '<span title="3,274,634">3.27 M</span>'),
        (wording.number(131), "131"),
        (wording.number("2**64 or more"), "2**64 or more"),
        (wording.metric(0.991099977493), '<span title="0.991099977493">0.9911</span>'),
        (wording.metric(12_000), "12,000"),
        (wording.metric(-0.5), '<span title="-0.5">−0.5000</span>'),
        (wording.metric(0.0), '<span title="0.0">0.0000</span>'),
        (wording.metric(0.000002), '<span title="2e-06">2e−06</span>'),
        (wording.metric(1e308), '<span title="1e+308">1e+308</span>'),
        (wording.metric("NaN"), "not a number"),
        (wording.metric(math.inf), "infinite"),
        (wording.metric("-Infinity"), "minus infinite"),
        (wording.metric("<b>"), "&lt;b&gt;"),
    ],
)
def test_numbers_are_short_and_exact_where_somebody_points(figure: wording.Figure, markup: str) -> None:
    assert spaced(escape(figure)) == markup


def test_large_numbers_of_a_strip_have_a_small_unit() -> None:
    told = spaced(wording.size(13_193_436).big)
    assert told == '<span class="big" title="13,193,436 bytes">13.2 <span class="unit">MB</span></span>'
    assert wording.metric(0.5).big == '<span class="big" title="0.5">0.5000</span>'


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "just now"),
        (59, "59 s ago"),
        (41 * 60 + 59, "41 min ago"),
        (3 * 3600, "3 h ago"),
        (11 * 86_400, "11 d ago"),
        (800 * 86_400, "2 y ago"),
    ],
)
def test_an_age_has_one_unit(seconds: float, told: str) -> None:
    shown = spaced(wording.age(NOON - timedelta(seconds=seconds), NOON))
    assert shown.endswith(f">{told}</time>")


def test_an_age_tells_its_moment_where_somebody_points() -> None:
    told = spaced(wording.age(datetime(2026, 11, 20, 11, 4, 12, tzinfo=UTC), NOON))
    assert told == '<time datetime="2026-11-20T11:04:12Z" title="20 Nov 2026, 11:04:12 UTC">1 h ago</time>'


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0449, "44.9 ms"), (1.4, "1.4 s"), (59.6, "1 min"), (130, "2 min 10 s"), (3900, "1 h 5 min"), (200_000, "2 d 7 h")],
)
def test_a_duration_has_two_units_at_most(seconds: float, told: str) -> None:
    assert spaced(wording.duration(seconds)) == told


def test_a_digest_is_cut_and_whole_in_its_title() -> None:
    whole = "sha256:" + "9f2c41d7" * 8
    assert wording.digest(whole) == f'<code title="{whole}">sha256:9f2c41d7…</code>'


def test_a_change_has_its_sign() -> None:
    assert (wording.change(0.9895, 0.9911), wording.change(0.0341, 0.0283)) == ("+0.0016", "−0.0058")


def report(
    state: str = "complete", severities: tuple[str, ...] = (), unread: bool = False, **details: object
) -> dict[str, Any]:
    model = {"primary": True, "completeness": {"state": state, "problems": []}, "facts": {"details": details}}
    return {
        "models": [model],
        "findings": [{"severity": one} for one in severities],
        "coverage": {"inconclusive": [{"path": "x", "reason": "y"}] if unread else [], "skipped": []},
    }


@pytest.mark.parametrize(
    ("seen", "states", "use", "is_trouble"),
    [
        (report(), ["ok Complete", "ok No findings"], "It can be used: nothing speaks against it.", False),
        (
            report("incomplete", ("critical", "low")),
            ["is-bad 2 findings, critical at worst", "is-warn Incomplete"],
            "Read the findings before anybody loads it.",
            True,
        ),
        (report("corrupt"), ["is-bad Corrupt", "ok No findings"], "Do not use it: its bytes contradict each other.", True),
        (
            report("incomplete"),
            ["is-warn Incomplete", "ok No findings"],
            "Do not use it as it is: parts that it names are missing.",
            True,
        ),
        (
            report(severities=("medium",)),
            ["is-warn 1 medium finding", "ok Complete"],
            "It can be used; look at the findings first.",
            True,
        ),
        (
            report(unread=True),
            ["is-warn Complete as far as it was read", "ok No findings"],
            "Take care: nothing bad was found, but not everything could be read.",
            True,
        ),
        (
            report(completeness_checked=False),
            ["is-none Not checked for missing parts", "ok No findings"],
            "It is known by its name only: nothing says that it is whole, or safe to load.",
            False,
        ),
        (
            report() | {"models": [report()["models"][0] | {"format": "custom"}]},
            ["is-none Not checked for missing parts", "ok No findings"],
            "It is called a model by who left it: its format is not known, and nothing in it was checked.",
            False,
        ),
        (
            report() | {"models": []},
            ["is-warn No model recognised", "ok No findings"],
            "There is no model in it that is known.",
            False,
        ),
    ],
)
def test_the_verdict_says_whether_the_model_may_be_used(
    seen: dict[str, Any], states: list[str], use: str, is_trouble: bool
) -> None:
    assert [spaced(f"{one.level or one.sign} {one.words}") for one in wording.states(seen)] == states
    assert (wording.use(seen), wording.is_trouble(seen)) == (use, is_trouble)


def origin(trigger: Trigger) -> Ingestion:
    asked = event("e1", trigger=trigger, experiment="run<1>", source=trigger.value)
    return Ingestion(
        "in1", asked, IngestionState.REGISTERED, None, None, 1, "mo1", "mo1", None, None, NOON - timedelta(hours=3), NOON
    )


def test_there_are_words_for_every_way_in() -> None:
    assert set(wording.CAME_BY) == set(wording.TRIGGERS) == set(Trigger)


def test_the_lineage_says_when_and_why() -> None:
    three_hours = '<time datetime="2026-11-20T09:04:12Z" title="20 Nov 2026, 09:04:12 UTC">3 h ago</time>'

    def told(trigger: Trigger | None, experiment: str | None = "run<1>") -> str:
        came = None if trigger is None else origin(trigger)
        return spaced(wording.lineage(NOON - timedelta(hours=3), experiment, came, NOON))

    assert told(Trigger.COMPLETION) == (
        f'Registered {three_hours} when experiment <span class="mono">run&lt;1&gt;</span> finished.'
    )
    assert told(Trigger.WATCH) == f"Registered {three_hours} when its folder had come to rest."
    assert told(None) == f"Registered {three_hours}."


outside = st.text(st.characters(), max_size=20)


@given(outside, outside, outside, st.none() | st.floats() | st.integers() | outside)
def test_whatever_comes_from_outside_what_is_told_is_well_formed(name: str, dtype: str, size: str, value: Any) -> None:
    told = [
        escape(read([tensor(name, dtype, [size, None])], [], name)),
        escape(wording.metric(value)),
        wording.metric(value).big,
        wording.digest(name),
        escape(wording.place({"path": name, "place": dtype})),
        escape(wording.unknown(name)),
        escape(wording.number(size)),
    ]
    for one in told:
        assert ElementTree.fromstring(f"<p>{one}</p>").tag == "p"
