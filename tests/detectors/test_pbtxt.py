"""Messages as text: what we read is read, the rest is passed over, and nothing but a DetectorError comes out of broken text."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detection import Contents
from detectors.errors import DetectorError, MalformedModel, ModelLimit
from detectors.pbtxt import MAX_TEXT_BYTES, read_text
from detectors.protos.tensorflow_pb2 import GraphDef
from detectors.tree import MemoryTree

GRAPH = rb"""# a comment with { and "
node {
  name: "weights" op: 'Const' device: ""
  attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 2 } } float_val: 1.5 float_val: -inf } } }
  attr { key: "shape" value { list { s: "\303\244\n" s: "b" i: [1, 2] } } }
  experimental_debug_info { original_node_names: ["a", "b"] }
}
node < name: "y" op: "Identity" input: "weights" >
versions { producer: 27 bad_consumers: 3 }
"""


def read(data: bytes) -> GraphDef:
    tree = MemoryTree({"g.pbtxt": data})
    contents = Contents(tree, tree.files())
    return read_text(contents, contents.entries[0], GraphDef())


def test_known_fields_are_read_and_others_passed_over() -> None:
    graph = read(GRAPH)
    assert [(node.name, node.op) for node in graph.node] == [(b"weights", b"Const"), (b"y", b"Identity")]
    assert list(graph.node[0].attr[1].value.list.s) == ["ä\n".encode(), b"b"]
    assert graph.node[0].attr[0].value.tensor.dtype == 1
    assert graph.versions.producer == 27


def test_an_unknown_message_type_in_brackets_is_passed_over() -> None:
    graph = read(b'node { name: "a" any { [type.googleapis.com/tensorflow.X] { key: "k" } } op: "NoOp" }')
    assert graph.node[0].op == b"NoOp"


@pytest.mark.parametrize(
    "data",
    [
        b'node { name: "a"',
        b'node { name: "a }',
        b"node }",
        b"node: 3",
        b"\x00\x01",
        b'node { attr { key: "k" value { type: DT_NEW } } }',
    ],
)
def test_broken_text_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedModel):
        read(data)


@pytest.mark.parametrize("escape", [rb"\w", rb"\777", rb"\x", rb"\u12", rb"\N{BULLET}"])
def test_an_escape_that_the_format_does_not_have_is_malformed(escape: bytes) -> None:
    with pytest.raises(MalformedModel, match="escape"):
        read(b'node { name: "' + escape + b'" }')


def test_a_long_string_with_a_bad_escape_is_refused_at_once() -> None:
    """A pattern that tried every way to split the string would never end."""
    with pytest.raises(MalformedModel, match="escape"):
        read(b'node { name: "' + b"a" * 900_000 + rb"\w" + b'" }')


def test_bytes_that_are_no_text_are_malformed_where_they_stand() -> None:
    with pytest.raises(MalformedModel) as caught:
        read(b'node { name: "\xff" }')
    assert caught.value.offset == 14


@pytest.mark.parametrize("level", [b"node{", b"x<", b"x:[", b"node{attr{value{list{"])
def test_deep_nesting_is_a_limit_and_no_recursion(level: bytes) -> None:
    with pytest.raises(ModelLimit) as caught:
        read(level * 20_000)
    assert caught.value.limit == "MAX_DEPTH"


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (b"node{}\n" * 300_000, "MAX_SIGNS"),
        (b"#\n" * 600_000, "MAX_SIGNS"),
        (b'node{name:"' + b'a"\n"' * 600_000 + b'"}', "MAX_SIGNS"),
        (b"\n" * 1_000_001, "MAX_LINES"),
        (b" " * 1_050_000 + b"\n", "MAX_LINE_BYTES"),
        (b"{" + b" " * 1_050_000, "MAX_LINE_BYTES"),
        (b"node{}" * 100_000, "MAX_COPIED_BYTES"),
        (b"a:1 " * 200_000, "MAX_COPIED_BYTES"),
        (b"x:[" + b"1," * 200_000 + b"1]", "MAX_COPIED_BYTES"),
    ],
)
def test_text_that_would_keep_the_parser_busy_is_a_limit(text: bytes, limit: str) -> None:
    with pytest.raises(ModelLimit) as caught:
        read(text)
    assert caught.value.limit == limit


def read_in_turn(*texts: bytes) -> list[str]:
    """Return, for each text of one scan, the limit that stopped it, "" for one that was read and "malformed"."""
    tree = MemoryTree({f"{place}.pbtxt": text for place, text in enumerate(texts)})
    contents = Contents(tree, tree.files())
    said = []
    for entry in contents.entries:
        try:
            read_text(contents, entry, GraphDef())
            said.append("")
        except ModelLimit as exc:
            said.append(exc.limit)
        except MalformedModel:
            said.append("malformed")
    return said


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([b"#\n" * 300_000, b"#\n" * 300_000, b"{}"], ["", "MAX_SIGNS", "MAX_SIGNS"]),
        ([b"#\n" * 499_999 + rb'"\w"', b"#", b"#"], ["malformed", "MAX_SIGNS", "MAX_SIGNS"]),
        ([b"\n" * 600_000, b"\n" * 600_000], ["", "MAX_LINES"]),
        ([b"node{}" * 12_000, b"node{}" * 12_000], ["", "MAX_COPIED_BYTES"]),
        ([b" " * 900_000 + b"\n"] * 19, [""] * 18 + ["MAX_ALL_TEXT_BYTES"]),
    ],
)
def test_all_texts_of_one_scan_share_the_limits(texts: list[bytes], said: list[str]) -> None:
    assert read_in_turn(*texts) == said


def test_a_long_line_with_few_signs_is_no_limit() -> None:
    assert len(read(b'node { name: "' + b"a" * 1_000_000 + b'" }\nversions {}').node[0].name) == 1_000_000


def test_signs_in_strings_and_comments_open_no_level() -> None:
    assert read(b'node { name: "' + b"{" * 500 + b"\" op: '" + b"[" * 500 + b"' } #" + b"<" * 500).node[0].name == b"{" * 500


def test_a_long_text_is_a_limit() -> None:
    with pytest.raises(ModelLimit) as caught:
        read(b"#" + b" " * MAX_TEXT_BYTES)
    assert caught.value.limit == "MAX_TEXT_BYTES"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_text_gives_a_message_or_a_detector_error(data: st.DataObject) -> None:
    mutated = bytearray(GRAPH)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        mutated[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b"{", b"}", b'"', b"\\", b":", b"9" * 5000, b"-", b"[", b"\xff"])
        )
    with suppress(DetectorError):
        assert isinstance(read(bytes(mutated)), GraphDef)
