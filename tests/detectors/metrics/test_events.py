"""Event files: which values are scalars, and that the short way through known layouts changes nothing."""

import math
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import ModelLimit
from detectors.metrics import events
from detectors.metrics.budget import Budget, BudgetSpent
from detectors.metrics.events import EventReader
from detectors.metrics.record_file import MAX_SMALL_RECORD_BYTES
from detectors.metrics.series import Checkpoint, Point, Room
from detectors.tree import MemoryTree
from tests.builders import events as build

FILE = "events.out.tfevents.1"


class Counting(MemoryTree):
    count = 0

    def read(self, path: str, start: int, stop: int) -> bytes:
        self.count += stop - start
        return super().read(path, start, stop)


def read(*files: bytes, budget: Budget | None = None, room: Room | None = None, tree: MemoryTree | None = None):
    """Return the series by tag and the reasons of the notes, for files read in order."""
    tree = tree or MemoryTree({f"{FILE}.{number}": data for number, data in enumerate(files)})
    reader = EventReader("", budget or Budget(), room or Room())
    notes = [note.reason for entry in tree.files() for note in reader.read(tree, entry)]
    return {series.name: series for series in reader.series()}, notes


def points_of(*records: bytes) -> dict[str, list[tuple[int, tuple[float, ...]]]]:
    series, notes = read(build.event_file(*records))
    assert notes == []
    return {name: [(item.step, item.values) for item in found.checkpoints] for name, found in series.items()}


def value_record(value: bytes, step: int = 1) -> bytes:
    return build.record(build.event(build.summary(value), step, 1500000000.5))


def test_simple_values_are_scalars():
    series, notes = read(build.event_file(build.scalar("loss", 0.5, 1), build.scalar("loss", 0.25, 2, 1500000007.25)))
    assert notes == []
    assert series["loss"].last == Point(2, 0.25, 1500000007.25)
    assert series["loss"].checkpoints == (Checkpoint(1, (0.5,)), Checkpoint(2, (0.25,)))
    assert (series["loss"].count, series["loss"].source) == (2, FILE + ".0")


def test_a_file_as_written_down_by_hand():
    """One event without wall time, as Guild writes it: every byte a literal."""
    data = bytes.fromhex(
        "0f00000000000000 6d532b09 1a0d 627261696e2e4576656e743a32 fc985129"
        "0f00000000000000 6d532b09 2a0d 0a0b 0a04 6c6f7373 15 da1ef53e 0a40be12"
    )
    series, notes = read(data)
    assert notes == []
    assert series["loss"].last == Point(0, struct.unpack("<f", bytes.fromhex("da1ef53e"))[0], None)


def test_rank_0_tensors_of_the_plugin_scalars_are_scalars():
    assert points_of(value_record(build.scalar_tensor("a", 0.5)), value_record(build.scalar_tensor("a", 0.25), 2)) == {
        "a": [(1, (0.5,)), (2, (0.25,))]
    }


def test_the_plugin_of_a_tag_is_remembered_from_its_first_event():
    first, later = build.scalar_tensor("a", 0.5), build.scalar_tensor("a", 0.25, plugin=None)
    assert points_of(value_record(first), value_record(later, 2), value_record(later, 3)) == {
        "a": [(1, (0.5,)), (2, (0.25,)), (3, (0.25,))]
    }


def test_the_plugin_of_a_tag_is_remembered_over_the_files_of_a_session():
    series, _ = read(
        build.event_file(value_record(build.scalar_tensor("a", 0.5))),
        build.event_file(value_record(build.scalar_tensor("a", 0.25, plugin=None), 2)),
    )
    assert series["a"].last.step == 2


@pytest.mark.parametrize("plugin", ["text", "histograms", "images", "pr_curves", "scalars2", "", None])
def test_tensors_of_other_plugins_are_none(plugin):
    assert (
        points_of(value_record(build.scalar_tensor("a", 0.5, plugin)), value_record(build.scalar_tensor("a", 1.0, plugin)))
        == {}
    )


def test_the_first_plugin_of_a_tag_stays():
    text, scalar = build.scalar_tensor("a", 0.5, "text"), build.scalar_tensor("a", 0.5)
    assert points_of(value_record(text), value_record(scalar)) == {}


def test_a_checkpoint_path_is_no_scalar_and_does_not_disturb():
    path = build.tensor_value("checkpoint_path", build.tensor(build.STRING, rest=build.field(8, b"model.ckpt-1")), None)
    record = build.record(build.event(build.summary(build.simple("loss", 0.5), path, build.simple("global_step", 7.0)), 7, 1.0))
    assert points_of(record) == {"loss": [(7, (0.5,))], "global_step": [(7, (7.0,))]}


