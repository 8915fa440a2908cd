"""Records as JSON and back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.facts import Metric, ModelFacts, ModelType, Signature, TensorSpec
from detectors.scan import Scan
from detectors.tree import FileEntry
from worker.inspector.coding import BadText, decoded, encoded
from worker.inspector.questions import Question, Range, Trouble

TEXT = st.text(st.characters(blacklist_categories=()), max_size=8)
"""Any string, lone surrogates and NUL included."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.just("\0"), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_decoding_gives_back_what_was_encoded(value: Any) -> None:
    assert repr(decoded(encoded(value, Any), Any)) == repr(value)


@given(TEXT, st.binary(max_size=40), st.floats(), st.integers() | st.none(), st.lists(st.integers() | TEXT | st.none()))
def test_records_come_back_as_they_were(
    name: str, data: bytes, number: float, step: int | None, shape: list[int | str | None]
) -> None:
    metric = Metric(name, number, step, "", name, None)
    assert repr(decoded(encoded(metric, Metric), Metric)) == repr(metric)
    spec = TensorSpec(name, "float32", tuple(shape))
    facts = ModelFacts(signatures=(Signature(name, "", (spec,), ()),), operators={name: 3}, tags=((name,), ()))
    assert decoded(encoded(facts, ModelFacts), ModelFacts) == facts
    assert decoded(encoded(data, bytes), bytes) == data


def test_a_record_is_an_array_of_its_fields() -> None:
    assert encoded(Range("a", 0, 7), Range) == b'["a",0,7]'
    question = Question(ModelType.ONNX, (FileEntry("a", 3, "v", 1.5),), ())
    assert encoded(question, Question) == b'["ONNX",[["a",3,"v",1.5,false]],[]]'


def test_numbers_that_are_not_finite_are_never_bare() -> None:
    assert encoded(math.nan, float) == b'"NaN"'
    assert encoded([-math.inf, {"\0": 1}], Any) == b'[{"\\u0000":"-Infinity"},{"\\u0000":[["\\u0000",1]]}]'


@given(st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_text_gives_a_record_of_the_right_types_or_a_bad_text(text: bytes) -> None:
    for kind in (Scan, Question, Range, Trouble):
        try:
            found = decoded(text, kind)
        except BadText:
            continue
        assert type(found) is kind
        assert decoded(encoded(found, kind), kind) == found


@dataclass(frozen=True)
class Wanted:
    text: str
    number: float
    shape: tuple[int | str | None, ...] | None


@pytest.mark.parametrize(
    "text",
    [
        '["a",1.0]',
        '["a",1.0,null,null]',
        '{"text":"a","number":1.0,"shape":null}',
        "[1,1.0,null]",
        '["a","1",null]',
        '["a",true,null]',
        '["a",NaN,null]',
        '["a",-Infinity,null]',
        '["a",1e999,null]',
        '["a",null,null]',
        '["a",1.0,"ab"]',
        '["a",1.0,[true]]',
        '["a",1.0,[1.5]]',
        '["a",1.0,{"0":1}]',
        '["a",1.0,[]]x',
        f'["a",1{"0" * 400},null]',
        f'["a",1{"0" * 5000},null]',
    ],
)
def test_what_the_types_do_not_say_is_refused(text: str) -> None:
    with pytest.raises(BadText):
        decoded(text.encode(), Wanted)


def test_a_wanted_record_is_taken() -> None:
    assert decoded(b'["a",1,[1,"n",null]]', Wanted) == Wanted("a", 1.0, (1, "n", None))


@pytest.mark.parametrize(
    "text", ['{"\\u0000":"nan"}', '{"\\u0000":1}', '{"\\u0000":[[1,2]]}', '{"\\u0000":"NaN","a":1}', "1e999"]
)
def test_a_mark_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadText):
        decoded(text.encode(), Any)


def test_values_are_counted_outside_strings() -> None:
    assert decoded(b'["[,[,", "\\",{"]', Any, max_nodes=2) == ["[,[,", '",{']
    with pytest.raises(BadText, match="more than 2 values"):
        decoded(b"[1,2,3]", Any, max_nodes=2)
