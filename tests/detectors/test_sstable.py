"""Tables of sorted keys: every byte checked, every limit held."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import sstable
from detectors.errors import MalformedModel, ModelError, ModelLimit
from detectors.tree import MemoryTree
from detectors.wire import Window
from tests.builders import bundle as build

ENTRIES = [(b"", b"head"), (b"dense/bias", b"1"), (b"dense/kernel", b"22"), (b"out", b"")]


class CountingTree(MemoryTree):
    def __init__(self, files):
        super().__init__(files)
        self.reads = []

    def read(self, path, start, stop):
        self.reads.append((start, stop))
        return super().read(path, start, stop)


def window(data, tree=MemoryTree):
    return Window(tree({"t": data}), "t", len(data))


def read(data):
    return list(sstable.read_table(window(data)))


def test_keys_that_share_a_prefix_are_written_out():
    assert read(build.table(build.block(ENTRIES))) == ENTRIES


def test_several_blocks_follow_each_other():
    assert read(build.table(build.block(ENTRIES[:2]), build.block(ENTRIES[2:]))) == ENTRIES


def test_snappy_blocks_are_unpacked():
    assert read(build.table(build.block(ENTRIES), compress=True)) == ENTRIES


def test_a_table_without_blocks_has_no_entries():
    assert read(build.table()) == []


def test_the_first_entry_can_be_read_alone():
    assert sstable.read_first(window(build.table(build.block(ENTRIES)))) == (b"", b"head")


def test_an_empty_table_has_no_first_entry():
    with pytest.raises(MalformedModel, match="empty table"):
        sstable.read_first(window(build.table()))


def test_a_small_table_is_one_request():
    tree = CountingTree({"t": (data := build.table(build.block(ENTRIES)))})
    list(sstable.read_table(Window(tree, "t", len(data))))
    assert tree.reads == [(0, len(data))]


def test_the_first_entry_of_a_large_table_leaves_the_rest_unread():
    big = build.block([(b"x%03d" % i, bytes(20_000)) for i in range(100)])
    data = build.table(build.block(ENTRIES[:1]), big, big)
    tree = CountingTree({"t": data})
    assert sstable.read_first(Window(tree, "t", len(data))) == (b"", b"head")
    assert sum(stop - start for start, stop in tree.reads) < 40_000


def test_the_mask_of_a_checksum_is_undone():
    """Rotated right by 15, e3069283 is 2507c60d; plus a282ead8 it is c78ab0e5 (worked out by hand)."""
    assert sstable.unmask(0xC78AB0E5) == 0xE3069283
    assert sstable.mask(0xE3069283) == 0xC78AB0E5


def test_a_file_shorter_than_a_footer_is_refused():
    with pytest.raises(MalformedModel, match="at least 48 bytes, found 47"):
        read(bytes(47))


def test_another_magic_number_is_refused_with_its_place():
    with pytest.raises(MalformedModel) as caught:
        read(bytes(60))
    assert caught.value.offset == 52


@pytest.mark.parametrize("compress", [False, True])
def test_every_truncation_is_refused(compress):
    data = build.table(build.block(ENTRIES[:2]), build.block(ENTRIES[2:]), compress=compress)
    for stop in range(len(data)):
        with pytest.raises(MalformedModel):
            read(data[:stop])


def test_every_flipped_bit_is_refused():
    """Of the metaindex block and of the footer's padding too, though nothing is read from either."""
    data = build.table(build.block(ENTRIES))
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(MalformedModel):
                read(bytes(flipped))


def test_damage_to_the_padding_of_the_footer_is_told_with_its_place():
    data = bytearray(build.table(build.block(ENTRIES)))
    data[-9] = 1
    with pytest.raises(MalformedModel, match="expected two handles and zeros up to the magic") as caught:
        read(bytes(data))
    assert caught.value.offset == len(data) - 44


def test_keys_out_of_order_are_refused():
    with pytest.raises(MalformedModel, match="expected a key after"):
        read(build.table(build.block([(b"b", b""), (b"a", b"")])))


def test_a_key_that_is_there_twice_is_refused():
    with pytest.raises(MalformedModel, match="expected a key after"):
        read(build.table(build.block([(b"a", b""), (b"a", b"")], share=False)))


def raw_table(*blocks, handles):
    """A table whose index has the given handles, whatever the blocks are."""
    return with_index(b"".join(stored(one) for one in blocks), handles)


def with_index(body, handles):
    """A table of the data blocks in *body* as they are, with what follows them."""
    metaindex = build.block([])
    index = build.block([(bytes([i]), build.varint(at) + build.varint(size)) for i, (at, size) in enumerate(handles, 1)])
    places = (len(body), len(metaindex), len(body) + len(metaindex) + sstable.TRAILER_BYTES, len(index))
    return body + stored(metaindex) + stored(index) + b"".join(map(build.varint, places)).ljust(40, b"\0") + build.MAGIC


def stored(block, kind=b"\0"):
    return block + kind + struct.pack("<I", build.masked(block + kind))