@pytest.mark.parametrize("step", [0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 2**35, 2**63 - 1, -1, -(2**63)])
def test_every_step_is_read_with_and_without_a_known_layout(step):
    assert points_of(*[build.scalar("loss", value, step) for value in (0.5, 0.25, 0.125)]) == {
        "loss": [(step, (0.5, 0.25, 0.125))]
    }


def test_a_step_of_0_may_be_left_out():
    records = [build.record(build.event(build.summary(build.simple("a", value)), None, 1.0)) for value in (0.5, 0.25)]
    assert points_of(*records) == {"a": [(0, (0.5, 0.25))]}


def test_values_that_look_like_keys_are_read():
    numbers = [struct.unpack("<f", bytes.fromhex(text))[0] for text in ("2a0a1509", "09100a2a", "15151515", "00000000")]
    assert points_of(*[build.scalar("a*\n\x15\t", number, 0x2A) for number in numbers]) == {
        "a*\n\x15\t": [(0x2A, tuple(numbers))]
    }


def test_infinities_and_nan_are_kept():
    series, _ = read(build.event_file(*[build.scalar("a", value, 1) for value in (math.inf, -math.inf, math.nan)]))
    assert series["a"].checkpoints[0].values[:2] == (math.inf, -math.inf)
    assert math.isnan(series["a"].last.value)


def test_a_tag_that_is_not_utf_8_is_read():
    record = build.record(build.event(build.summary(build.field(1, b"\xff") + b"\x15" + bytes(4)), 1, 1.0))
    assert points_of(record) == {"�": [(1, (0.0,))]}


def test_a_later_file_wins_where_steps_are_equal():
    first = build.event_file(build.scalar("a", 1.0, 1), build.scalar("a", 2.0, 2))
    series, _ = read(first, build.event_file(build.scalar("a", 5.0, 2)))
    assert series["a"].checkpoints == (Checkpoint(1, (1.0,)), Checkpoint(2, (5.0,)))
    assert series["a"].source == FILE + ".1"


def test_scalars_beside_a_large_image_are_read_without_the_image():
    image = build.field(1, b"image") + build.field(4, build.field(4, b"p" * 3_000_000))
    event = build.event(build.summary(build.simple("before", 0.5), image, build.simple("after", 0.25)), 3, 1.5)
    series, notes = read(build.event_file(build.record(event)))
    assert notes == []
    assert {name: item.last for name, item in series.items()} == {"before": Point(3, 0.5, 1.5), "after": Point(3, 0.25, 1.5)}


def test_large_records_without_scalars_are_not_read():
    graph = build.record(build.event(build.field(4, b"g" * 3_000_000), wall_time=1.0))
    image = build.field(1, b"image") + build.field(4, build.field(4, b"p" * 3_000_000))
    tree = Counting({FILE: build.event_file(graph, value_record(image), build.scalar("a", 0.5, 1))})
    series, notes = read(tree=tree)
    assert (list(series), notes) == (["a"], [])
    assert tree.count < 200_000


def test_wrong_bytes_in_a_large_record_with_scalars_end_the_file():
    image = build.field(1, b"image") + build.field(4, build.field(4, b"p" * 100_000))
    event = build.event(build.summary(build.simple("a", 0.5), image), 3, 1.5)
    data = bytearray(build.event_file(build.record(event)))
    data[-5000] ^= 1
    series, notes = read(bytes(data))
    assert series == {}
    assert notes == ["1 records read, then at byte 40: corrupt: the data do not match their checksum"]


def test_a_torn_end_keeps_what_was_read_and_tells():
    data = build.event_file(build.scalar("a", 0.5, 1), build.scalar("a", 0.25, 2))
    series, notes = read(data[:-1])
    assert series["a"].last.step == 1
    assert notes == ["2 records read, then at byte 79: cut off: the record would end at byte 118, the file ends at 117"]


def test_an_empty_file_is_told():
    assert read(b"") == ({}, ["named like an event file, and empty"])


def test_a_record_file_of_other_things_is_told_and_not_read():
    assert read(build.record(b"tf.Example") + build.scalar("a", 0.5, 1)) == (
        {},
        ["not an event file: the first record does not hold 'brain.Event:'"],
    )


def test_other_bytes_under_the_name_are_told():
    assert read(b"version https://git-lfs.github.com/spec/v1\n") == (
        {},
        ["0 records read, then at byte 0: corrupt: the length does not match its checksum"],
    )


