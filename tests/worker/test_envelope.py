"""The envelope of the original client: taken off where both of its ends are there, and only there."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.envelope import MAX_HEAD_BYTES, content_span

DIGITS = b"6c83419034f5459b8753211e0733a56a"
HEADERS = b'Content-Disposition: form-data; name="file"; filename="m.onnx"\r\n'


def content_of(data: bytes) -> bytes:
    start, stop = content_span(io.BytesIO(data), len(data))
    return data[start:stop]


def wrapped(content: bytes, headers: bytes = HEADERS, digits: bytes = DIGITS) -> bytes:
    return b"--" + digits + b"\r\n" + headers + b"\r\n" + content + b"\r\n--" + digits + b"--\r\n"


digits = st.text("0123456789abcdef", min_size=32, max_size=32).map(str.encode)
file_names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=200)
headers = file_names.map(lambda name: b'Content-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n')
contents = st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(wrapped), st.just(bytes(100_000)))


@given(contents, headers, digits)
def test_what_is_wrapped_comes_out_as_it_was(content: bytes, headers: bytes, digits: bytes) -> None:
    assert content_of(wrapped(content, headers, digits)) == content


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=60).map(wrapped),
        st.lists(st.sampled_from([b"--", DIGITS, b"\r\n", b"a: b", HEADERS, b"x"]), max_size=12).map(b"".join),
    ),
    st.integers(0, 200),
)
def test_the_span_of_any_bytes_lies_within_them(data: bytes, cut: int) -> None:
    data = data[: max(0, len(data) - cut)]
    start, stop = content_span(io.BytesIO(data), len(data))
    assert 0 <= start <= stop <= len(data)


RECORDED = {
    "a model": (
        b"--6c83419034f5459b8753211e0733a56a\r\n"
        b'Content-Disposition: form-data; name="file"; filename="m.onnx"\r\n\r\nabc\r\n'
        b"--6c83419034f5459b8753211e0733a56a--\r\n",
        b"abc",
    ),
    "an empty file": (
        b"--fe1ce5119f0840aebd1fd8be6d2fb2b2\r\n"
        b'Content-Disposition: form-data; name="file"; filename="empty.onnx"\r\n\r\n\r\n'
        b"--fe1ce5119f0840aebd1fd8be6d2fb2b2--\r\n",
        b"",
    ),
    "a name that is not ASCII": (
        b"--270cfc76ca134966b32c18c8982d1870\r\n"
        b'Content-Disposition: form-data; name="file"; filename="m\xc3\xb6del \xc3\xa9 %22q%22.onnx"\r\n\r\nx\r\n'
        b"--270cfc76ca134966b32c18c8982d1870--\r\n",
        b"x",
    ),
    "a file that is such an envelope itself": (
        b"--c13e279b9c2a4375987c59d2a99e116b\r\n"
        b'Content-Disposition: form-data; name="file"; filename="like.bin"\r\n\r\n'
        b"--0123456789abcdef0123456789abcdef\r\n"
        b'Content-Disposition: form-data; name="file"\r\n\r\nin\r\n--0123456789abcdef0123456789abcdef--\r\n\r\n'
        b"--c13e279b9c2a4375987c59d2a99e116b--\r\n",
        b"--0123456789abcdef0123456789abcdef\r\n"
        b'Content-Disposition: form-data; name="file"\r\n\r\nin\r\n--0123456789abcdef0123456789abcdef--\r\n',
    ),
}
"""Bodies that gradient 2.99.4 with requests 2.34.2 sent to a logger."""


@pytest.mark.parametrize(("body", "content"), RECORDED.values(), ids=RECORDED)
def test_what_the_client_sends_is_unwrapped(body: bytes, content: bytes) -> None:
    assert content_of(body) == content


@pytest.mark.parametrize("headers", [b"a:\r\n", b"a: b\r\nContent-Type: application/zip\r\n", b"a: \xff\x00\r\n"])
def test_header_lines_may_say_anything(headers: bytes) -> None:
    assert content_of(wrapped(b"abc", headers)) == b"abc"


def test_a_content_may_hold_the_end_of_its_envelope() -> None:
    content = b"a\r\n--" + DIGITS + b"--\r\nb"
    assert content_of(wrapped(content)) == content


PLAIN = {
    "nothing": b"",
    "one byte": b"-",
    "a model": b"\x08\x07" * 1000,
    "a boundary in upper case": wrapped(b"abc", digits=DIGITS.upper()),
    "a boundary of 31 digits": wrapped(b"abc", digits=DIGITS[1:]),
    "a boundary of 33 digits": wrapped(b"abc", digits=DIGITS + b"0"),
    "no end": wrapped(b"abc")[: -len(DIGITS) - 8],
    "no last line break": wrapped(b"abc")[:-2],
    "half of the last line break": wrapped(b"abc")[:-1],
    "a line break too many": wrapped(b"abc") + b"\r\n",
    "the end of another": wrapped(b"abc")[:-5] + b"b--\r\n",
    "a boundary behind it that does not end": wrapped(b"abc")[:-4] + b"\r\n",
    "only an end": b"abc\r\n--" + DIGITS + b"--\r\n",
    "something before": b" " + wrapped(b"abc"),
    "lines that end without a return": wrapped(b"abc").replace(b"\r\n", b"\n"),
    "no header line": wrapped(b"abc", b""),
    "a header line without a colon": wrapped(b"abc", b"a\r\n"),
    "a header line without a name": wrapped(b"abc", b": a\r\n"),
    "no empty line": b"--" + DIGITS + b"\r\n" + HEADERS + b"abc\r\n--" + DIGITS + b"--\r\n",
    "a tail that is the head": b"--" + DIGITS + b"\r\na: b\r\n\r\n--" + DIGITS + b"--\r\n",
    "a head alone": b"--" + DIGITS + b"\r\n" + HEADERS + b"\r\n",
    "a file shorter than the tail": b"--" + DIGITS + b"\r\n",
    "a head that is too long": wrapped(b"abc", b"a: " + b"b" * MAX_HEAD_BYTES + b"\r\n"),
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
def test_what_has_not_both_ends_is_kept_as_it_came(data: bytes) -> None:
    assert content_of(data) == data


@pytest.mark.parametrize(("more", "content"), [(0, b"abc"), (1, None)])
def test_the_head_may_be_as_long_as_its_limit(more: int, content: bytes | None) -> None:
    around = len(b"--" + DIGITS + b"\r\na: \r\n\r\n")
    data = wrapped(b"abc", b"a: " + b"b" * (MAX_HEAD_BYTES - around + more) + b"\r\n")
    assert content_of(data) == (data if content is None else content)


def test_only_the_two_ends_are_read() -> None:
    class Counting(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.count += len(data)
            return data

    data = wrapped(bytes(10_000_000))
    file = Counting(data)
    assert content_span(file, len(data)) == (102, 10_000_102)
    assert file.count < 2 * MAX_HEAD_BYTES
