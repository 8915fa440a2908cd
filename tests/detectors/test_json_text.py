"""`parse_json` has one defined answer for every byte string."""

import json
import math
import os
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import json_text
from detectors.errors import DetectorError
from detectors.facts import Note
from detectors.json_text import MAX_DEPTH, MAX_INTEGER_DIGITS, MAX_NODES, JsonError, JsonLimit, as_number, parse_json

HOSTILE = os.environ.get("MODELPORT_HOSTILE")
SUITE = sorted(Path(HOSTILE, "json").glob("*.json")) if HOSTILE else []
PYTHON_WRITES_THESE = {"n_number_NaN.json", "n_number_infinity.json", "n_number_minus_infinity.json"}

needs_suite = pytest.mark.skipif(not SUITE, reason="MODELPORT_HOSTILE does not name a folder with json/*.json")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def reasons(data: bytes) -> list[str]:
    return [note.reason for note in parse_json(data)[1]]


Refusal = JsonError | JsonLimit


def refusal(data: bytes) -> Refusal:
    with pytest.raises((JsonError, JsonLimit)) as caught:
        parse_json(data, "m.json")
    return caught.value


def answer(data: bytes) -> object:
    try:
        return parse_json(data)[0]
    except (JsonError, JsonLimit) as exc:
        return exc


def test_plain_json_gives_its_value_and_no_note():
    assert parse_json(b'{"metrics": [{"name": "f1", "numberValue": 0.91}], "n": null}') == (
        {"metrics": [{"name": "f1", "numberValue": 0.91}], "n": None},
        (),
    )


def test_byte_order_mark_is_left_out_with_a_note():
    assert parse_json(b"\xef\xbb\xbf[1]", "m.json") == ([1], (Note("m.json", "a byte order mark was left out"),))


def test_places_are_counted_from_the_start_of_the_file_with_its_byte_order_mark():
    assert refusal(b"\xef\xbb\xbf[1,]").offset == 6
    assert refusal(b"\xef\xbb\xbf\xff").offset == 3


def test_places_are_bytes_not_characters():
    assert refusal('["äöü" 1]'.encode()).offset == 10


def test_refusal_names_path_place_and_what_was_found():
    assert str(refusal(b"[1,]")) == "m.json at byte 3: not JSON: Expecting value, found ']'"
    assert str(refusal(b"[1,")) == "m.json at byte 3: not JSON: Expecting value, found the end"
    assert str(refusal(b'["\xff"]')) == "m.json at byte 2: expected UTF-8, found byte 0xff"


def test_refusal_is_a_detector_error():
    assert issubclass(JsonError, DetectorError)
    assert issubclass(JsonLimit, DetectorError)


def test_a_text_beyond_a_limit_is_not_called_wrong():
    assert isinstance(refusal(b"[" * (MAX_DEPTH + 1)), JsonLimit)
    assert isinstance(refusal(b"["), JsonError)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused(encoding):
    assert refusal('{"a": "é"}'.encode(encoding)).offset is not None


def test_bare_not_a_number_and_infinities_are_floats_with_a_note():
    value, notes = parse_json(b"[NaN, Infinity, -Infinity, NaN]")
    assert math.isnan(value[0])
    assert value[1:3] == [math.inf, -math.inf]
    assert [note.reason for note in notes] == [
        "a bare NaN, which is not JSON (2 times)",
        "a bare Infinity, which is not JSON",
        "a bare -Infinity, which is not JSON",
    ]


@pytest.mark.parametrize(
    "text", [b"-NaN", b"nan", b"+Infinity", b"inf", b"[+1]", b"[01]", b"[.5]", b"[1.]", b"[0x1]", b"'a'", b""]
)
def test_words_that_no_grammar_knows_are_refused(text):
    refusal(text)


def test_of_equal_keys_the_last_counts_with_a_note():
    assert parse_json(b'{"a": 1, "a": 2}')[0] == {"a": 2}
    assert reasons(b'{"a": 1, "a": 2}') == ["a key stands twice in one object, the last one counts"]


def test_integers_of_64_bits_are_not_noted():
    assert parse_json(b"[9223372036854775807, -9223372036854775808]") == ([9223372036854775807, -9223372036854775808], ())


@pytest.mark.parametrize("text", [b"9223372036854775808", b"-9223372036854775809"])
def test_wider_integers_are_kept_exactly_with_a_note(text):
    assert parse_json(text)[0] == int(text)
    assert reasons(text) == ["an integer beyond 64 bits"]


def test_an_integer_of_4300_digits_is_a_number():
    assert parse_json(b"-" + b"9" * MAX_INTEGER_DIGITS)[0] == -(10**4300 - 1)