def test_a_record_that_is_no_event_ends_the_file():
    series, notes = read(build.event_file(build.scalar("a", 0.5, 1), build.record(b"\xff" * 40), build.scalar("a", 0.5, 2)))
    assert series["a"].last.step == 1
    assert notes == ["corrupt: a record before byte 174 is no event; nothing after it is read"]


def test_a_large_record_with_a_group_too_long_is_passed_over():
    groups = build.record(b"\x7b" + b"\x08\x00" * 100_000 + b"\x7c")
    assert points_of(groups, build.scalar("a", 0.5, 1)) == {"a": [(1, (0.5,))]}


def test_too_many_tags_are_left_out_and_counted():
    room = Room(left=2)
    series, _ = read(build.event_file(*[build.scalar(f"t{n}", 0.5, 1) for n in range(5)]), room=room)
    assert (list(series), room.left_out) == (["t0", "t1"], 3)


def test_a_tag_beyond_the_limit_is_passed_over():
    assert points_of(build.scalar("t" * 1025, 0.5, 1), build.scalar("t" * 1024, 0.5, 1)) == {"t" * 1024: [(1, (0.5,))]}


def test_the_budget_keeps_what_was_read():
    reader = EventReader("", Budget(looks=50_000), Room())
    tree = MemoryTree({FILE: build.event_file(build.scalar("a", 0.5, 1), *[build.record(b"")] * 100_000)})
    with pytest.raises(ModelLimit, match="MAX_LOOKS"):
        list(reader.read(tree, next(tree.files())))
    assert next(reader.series()).last.value == 0.5


def test_values_without_room_cost_more_of_the_budget_than_those_that_are_kept():
    """Of 200 values 190 have no room; 30 looks each are more than the budget, 200 values with room are not."""
    records = [build.scalar(f"t{number}", 0.5, 1) for number in range(200)]
    assert len(read(build.event_file(*records), budget=Budget(looks=5_000))[0]) == 200
    with pytest.raises(ModelLimit, match="MAX_LOOKS"):
        read(build.event_file(*records), budget=Budget(looks=5_000), room=Room(left=10))


def test_a_large_record_of_tiny_fields_is_bounded_by_the_budget():
    groups = b"\x7b" + b"\x08\x00" * 100_000 + b"\x7c"
    with pytest.raises(ModelLimit, match="MAX_LOOKS"):
        read(build.event_file(build.record(groups)), budget=Budget(looks=5_000))


def test_a_large_record_of_empty_values_is_bounded_by_the_budget():
    with pytest.raises(ModelLimit, match="MAX_LOOKS"):
        read(build.event_file(build.record(build.summary(*[b""] * 100_000))), budget=Budget(looks=5_000))


def test_more_tags_than_layouts_are_read(monkeypatch):
    monkeypatch.setattr(events, "MAX_LAYOUTS", 2)
    records = [build.scalar(f"t{n % 5}", float(n), n) for n in range(20)]
    assert [item.count for item in read(build.event_file(*records))[0].values()] == [4] * 5


def test_an_int_that_looks_like_a_float_is_not_taken_for_one():
    zero, one = (build.tensor_value("a", build.tensor(build.INT32, struct.pack("<i", n))) for n in (0, 1))
    assert points_of(value_record(zero), value_record(one, 2)) == {"a": [(1, (0.0,)), (2, (1.0,))]}


@pytest.mark.parametrize("step", [0, 1, 127, 128, 255, 16383, 16384, 2**21 - 1, 2**21, 2**28 - 1, 2**28, 2**35, 2**63 - 1, -1])
@pytest.mark.parametrize("way", [build.simple, build.scalar_tensor])
def test_many_records_of_one_layout_are_read(step, way):
    records = [value_record(way(tag, number / 2), step) for number in range(50) for tag in ("loss", "accuracy")]
    halves = tuple(number / 2 for number in range(50))
    assert points_of(*records) == {"loss": [(step, halves)], "accuracy": [(step, halves)]}


def test_ascending_steps_of_every_width_are_read():
    steps = [*range(300), *range(16_300, 16_500), *range(2**21 - 60, 2**21 + 60), *range(2**28 - 60, 2**28 + 60)]
    assert points_of(*[build.scalar("a", 0.5, step) for step in steps]) == {"a": [(step, (0.5,)) for step in steps]}


