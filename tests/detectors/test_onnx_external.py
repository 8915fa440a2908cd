"""External data of ONNX models: found, measured, and never followed out of the model's folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from detectors.detection import Contents
from detectors.errors import ModelLimit
from detectors.facts import Extraction, Severity, State
from detectors.onnx import DETECTOR
from detectors.tree import FileEntry, MemoryTree, Passed, PassedOver
from tests.attacks.onnx import POSITIONS
from tests.builders import onnx as build


class WatchedTree(MemoryTree):
    """A tree that notes what is opened, and says which names its listing passed over."""

    def __init__(self, files: dict[str, bytes], passed_over: tuple[PassedOver, ...] = ()) -> None:
        super().__init__(files)
        self.opened: set[str] = set()
        self.passed_over = passed_over

    def files(self) -> Iterator[FileEntry]:
        return super().files()

    def read(self, path: str, start: int, stop: int) -> bytes:
        self.opened.add(path)
        return super().read(path, start, stop)


def extract_from(tree: WatchedTree, main: str = "run/m.onnx") -> Extraction:
    contents = Contents(tree, tree.files())
    (detection,) = [found for found in DETECTOR.match(contents) if found.main == main]
    return DETECTOR.extract(contents, detection)


def extract(tensor: bytes, beside: dict[str, bytes] | None = None) -> Extraction:
    data = build.model(build.small_graph(initializers=[tensor]))
    return extract_from(WatchedTree({"run/m.onnx": data, **(beside or {})}))


def problems(extraction: Extraction) -> list[tuple[str, str]]:
    return [(problem.path, problem.problem) for problem in extraction.completeness.problems]


OUTSIDE = {
    "parent": "../secret.txt",
    "parent inside": "a/../../secret.txt",
    "parent that comes back": "../run/w.bin",
    "parent alone": "..",
    "absolute": "/etc/passwd",
    "twice absolute": "//etc/passwd",
    "backslash": "..\\secret.txt",
    "backslash inside": "a\\b",
    "unc": "\\\\host\\share",
    "drive": "C:/secret.txt",
    "drive relative": "C:secret.txt",
    "url": "https://host/w.bin",
    "file url": "file:///etc/passwd",
    "scheme": "file:w.bin",
    "nul": "w.bin\0.txt",
    "empty": "",
    "dot": ".",
    "slash": "/",
    "very long": "a/" * 5000 + "w.bin",
    "memory": "*/_ORT_MEM_ADDR_/*",
    "native memory": "*/_ORT_NATIVE_ENDIAN_MEM_ADDR_/*",
}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("location", OUTSIDE.values(), ids=OUTSIDE)
def test_a_name_that_leads_outside_is_a_finding_and_is_not_opened(position: str, location: str) -> None:
    data = POSITIONS[position].model_with(build.external_tensor(location=location, offset="0", length="24"))
    tree = WatchedTree({"run/m.onnx": data, "secret.txt": bytes(24), "run/w.bin": bytes(24), "run/a\\b": bytes(24)})
    extraction = extract_from(tree)
    assert [(found.rule, found.severity, found.path) for found in extraction.findings] == [
        ("onnx-external-data-outside", Severity.HIGH, "run/m.onnx")
    ]
    assert extraction.findings[0].place == POSITIONS[position].place
    assert extraction.completeness.state is State.COMPLETE, "whoever waits for it would wait in vain"
    ((path, reason),) = extraction.unread
    assert path == "run/m.onnx"
    assert POSITIONS[position].place in reason
    assert extraction.facts.size_bytes == len(data)
    assert "secret.txt" not in tree.opened


@pytest.mark.parametrize("position", POSITIONS)
def test_external_data_is_found_wherever_a_tensor_can_stand(position: str) -> None:
    data = POSITIONS[position].model_with(build.external_tensor(location="w.bin", offset="8", length="24"))
    there = extract_from(WatchedTree({"run/m.onnx": data, "run/w.bin": bytes(32)}))
    assert there.completeness.state is State.COMPLETE
    assert there.facts.size_bytes == len(data) + 32
    assert there.facts.details["external_data"] == [
        {"location": "w.bin", "tensors": 1, "offset": 8, "length": 24, "size": 32, "overlapping": 0}
    ]
    missing = extract_from(WatchedTree({"run/m.onnx": data}))
    assert missing.completeness.state is State.INCOMPLETE


def test_missing_external_data_may_still_come() -> None:
    extraction = extract(build.external_tensor(location="data/w.bin", length="24"))
    assert extraction.completeness.state is State.INCOMPLETE
    assert problems(extraction) == [
        ("run/data/w.bin", "named as external data by run/m.onnx (graph → initializer w), is not there")
    ]
    assert extraction.findings == ()


def test_short_external_data_is_told_with_both_numbers() -> None:
    extraction = extract(build.external_tensor(location="w.bin", offset="8", length="24"), {"run/w.bin": bytes(31)})
    assert extraction.completeness.state is State.INCOMPLETE
    found = "expected at least 32 bytes of external data, found 31; named by run/m.onnx (graph → initializer w)"
    assert problems(extraction) == [("run/w.bin", found)]


@pytest.mark.parametrize(("size", "state"), [(24, State.COMPLETE), (23, State.INCOMPLETE)])
def test_without_a_length_the_dimensions_tell_how_much_is_needed(size: int, state: State) -> None:
    extraction = extract(build.external_tensor(location="w.bin"), {"run/w.bin": bytes(size)})
    assert extraction.completeness.state is state


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "expected a location of its external data, found none"),
        ({"location": "w.bin", "offset": "-1"}, "expected a number of bytes as offset, found b'-1'"),
        ({"location": "w.bin", "length": "24x"}, "expected a number of bytes as length, found b'24x'"),
        ({"location": "w.bin", "length": "1_0"}, "expected a number of bytes as length, found b'1_0'"),
        ({"location": "w.bin", "length": "9" * 20}, "expected a number of bytes as length, found b'" + "9" * 20 + "'"),
        ({"location": "w.bin", "length": "23"}, "[2, 3] of float32 take 24 bytes, its external data has 23"),
    ],
)
def test_external_data_that_cannot_be_right_is_corrupt(keys: dict[str, str], reason: str) -> None:
    extraction = extract(build.external_tensor(**keys), {"run/w.bin": bytes(24)})
    assert extraction.completeness.state is State.CORRUPT
    assert ("run/m.onnx", f"graph → initializer w: {reason}") in problems(extraction)


@pytest.mark.parametrize(("dtype", "name"), [(build.STRING, "string"), (0, "dtype_0")])
def test_external_data_of_a_type_that_raw_data_cannot_hold_is_corrupt(dtype: int, name: str) -> None:
    """onnx 1.23 loads such a model and its checker refuses it then: "STRING data should not be stored in raw_data field"."""
    extraction = extract(build.external_tensor("w", [4], dtype, location="w.bin"), {"run/w.bin": bytes(100)})
    assert extraction.completeness.state is State.CORRUPT
    reason = f"expected no external data of {name}, which raw data cannot hold, found some"
    assert problems(extraction) == [("run/m.onnx", f"graph → initializer w: {reason}")]


def test_a_length_beyond_any_file_is_a_shortage() -> None:
    tensor = build.external_tensor("w", [2**61 // 4], location="w.bin", length=str(2**61))
    extraction = extract(tensor, {"run/w.bin": bytes(24)})
    found = f"expected at least {2**61} bytes of external data, found 24; named by run/m.onnx (graph → initializer w)"
    assert problems(extraction) == [("run/w.bin", found)]


def test_of_two_locations_both_are_judged() -> None:
    tensor = build.tensor(raw=None, more=build.external(("location", "../a"), ("location", "w.bin"), ("length", "24")))
    extraction = extract(tensor, {"run/w.bin": bytes(24)})
    assert [found.rule for found in extraction.findings] == ["onnx-external-data-outside", "onnx-external-data-key"]


@pytest.mark.parametrize(
    ("key", "severity"),
    [("__class__", Severity.HIGH), ("_x", Severity.HIGH), ("basepath", Severity.LOW), ("prepacked", Severity.LOW)],
)
def test_a_key_that_no_writer_uses_is_a_finding(key: str, severity: Severity) -> None:
    extraction = extract(build.external_tensor(location="w.bin", length="24", **{key: "x"}), {"run/w.bin": bytes(24)})
    assert [(found.rule, found.severity) for found in extraction.findings] == [("onnx-external-data-key", severity)]
    assert extraction.completeness.state is State.COMPLETE


def test_keys_are_ignored_where_data_is_not_external() -> None:
    """Readers look at the location of the data first, and so do we."""
    keys = build.external(("location", "../secret.txt")).removesuffix(build.number(14, 1))
    extraction = extract(build.tensor(more=keys))
    assert extraction.findings == ()
    assert extraction.completeness.state is State.COMPLETE


@pytest.mark.parametrize("why", [Passed.LINK_INSIDE, Passed.LINK_OUTSIDE, Passed.SPECIAL])
@pytest.mark.parametrize(
    ("passed", "location"), [("run/w.bin", "w.bin"), ("run/data", "data/w.bin"), ("run/a/b", "a/b/c/w.bin")]
)
def test_a_name_that_leads_through_a_link_is_a_finding(why: Passed, passed: str, location: str) -> None:
    data = build.model(build.small_graph(initializers=[build.external_tensor(location=location, length="24")]))
    extraction = extract_from(WatchedTree({"run/m.onnx": data}, (PassedOver(passed, why, "a test"),)))
    assert [found.rule for found in extraction.findings] == ["onnx-external-data-outside"]
    assert str(why) in extraction.findings[0].message


def test_a_link_elsewhere_is_nobodys_business() -> None:
    data = build.model(build.small_graph(initializers=[build.external_tensor(location="data/w.bin")]))
    tree = WatchedTree(
        {"run/m.onnx": data}, (PassedOver("run/dat", Passed.LINK_INSIDE, ""), PassedOver("data", Passed.LINK_INSIDE, ""))
    )
    assert extract_from(tree).findings == ()


def test_a_folder_named_as_external_data_is_not_there() -> None:
    extraction = extract(build.external_tensor(location="data"), {"run/data/w.bin": bytes(24)})
    assert extraction.completeness.state is State.INCOMPLETE


def test_a_name_that_is_not_utf8_is_looked_up_as_the_listing_has_it() -> None:
    name = b"w\xff.bin"
    extraction = extract(build.external_tensor(location=name, length="24"), {"run/w\udcff.bin": bytes(24)})
    assert extraction.completeness.state is State.COMPLETE
    assert extraction.facts.details["external_data"][0]["location"] == "w\\xff.bin"


def test_tensors_that_share_a_file_are_added_up_and_overlaps_counted() -> None:
    ranges = [("0", "24"), ("24", "24"), ("40", "24"), ("0", "24")]
    tensors = [build.external_tensor(location="w.bin", offset=offset, length=length) for offset, length in ranges]
    data = build.model(build.small_graph(initializers=tensors))
    details = extract_from(WatchedTree({"run/m.onnx": data, "run/w.bin": bytes(99)})).facts.details
    assert details["external_data"] == [
        {"location": "w.bin", "tensors": 4, "offset": 0, "length": 64, "size": 99, "overlapping": 2}
    ]


def test_what_is_told_of_many_bad_names_is_bounded() -> None:
    tensors = [build.external_tensor(location=f"../{i}") for i in range(3000)]
    extraction = extract_from(WatchedTree({"run/m.onnx": build.model(build.small_graph(initializers=tensors))}))
    assert len(extraction.findings) == 1000
    assert extraction.completeness.problems == ()
    assert len(extraction.unread) == 1


def test_many_small_findings_hide_no_large_one() -> None:
    odd = [build.external_tensor(location=f"w\t{i}.bin", length="24") for i in range(1001)]
    odd.append(build.external_tensor(location="w", length="24", _x="1"))
    files = {f"run/w\t{i}.bin": bytes(24) for i in range(1001)} | {"run/w": bytes(24)}
    found = extract_from(WatchedTree({"run/m.onnx": build.model(build.small_graph(initializers=odd)), **files})).findings
    assert len(found) == 1000
    assert [finding.severity for finding in found[:2]] == [Severity.HIGH, Severity.LOW]


def test_a_location_longer_than_any_path_is_a_finding() -> None:
    longest = extract(build.external_tensor(location="a/" * 2047 + "aa", length="24"))
    longer = extract(build.external_tensor(location="a/" * 2047 + "aaa", length="24"))
    assert longest.findings == ()
    assert "it is longer than 4096 bytes" in longer.findings[0].message


def test_of_what_was_passed_over_only_what_is_on_the_way_counts() -> None:
    data = build.model(build.small_graph(initializers=[build.external_tensor(location="d/w.bin", length="24")]))
    found = [
        extract_from(
            WatchedTree({"run/m.onnx": data}, tuple(PassedOver(path, Passed.LINK_INSIDE, "") for path in passed))
        ).findings
        for passed in (("run/d", "run/d-x", "run/d/a"), ("run/d-x", "run/d/a", "run/d/w.bin.1"))
    ]
    assert [len(one) for one in found] == [1, 0]


@pytest.mark.parametrize(
    "location",
    [
        "%2e%2e/secret.txt",
        "%252e%252e%252fsecret.txt",
        "a/%2E%2e/%2e./secret.txt",
        "%2fetc/passwd",
        "a%00b",
        "..%5csecret.txt",
        "%c0%ae%c0%ae/secret.txt",
        "\uff0e\uff0e\uff0fsecret.txt",
        "\u2025/secret.txt",
        "\u3002\u3002\u2215secret.txt",
        "\udcc0\udcae\udcc0\udcae/secret.txt",
        ".. /secret.txt",
        "..\t/secret.txt",
        "file%3a/etc/passwd",
        "~/secret.txt",
        "~root/secret.txt",
        "$HOME/secret.txt",
        "${HOME}/secret.txt",
        "%USERPROFILE%/secret.txt",
    ],
)
def test_a_name_that_some_readers_take_for_one_that_leads_outside_is_a_finding(location: str) -> None:
    name = location.encode("utf-8", "surrogateescape")
    extraction = extract(build.external_tensor(location=name, length="24"), {f"run/{location}": bytes(24)})
    assert [(found.rule, found.severity, found.place) for found in extraction.findings] == [
        ("onnx-external-data-name", Severity.MEDIUM, "graph → initializer w")
    ]
    assert extraction.completeness.state is State.COMPLETE


@pytest.mark.parametrize("location", [" w.bin", "w.bin ", "a /w.bin", "a\nw.bin", "w\u202ebin", "\udcffw.bin", "\tw.bin"])
def test_a_name_that_looks_like_another_is_a_finding_of_its_own(location: str) -> None:
    name = location.encode("utf-8", "surrogateescape")
    extraction = extract(build.external_tensor(location=name, length="24"), {f"run/{location}": bytes(24)})
    assert [(found.rule, found.severity) for found in extraction.findings] == [("onnx-external-data-name", Severity.LOW)]


@pytest.mark.parametrize(
    "location",
    [
        "model.onnx.data",
        "onnx__MatMul_1234",
        "encoder.layers.0.weight",
        "StatefulPartitionedCall/model/dense/MatMul/ReadVariableOp__0",
        "weights/100%.bin",
        "50%25.bin",
        "модель/вес.bin",
        "模型.data",
        "a b.bin",
        "...bin",
        "a~1.bin",
        "w$1.bin",
        "caf\u0065\u0301.bin",
    ],
)
def test_a_name_that_people_give_is_no_finding(location: str) -> None:
    extraction = extract(build.external_tensor(location=location, length="24"), {f"run/{location}": bytes(24)})
    assert extraction.findings == ()
    assert extraction.completeness.state is State.COMPLETE


@pytest.mark.parametrize("location", ["w.bin/", "w.bin/.", "w.bin//"])
def test_a_name_that_ends_as_that_of_a_folder_names_no_file(location: str) -> None:
    extraction = extract(build.external_tensor(location=location, length="24"), {"run/w.bin": bytes(24)})
    assert extraction.completeness.state is State.INCOMPLETE
    reason = "named as external data by run/m.onnx (graph → initializer w), is the name of a folder"
    assert problems(extraction) == [("run/w.bin", reason)]


@pytest.mark.parametrize(("again", "severity"), [("0", Severity.LOW), ("8", Severity.MEDIUM)])
def test_a_key_given_twice_matters_more_where_its_values_differ(again: str, severity: Severity) -> None:
    keys = build.external(("location", "w.bin"), ("offset", again), ("offset", "0"), ("length", "24"))
    extraction = extract(build.tensor(raw=None, more=keys), {"run/w.bin": bytes(32)})
    assert [(found.rule, found.severity) for found in extraction.findings] == [("onnx-external-data-key", severity)]


@pytest.mark.parametrize("is_large", [False, True])
def test_values_in_the_model_and_outside_are_a_finding(is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_large:
        monkeypatch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", -1)
    keys = build.external(("location", "w.bin"), ("length", "4000"))
    extraction = extract(build.tensor(dims=[1000], raw=bytes(4000), more=keys), {"run/w.bin": bytes(4000)})
    assert [(found.rule, found.severity, found.place) for found in extraction.findings] == [
        ("onnx-duplicate-field", Severity.MEDIUM, "graph → initializer w")
    ]


def test_a_tensor_left_empty_in_the_model_has_its_values_outside_alone() -> None:
    keys = build.external(("location", "w.bin"), ("length", "24"))
    assert extract(build.tensor(raw=b"", more=keys), {"run/w.bin": bytes(24)}).findings == ()


def test_places_of_deep_graphs_are_cut_in_the_middle() -> None:
    graph = build.small_graph(initializers=[build.external_tensor(location="../w.bin")])
    for number in range(20):
        node = build.node("If", [build.attribute("then_branch", g=graph)], name=f"{number} " + "n" * 500)
        graph = build.small_graph(nodes=[node])
    place = extract_from(WatchedTree({"run/m.onnx": build.model(graph)})).findings[0].place
    assert len(place) == 1000
    assert place.startswith("graph → node 19 nnn")
    assert place.endswith("nnn → attribute g → initializer w")


def test_names_of_more_characters_than_any_model_has_are_inconclusive() -> None:
    tensors = [build.external_tensor(location=f"{number} " + "%2e" * 1300) for number in range(2200)]
    with pytest.raises(ModelLimit, match="MAX_NAME_BYTES"):
        extract_from(WatchedTree({"run/m.onnx": build.model(build.small_graph(initializers=tensors))}))