def test_an_integer_of_4301_digits_is_kept_as_text():
    assert parse_json(b"9" * 4301)[0] == "9" * 4301
    assert reasons(b"9" * 4301) == ["an integer of more than 4300 digits, kept as text"]


def test_a_float_beyond_the_double_range_is_kept_as_text():
    assert parse_json(b"[1e400, -1E+400]")[0] == ["1e400", "-1E+400"]
    assert reasons(b"1e400") == ["a number beyond the range of a double, kept as text"]


def test_half_a_surrogate_pair_is_kept_and_prints_with_escapes():
    value, notes = parse_json(rb'["\ud800", "\ud83d\ude00"]')
    assert value == ["\ud800", "\U0001f600"]
    assert [note.reason for note in notes] == ["half a surrogate pair in a string, kept"]
    assert json.dumps(value).encode("ascii") == rb'["\ud800", "\ud83d\ude00"]'


def test_a_whole_surrogate_pair_is_not_noted():
    assert reasons(rb'"\ud83d\ude00"') == []


def test_an_escaped_zero_is_kept():
    assert parse_json(rb'"\u0000"') == ("\0", ())


def test_200_nested_arrays_are_read():
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)[1] == ()


def test_201_nested_arrays_are_refused_at_the_last_bracket():
    assert refusal(b"[" * 201 + b"]" * 201).offset == 200
    assert refusal(b'{"a":' * 201).offset == 1000


def test_100000_open_brackets_are_refused():
    assert refusal(b"[" * 100_000).reason == "nests deeper than 200 (limit MAX_DEPTH)"


def test_brackets_and_commas_in_strings_do_not_count():
    text = '[{,\\"' * 1000
    assert parse_json(json.dumps(text).encode()) == (text, ())


def test_more_than_a_million_values_are_refused():
    assert refusal(b"[" + b"0," * MAX_NODES + b"0]").reason == "holds more than 1000000 values (limit MAX_NODES)"


def test_an_open_string_of_escapes_is_refused_in_linear_time():
    assert refusal(b'"' + b'\\"' * 1_000_000).offset == 0


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (0.5, 0.5), (-0.0, 0.0), (True, None), ("1", None), (None, None), ([1], None), (10**400, None)],
)
def test_as_number_takes_numbers_only(value, number):
    assert as_number(value) == number


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_where_nothing_is_noted_the_value_is_that_of_json_loads(value):
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == (value, ())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0d8 1e9.-NaInfinitytrue\n', max_size=60).map(str.encode))
def test_any_bytes_give_a_value_or_a_refusal(data):
    found = answer(data)
    assert not isinstance(found, Refusal) or 0 <= (found.offset or 0) <= len(data)


@needs_suite
@pytest.mark.parametrize("path", [p for p in SUITE if p.name.startswith("y_")], ids=lambda p: p.stem)
def test_what_every_reader_takes_is_taken_as_json_loads_does(path):
    value, _ = parse_json(path.read_bytes())
    assert repr(value) == repr(json.loads(path.read_bytes()))


@needs_suite
@pytest.mark.parametrize("path", [p for p in SUITE if p.name.startswith("n_")], ids=lambda p: p.stem)
def test_what_every_reader_refuses_is_refused_with_its_place(path):
    if path.name in PYTHON_WRITES_THESE:
        assert len(parse_json(path.read_bytes())[1]) == 1
    else:
        assert refusal(path.read_bytes()).offset is not None


@needs_suite
@pytest.mark.parametrize("path", [p for p in SUITE if p.name.startswith("i_")], ids=lambda p: p.stem)
def test_where_readers_differ_the_answer_is_a_noted_value_or_a_refusal(path):
    found = answer(path.read_bytes())
    assert found.offset is not None if isinstance(found, Refusal) else json.dumps(found).isascii()


@needs_suite
def test_the_suite_is_whole():
    assert len(SUITE) == 318


@given(st.text(alphabet='[]{},"\\a:1', max_size=40))
@settings(max_examples=300, deadline=None)
def test_the_quick_look_at_the_size_agrees_with_the_slow_one(text: str) -> None:
    """A text within the limits is not walked over; one beyond them is, to name the place."""
    body = text.encode()
    with patch.multiple(json_text, MAX_DEPTH=3, MAX_NODES=6):
        with patch.object(json_text, "_is_small", return_value=False):
            try:
                json_text._check_size(body, "", 0)
            except JsonLimit:
                is_small = False
            else:
                is_small = True
        assert json_text._is_small(body) is is_small