def test_records_with_a_known_layout_are_taken_together(monkeypatch):
    alone = []
    take_one = events._Reading._take_one
    monkeypatch.setattr(events._Reading, "_take_one", lambda reading, data: alone.append(data) or take_one(reading, data))
    records = [build.scalar(tag, 0.5, step) for step in range(1, 101) for tag in ("a", "b", "c")]
    series, _ = read(build.event_file(*records))
    assert [item.count for item in series.values()] == [100, 100, 100]
    assert len(alone) < 30  # the first of each tag, and the small groups before the headers are known


@pytest.mark.parametrize(
    "other",
    [
        build.event(build.summary(build.simple("a", 99.0)), 1, None) + b"\x09" + bytes(8),
        b"\x0a\x07" + bytes(7) + b"\x10\x01" + build.summary(build.simple("a", 99.0)),
        b"\x09" + bytes(8) + b"\x18\x01" + build.summary(build.simple("a", 99.0)),
        build.event(build.summary(build.simple("a", 99.0)) + b"\x10\x07", 1, 1.5),
        build.event(build.summary(build.simple("a", 99.0)), 1, 1.5) + b"\x10\x07",
        build.event(
            build.summary(build.scalar_tensor("a", 9.0)[:-13] + b"\x15" + bytes(4) + build.field(10, bytes(6))), 1, 1.5
        ),
        b"\x0a\x07" + bytes(7) + b"\x10\x01" + build.summary(build.scalar_tensor("a", 99.0)),
    ],
)
@pytest.mark.parametrize("way", [build.simple, build.scalar_tensor])
def test_a_record_unlike_the_others_is_read_as_it_would_be_alone(monkeypatch, other, way):
    same = [value_record(way("a", float(number)), 1) for number in range(40)]
    whole = build.event_file(*same[:20], build.record(other), *same[20:])
    short = read(whole)
    monkeypatch.setattr(events, "MAX_LAYOUTS", 0)
    assert repr(read(whole)) == repr(short)


def test_a_layout_with_the_value_twice_is_not_learnt():
    def twice(first, last):
        return value_record(build.field(1, b"a") + b"\x15" + struct.pack("<f", first) + b"\x15" + struct.pack("<f", last))

    assert points_of(twice(1.0, 2.0), twice(3.0, 2.0), twice(1.0, 4.0)) == {"a": [(1, (2.0, 2.0, 4.0))]}


tags = st.sampled_from(["a", "b", "loss", "*\x15\n", "é"])
numbers = st.floats(width=32)
steps = st.one_of(st.none(), st.integers(0, 300), st.integers(-2, 2**40))
walls = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, min_value=1, max_value=1e10))


@st.composite
def values(draw):
    tag, number = draw(tags), draw(numbers)
    packed = struct.pack("<f", number)
    ways = [
        build.simple(tag, number),
        build.scalar_tensor(tag, number),
        build.scalar_tensor(tag, number, None),
        build.scalar_tensor(tag, number, "text"),
        build.tensor_value(tag, build.tensor(build.FLOAT, rest=build.field(5, packed))),
        build.tensor_value(tag, build.tensor(build.FLOAT, rest=b"\x2d" + packed)),
        build.tensor_value(tag, build.tensor(build.INT32, packed)),
        build.simple(tag, 7.0) + build.field(8, build.tensor(build.FLOAT, packed)),
        b"\x15" + packed + build.field(1, tag.encode()),
    ]
    return draw(st.sampled_from(ways))


@st.composite
def event_bytes(draw):
    body = build.summary(*draw(st.lists(values(), min_size=1, max_size=2)))
    return build.event(body, draw(steps), draw(walls))


@settings(max_examples=300, deadline=None)
@given(st.lists(event_bytes(), min_size=1, max_size=12), st.data())
def test_the_layouts_change_nothing_but_the_time_it_takes(bodies, data):
    again = [data.draw(st.sampled_from(bodies)) for _ in range(6)]
    again += data.draw(st.lists(st.sampled_from(bodies), min_size=1, max_size=2)) * data.draw(st.sampled_from([1, 16]))
    whole = build.event_file(*map(build.record, bodies + again))
    short = read(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "MAX_LAYOUTS", 0)
        assert repr(read(whole)) == repr(short)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60) | event_bytes(), max_size=8), st.binary(max_size=30), st.integers(0, 20))
def test_any_bytes_give_series_and_notes_or_budget_spent(bodies, rest, looks):
    data = build.event_file(*map(build.record, bodies)) + rest
    series, _ = read(data)
    assert all(item.count > 0 for item in series.values())
    with suppress(BudgetSpent):
        assert read(data, budget=Budget(looks=looks))[0].keys() == series.keys()


def test_a_large_record_is_above_the_small_limit():
    assert MAX_SMALL_RECORD_BYTES < 100_000