def test_a_block_named_twice_is_refused_so_that_a_small_table_cannot_cost_much():
    block = build.block(ENTRIES)
    with pytest.raises(MalformedModel, match="expected a block at or after byte"):
        read(raw_table(block, handles=[(0, len(block)), (0, len(block))]))


def test_a_block_outside_the_file_is_refused_before_it_is_read():
    data = raw_table(handles=[(0, 1 << 60)])
    with pytest.raises(MalformedModel, match="a block wants bytes up to"):
        read(data)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"", id="no room for the number of restarts"),
        pytest.param(struct.pack("<I", 1 << 31), id="more restarts than bytes"),
        pytest.param(b"\x01\x00\x00" + struct.pack("<II", 0, 1), id="shares a prefix with nothing"),
        pytest.param(b"\x00\x05\x00ab" + struct.pack("<II", 0, 1), id="key leaves the block"),
        pytest.param(b"\x00\x01\x05a" + struct.pack("<II", 0, 1), id="value leaves the block"),
        pytest.param(b"\x80\x80" + struct.pack("<II", 0, 1), id="varint leaves the block"),
        pytest.param(b"\x80" * 10 + b"\x01\x00\x00" + struct.pack("<II", 0, 1), id="varint too long"),
    ],
)
def test_a_block_that_contradicts_itself_is_refused(block):
    with pytest.raises(MalformedModel):
        read(raw_table(block, handles=[(0, len(block))]))


def test_an_unknown_block_type_is_refused():
    block = build.block(ENTRIES)
    data = with_index(stored(block, b"\x02"), [(0, len(block))])
    with pytest.raises(MalformedModel, match="block type 0 or 1, found 2"):
        read(data)


def test_a_snappy_block_that_declares_too_much_is_stopped(monkeypatch):
    monkeypatch.setattr(sstable, "MAX_UNPACKED_BYTES", 60)
    with pytest.raises(ModelLimit) as caught:
        read(build.table(build.block(ENTRIES), build.block([(b"x", b"y" * 50)]), compress=True))
    assert caught.value.limit == "MAX_UNPACKED_BYTES"


@pytest.mark.parametrize(
    ("limit", "value", "entries"),
    [
        ("MAX_KEY_BYTES", 8, [(b"123456789", b"")]),
        ("MAX_VALUE_BYTES", 8, [(b"1", b"123456789")]),
        ("MAX_KEYS_BYTES", 8, [(b"12345", b""), (b"12346", b"")]),
        ("MAX_BLOCK_BYTES", 8, [(b"12345", b"")]),
        ("MAX_BLOCKS", 0, [(b"1", b"")]),
    ],
)
def test_each_limit_stops_the_reading_by_its_name(monkeypatch, limit, value, entries):
    monkeypatch.setattr(sstable, limit, value)
    with pytest.raises(ModelLimit) as caught:
        read(build.table(build.block(entries)))
    assert caught.value.limit == limit


def test_empty_blocks_count_too(monkeypatch):
    monkeypatch.setattr(sstable, "MAX_BLOCKS", 3)
    empty = struct.pack("<II", 0, 1)
    places = [(number * (len(empty) + 5), len(empty)) for number in range(4)]
    assert read(raw_table(*[empty] * 3, handles=places[:3])) == []
    for reader in (read, lambda data: sstable.read_first(window(data))):
        with pytest.raises(ModelLimit) as caught:
            reader(raw_table(*[empty] * 4, handles=places))
        assert caught.value.limit == "MAX_BLOCKS"


def test_keys_that_share_long_prefixes_are_stopped_before_they_fill_the_memory():
    """A third of a megabyte that stands for 260 MB of keys."""
    prefix = b"k" * 15_800
    entry = build.varint(len(prefix)) + build.varint(6) + build.varint(0)
    rest = b"".join(entry + b"%06d" % number for number in range(1, 16_500))
    first = build.varint(0) + build.varint(len(prefix) + 6) + build.varint(0) + prefix + b"000000"
    block = first + rest + struct.pack("<II", 0, 1)
    with pytest.raises(ModelLimit) as caught:
        read(raw_table(block, handles=[(0, len(block))]))
    assert caught.value.limit == "MAX_KEYS_BYTES"


KEYS = st.lists(st.binary(min_size=1, max_size=12), unique=True, max_size=12).map(sorted)


@given(KEYS, st.integers(1, 5), st.booleans())
@settings(max_examples=100)
def test_what_the_builder_writes_is_read(keys, per_block, compress):
    entries = [(key, key * 3) for key in keys]
    groups = [entries[at : at + per_block] for at in range(0, len(entries), per_block)]
    assert read(build.table(*map(build.block, groups), compress=compress)) == entries


@given(st.binary(max_size=200), st.binary(max_size=60))
@settings(max_examples=300)
def test_any_bytes_give_entries_or_a_model_error(block, footer):
    """Bytes as a file, as the body of a footer, and as a block whose checksum is right."""
    for data in (block, block + footer.ljust(40, b"\0")[:40] + build.MAGIC, raw_table(block, handles=[(0, len(block))])):
        try:
            read(data)
        except ModelError:
            continue
