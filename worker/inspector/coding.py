"""Records as JSON and back, by the types of their fields: what a child sends is decoded into records or refused.

A coder is made from a type once: a record is an array of its fields in order, a tuple an array, an enumeration its value,
bytes base64. Decoding takes what the types say and nothing else; it imports, calls and looks up nothing that the text names.
JSON has no NaN, so where a field is a float it stands as text, and where a field is any JSON value, as `{"\\0": "NaN"}`.

Laws (each has a test of the same name):
    decoding gives back what was encoded;
    any text gives a record of the right types or a BadText.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

MAX_NODES = 4_000_000
"""Values in one text. The shortest, an empty array, has 3 bytes and becomes 64. Custom metadata may hold one million
(`json_text.MAX_NODES`), the detail of the metrics half of that; the files of all models are a million at most."""

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

MARK = "\0"
"""The key that tells a number which is not finite, or an object that has this key itself, from any other object."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


class BadText(Exception):
    """This is no encoded record of the wanted type."""


class Coder(NamedTuple):
    """How a value of one type becomes JSON values, and they become it again. decode raises `BadText`."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def encoded(value: Any, kind: Any) -> bytes:
    """Return *value*, of the type *kind*, as JSON text."""
    plain = coder_of(kind).encode(value)
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decoded(text: bytes, kind: Any, max_nodes: int = MAX_NODES) -> Any:
    """Return the value of the type *kind* that *text* is.

    Raises:
        BadText: it is none, or holds more than *max_nodes* values.
    """
    try:
        letters = text.decode("utf-8", "surrogatepass")
        _check_size(letters, max_nodes)
        return coder_of(kind).decode(json.loads(letters, parse_constant=_refuse))
    except (ValueError, RecursionError, MemoryError) as exc:
        raise BadText(f"{type(exc).__name__}: {str(exc)[:100]}") from exc


def _check_size(letters: str, max_nodes: int) -> None:
    """Raise unless there are at most *max_nodes* values. Strings are only left out where it may matter: it takes time."""
    if _nodes(letters) > max_nodes and _nodes(_STRING.sub("", letters)) > max_nodes:
        raise BadText(f"more than {max_nodes} values")


def _nodes(letters: str) -> int:
    return letters.count("[") + letters.count("{") + letters.count(",")


def _refuse(constant: str) -> None:
    raise BadText(f"a bare {constant}")


@cache
def coder_of(kind: Any) -> Coder:
    """Return the coder of the type *kind*: plain values, enumerations, records, tuples, mappings, unions and `Any`."""
    if kind in (str, int, bool, NoneType):
        return Coder(_itself, _exactly(kind))
    if kind in SPECIAL:
        return SPECIAL[kind]
    if is_dataclass(kind):
        return _record(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind)
    return COMPOSED[get_origin(kind)](get_args(kind))


def _itself(value: Any) -> Any:
    return value


def _exactly(kind: type) -> Callable[[Any], Any]:
    def decode(plain: Any) -> Any:
        if type(plain) is not kind:
            raise BadText(f"expected {kind.__name__}, found {type(plain).__name__}")
        return plain

    return decode


def _array(plain: Any) -> list[Any]:
    if type(plain) is not list:
        raise BadText(f"expected an array, found {type(plain).__name__}")
    return plain


def _object(plain: Any) -> dict[str, Any]:
    if type(plain) is not dict:
        raise BadText(f"expected an object, found {type(plain).__name__}")
    return plain


def _record(kind: Any) -> Coder:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    coders = [coder_of(hints[name]) for name in names]
    steps = list(zip(names, (coder.encode for coder in coders), strict=True))
    decoders = [coder.decode for coder in coders]

    def decode(plain: Any) -> Any:
        values = _array(plain)
        if len(values) != len(decoders):
            raise BadText(f"expected {len(decoders)} fields of {kind.__name__}, found {len(values)}")
        return kind(*[decoder(value) for decoder, value in zip(decoders, values, strict=True)])

    return Coder(lambda value: [encode(getattr(value, name)) for name, encode in steps], decode)


def _member(kind: type[Enum]) -> Coder:
    members = {member.value: member for member in kind}

    def decode(plain: Any) -> Any:
        if type(plain) is not str or plain not in members:
            raise BadText(f"expected a {kind.__name__}")
        return members[plain]

    return Coder(lambda value: value.value, decode)


def _tuple(kinds: tuple[Any, ...]) -> Coder:
    if kinds[-1] is Ellipsis:
        each = coder_of(kinds[0])
        return Coder(lambda value: [each.encode(item) for item in value], lambda plain: tuple(map(each.decode, _array(plain))))
    coders = [coder_of(kind) for kind in kinds]

    def decode(plain: Any) -> Any:
        values = _array(plain)
        if len(values) != len(coders):
            raise BadText(f"expected {len(coders)} values, found {len(values)}")
        return tuple(coder.decode(value) for coder, value in zip(coders, values, strict=True))

    return Coder(lambda value: [coder.encode(item) for coder, item in zip(coders, value, strict=True)], decode)


def _mapping(kinds: tuple[Any, ...]) -> Coder:
    each = coder_of(kinds[1])
    return Coder(
        lambda value: {key: each.encode(item) for key, item in value.items()},
        lambda plain: {key: each.decode(item) for key, item in _object(plain).items()},
    )


def _union(kinds: tuple[Any, ...]) -> Coder:
    """Return the coder of None and one other type, or of several plain ones."""
    others = [kind for kind in kinds if kind is not NoneType]
    if len(others) > 1:
        return Coder(_itself, _one_of(kinds))
    other = coder_of(others[0])
    return Coder(
        lambda value: None if value is None else other.encode(value),
        lambda plain: None if plain is None else other.decode(plain),
    )


def _one_of(kinds: tuple[Any, ...]) -> Callable[[Any], Any]:
    def decode(plain: Any) -> Any:
        if type(plain) not in kinds:
            raise BadText(f"did not expect {type(plain).__name__}")
        return plain

    return decode


def _encode_float(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _decode_float(plain: Any) -> float:
    if type(plain) is str and plain in NOT_FINITE:
        return NOT_FINITE[plain]
    if type(plain) not in (float, int):
        raise BadText(f"expected a number, found {type(plain).__name__}")
    try:
        found = float(plain)
    except OverflowError as exc:
        raise BadText("a number beyond the range of a double") from exc
    if not math.isfinite(found):
        raise BadText("a number beyond the range of a double")
    return found


def _decode_bytes(plain: Any) -> bytes:
    if type(plain) is not str:
        raise BadText(f"expected base64, found {type(plain).__name__}")
    return b64decode(plain, validate=True)


def _encode_any(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else {MARK: _encode_float(value)}
    if isinstance(value, Mapping):
        plain = {key: _encode_any(item) for key, item in value.items()}
        return {MARK: list(plain.items())} if MARK in plain else plain
    if isinstance(value, list | tuple):
        return [_encode_any(item) for item in value]
    return value


def _decode_any(plain: Any) -> Any:
    if type(plain) is dict:
        return _decode_marked(plain) if MARK in plain else {key: _decode_any(item) for key, item in plain.items()}
    if type(plain) is list:
        return [_decode_any(item) for item in plain]
    if type(plain) is float and not math.isfinite(plain):
        raise BadText("a number beyond the range of a double")
    return plain


def _decode_marked(plain: dict[str, Any]) -> Any:
    inside = plain[MARK]
    if len(plain) == 1 and type(inside) is str and inside in NOT_FINITE:
        return NOT_FINITE[inside]
    if len(plain) > 1 or type(inside) is not list:
        raise BadText("an object with a mark that means nothing")
    return dict(map(coder_of(tuple[str, Any]).decode, inside))


SPECIAL: Mapping[Any, Coder] = {
    Any: Coder(_encode_any, _decode_any),
    float: Coder(_encode_float, _decode_float),
    bytes: Coder(lambda value: b64encode(value).decode("ascii"), _decode_bytes),
}

COMPOSED: Mapping[Any, Callable[[tuple[Any, ...]], Coder]] = {
    tuple: _tuple,
    Mapping: _mapping,
    Union: _union,
    UnionType: _union,
}
