"""ONNX models by their structure, read from bytes that are written by hand."""

from __future__ import annotations

import pytest

from detectors.detection import Contents
from detectors.errors import ModelLimit
from detectors.facts import Detection, Extraction, Framework, Severity, State, TensorSpec
from detectors.onnx import DETECTOR
from detectors.tree import FileEntry, MemoryTree
from detectors.wrapped_tree import CountingTree
from tests.builders import onnx as build


def contents_of(files: dict[str, bytes]) -> Contents:
    tree = MemoryTree(files)
    return Contents(tree, tree.files())


def matches(files: dict[str, bytes]) -> list[Detection]:
    return list(DETECTOR.match(contents_of(files)))


def extract(data: bytes, **beside: bytes) -> Extraction:
    """Extract model.onnx; *beside* are other files of its folder, with `__` for the dot."""
    contents = contents_of({"model.onnx": data, **{name.replace("__", "."): body for name, body in beside.items()}})
    (detection,) = [found for found in DETECTOR.match(contents) if found.main == "model.onnx"]
    return DETECTOR.extract(contents, detection)


def problems(extraction: Extraction) -> list[str]:
    return [problem.problem for problem in extraction.completeness.problems]


def rules(extraction: Extraction) -> list[str]:
    return [finding.rule for finding in extraction.findings]


class TestMatch:
    @pytest.mark.parametrize("path", ["model.onnx", "MODEL.ONNX", "model.pb", "a/b/model", "m.bin"])
    def test_a_model_is_found_under_any_name(self, path: str) -> None:
        (found,) = matches({path: build.model()})
        assert (found.format, found.root, found.main, found.files) == ("onnx", path, path, (path,))

    def test_the_evidence_names_version_graph_and_first_node(self) -> None:
        (found,) = matches({"m.onnx": build.model()})
        (seen,) = found.evidence
        assert seen.saw == "ModelProto of IR version 8 with a graph whose first node is Relu"
        assert seen.offset == 13  # 2 bytes of version, 6 of producer's name, 5 of its version

    def test_fields_may_stand_in_any_order(self) -> None:
        backwards = build.field(8, build.opset()) + build.field(7, build.small_graph()) + build.number(1, 8)
        assert [found.main for found in matches({"m.pb": backwards})] == ["m.pb"]

    @pytest.mark.parametrize(
        "foreign",
        {
            "tensor": build.tensor(),
            "graph alone": build.small_graph(),
            "saved model": build.number(1, 1) + build.field(2, b"\x0a\x00"),
            "no graph": build.number(1, 8) + build.field(8, build.opset()),
            "no version": build.field(7, build.small_graph()) + build.field(8, build.opset()),
            "version 65": build.model(ir=65),
            "no opset": build.model(opsets=()),
            "unknown field": build.model(more=build.number(99, 1)),
            "graph of another kind": build.model(build.field(3, "x")),
            "no node": build.model(build.graph()),
            "node without op_type": build.model(build.graph([build.field(1, "x")])),
            "unprintable op_type": build.model(build.graph([build.node("\x01\x02")])),
            "op_type not UTF-8": build.model(build.graph([build.field(4, b"\xff")])),
            "cut": build.model()[:-1],
            "text": b"ruby is not a model",
            "zeros": bytes(100),
        }.items(),
        ids=lambda item: item[0],
    )
    def test_foreign_files_are_left_alone_in_silence(self, foreign: tuple[str, bytes]) -> None:
        assert matches({"file.pb": foreign[1]}) == []

    @pytest.mark.parametrize("data", [b"", b"\x00", b"<html>404</html>", build.model()[:-1], bytes(100)])
    def test_a_file_named_onnx_is_mine_though_broken(self, data: bytes) -> None:
        (found,) = matches({"m.onnx": data})
        assert found.format == "onnx"
        assert found.evidence[0].saw.startswith("named .onnx, but ")

    @pytest.mark.parametrize(
        "data", [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", b"\x18\x00\x00\x00ORTM" + bytes(40)]
    )
    def test_pointers_and_the_format_of_onnxruntime_are_somebody_elses(self, data: bytes) -> None:
        assert matches({"m.onnx": data}) == []

    def test_a_taken_file_is_not_looked_at(self) -> None:
        contents = contents_of({"m.onnx": build.model()})
        contents.take(["m.onnx"])
        assert list(DETECTOR.match(contents)) == []

    def test_an_old_model_needs_no_opset_import(self) -> None:
        assert len(matches({"m.pb": build.model(ir=2, opsets=())})) == 1

    def test_its_external_data_belongs_to_a_model(self) -> None:
        graph = build.small_graph(initializers=[build.external_tensor(location="./data/w.bin", length="24")])
        (found,) = matches({"a/m.onnx": build.model(graph), "a/data/w.bin": bytes(24), "a/other.bin": bytes(9)})
        assert found.files == ("a/data/w.bin", "a/m.onnx")

    def test_shared_external_data_goes_to_the_first_model_by_path(self) -> None:
        data = build.model(build.small_graph(initializers=[build.external_tensor(location="w.bin", length="24")]))
        first, second = matches({"a.onnx": data, "b.onnx": data, "w.bin": bytes(24)})
        assert (first.files, second.files) == (("a.onnx", "w.bin"), ("b.onnx",))

    def test_a_model_named_as_external_data_stays_a_model(self) -> None:
        data = build.model(build.small_graph(initializers=[build.external_tensor(location="b.onnx")]))
        assert [found.files for found in matches({"a.onnx": data, "b.onnx": build.model()})] == [("a.onnx",), ("b.onnx",)]

    def test_external_data_that_is_named_onnx_is_not_a_broken_model(self) -> None:
        data = build.model(build.small_graph(initializers=[build.external_tensor(location="weights.onnx")]))
        assert [found.files for found in matches({"m.onnx": data, "weights.onnx": bytes(24)})] == [("m.onnx", "weights.onnx")]


class TestFacts:
    def test_inputs_are_those_without_an_initializer(self) -> None:
        graph = build.small_graph(inputs=[build.value("x"), build.value("w")], initializers=[build.tensor("w")])
        (signature,) = extract(build.model(graph)).facts.signatures
        assert (signature.name, signature.method) == ("g", "")
        assert signature.inputs == (TensorSpec("x", "float32", (2, 3)),)
        assert signature.outputs == (TensorSpec("y", "float32", (2, 3)),)

    def test_a_sparse_initializer_is_no_input_either(self) -> None:
        sparse = build.sparse(build.tensor("w", [2], raw=bytes(8)), build.tensor("", [2], build.INT64, bytes(16)), [9])
        graph = build.small_graph(inputs=[build.value("x"), build.value("w")], more=build.field(15, sparse))
        extraction = extract(build.model(graph))
        assert [spec.name for spec in extraction.facts.signatures[0].inputs] == ["x"]
        assert extraction.facts.parameters.stored == 2
        assert extraction.facts.dtypes == {"float32": 1}

    def test_a_shape_is_sizes_names_and_unknowns(self) -> None:
        inputs = [
            build.value("a", dims=["batch", 3, None, -1, 0]),
            build.value("b", build.INT64, dims=()),
            build.value("c", dims=None),
        ]
        (signature,) = extract(build.model(build.small_graph(inputs=inputs))).facts.signatures
        assert [spec.shape for spec in signature.inputs] == [("batch", 3, None, None, 0), (), None]
        assert signature.inputs[1].dtype == "int64"

    def test_values_that_are_no_tensors_are_written_as_onnx_writes_them(self) -> None:
        tensor = build.field(1, build.number(1, 1) + build.field(2, build.field(1, build.number(1, 4))))
        sequence = build.field(4, build.field(1, tensor))
        kinds = {
            "seq": sequence,
            "map": build.field(5, build.number(1, 7) + build.field(2, tensor)),
            "optional": build.field(9, build.field(1, tensor)),
            "sparse": build.field(8, build.number(1, 11)),
            "opaque": build.field(7, build.field(1, "d") + build.field(2, "n")),
            "none": b"",
        }
        inputs = [build.field(1, name) + build.field(2, kind) for name, kind in kinds.items()]
        (signature,) = extract(build.model(build.small_graph(inputs=inputs))).facts.signatures
        assert [(spec.dtype, spec.shape) for spec in signature.inputs] == [
            ("seq(tensor(float32))", None),
            ("map(int64,tensor(float32))", None),
            ("optional(tensor(float32))", (4,)),
            ("sparse_tensor(float64)", None),
            ("opaque(d,n)", None),
            ("", None),
        ]

    def test_operators_of_subgraphs_and_functions_are_counted(self) -> None:
        inner = build.graph([build.node("Mul"), build.node("Mul", domain="ai.onnx")])
        middle = build.graph([build.node("If", [build.attribute("then_branch", g=inner)])])
        loop = build.node("Loop", [build.attribute("body", graphs=middle), build.attribute("n", i=b"")])
        function = (
            build.field(1, "f") + build.field(7, build.node("Tanh")) + build.field(10, "own") + build.field(9, build.opset())
        )
        call, custom, ml = (
            build.node("f", domain="own"),
            build.node("c", domain="corp"),
            build.node("Scaler", domain="ai.onnx.ml"),
        )
        imports = [build.opset(17), build.opset(3, "ai.onnx.ml"), build.opset(1, "own"), build.opset(2, "corp")]
        facts = extract(
            build.model(build.small_graph(nodes=[loop, call, custom, ml]), opsets=imports, more=build.field(25, function))
        ).facts
        assert facts.operators == {"If": 1, "Loop": 1, "Mul": 2, "Tanh": 1, "ai.onnx.ml::Scaler": 1, "corp::c": 1, "own::f": 1}
        assert facts.custom_operators == ("corp::c",)
        assert facts.opset_imports == {"ai.onnx": 17, "ai.onnx.ml": 3, "own": 1, "corp": 2}

    def test_parameters_are_initializers_and_constants_are_told_apart(self) -> None:
        constant = build.node("Constant", [build.attribute("value", t=build.tensor("c", [5], raw=bytes(20)))])
        branch = build.graph([build.node("Add")], [build.tensor("inner", [7], build.FLOAT16, bytes(14))])
        branching = build.node("If", [build.attribute("then_branch", g=branch)])
        facts = extract(build.model(build.small_graph(nodes=[constant, branching], initializers=[build.tensor()]))).facts
        assert facts.parameters.stored == 2 * 3 + 7
        assert (facts.parameters.distinct, facts.parameters.trainable) == (None, None)
        assert facts.details["constants"] == {"tensors": 1, "elements": 5}
        assert facts.dtypes == {"float32": 1, "float16": 1}

    @pytest.mark.parametrize(
        ("producer", "version", "framework"),
        [
            ("pytorch", "2.7.1", Framework("pytorch", "2.7.1")),
            ("tf2onnx", "1.16", Framework("tensorflow", None)),
            ("skl2onnx", "1.14", Framework("scikit-learn", None)),
            ("backend-test", "", None),
            ("", "", None),
        ],
    )
    def test_a_framework_is_told_where_the_producer_is_plain(
        self, producer: str, version: str, framework: Framework | None
    ) -> None:
        data = build.model(more=build.field(2, producer) + build.field(3, version))
        facts = extract(data).facts
        assert facts.framework == framework
        assert facts.producer == (f"{producer} {version}".strip() or None)

    def test_metadata_and_hints_of_quantisation_are_details(self) -> None:
        nodes = [build.node("QuantizeLinear"), build.node("QLinearConv"), build.node("Relu")]
        details = extract(
            build.model(build.small_graph(nodes=nodes), more=build.field(14, build.field(1, "loss") + build.field(2, "0.5")))
        ).facts.details
        assert details["metadata_props"] == {"loss": "0.5"}
        assert details["quantization"] == {"operators": {"QLinearConv": 1, "QuantizeLinear": 1}, "annotations": 0}

    def test_names_that_are_not_utf8_are_shown_with_a_replacement(self) -> None:
        graph = build.small_graph(inputs=[build.field(1, b"\xffx")])
        assert extract(build.model(graph)).facts.signatures[0].inputs[0].name == "\ufffdx"

    def test_the_weights_stay_unread(self) -> None:
        """200 tensors of 1 MB: what is read is a small part of the 200 MB, and there are a few hundred reads."""
        raw = bytes(1 << 20)
        graph = build.small_graph(initializers=[build.tensor(f"w{i}", [1 << 18], raw=raw) for i in range(200)])
        tree = CountingTree(MemoryTree({"m.onnx": build.model(graph)}))
        contents = Contents(tree, tree.files())
        (detection,) = DETECTOR.match(contents)
        facts = DETECTOR.extract(contents, detection).facts
        assert facts.parameters.stored == 200 * (1 << 18)
        assert tree.bytes < 4_000_000
        assert tree.reads < 250


class TestCompleteness:
    def test_a_whole_model_is_complete(self) -> None:
        extraction = extract(build.model(build.small_graph(initializers=[build.tensor()])))
        assert extraction.completeness.state is State.COMPLETE
        assert extraction.findings == ()

    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (b"", "expected a graph, found none"),
            (build.model(opsets=()), "expected an opset import, as of IR version 8, found none"),
            (build.model(ir=0), "expected an IR version from 1 to 64, found 0"),
            (build.model(ir=-1), "expected an IR version from 1 to 64, found -1"),
            (build.model(build.graph()), "expected a graph with nodes or outputs, found neither"),
            (
                build.model(build.small_graph(nodes=[build.node("")])),
                "expected a printable op_type on every node, found 1 without",
            ),
            (
                build.model(build.small_graph(nodes=[build.node("Scaler", domain="ai.onnx.ml")])),
                "expected an opset import for the nodes of domain ai.onnx.ml, found none",
            ),
        ],
    )
    def test_what_every_model_has_must_be_there(self, data: bytes, problem: str) -> None:
        extraction = extract(data)
        assert extraction.completeness.state is State.CORRUPT
        assert problem in problems(extraction)

    @pytest.mark.parametrize(
        ("dtype", "elements", "size"),
        [
            (build.FLOAT, 6, 24),
            (build.INT4, 6, 3),
            (build.INT4, 5, 3),
            (build.UINT4, 1, 1),
            (build.UINT2, 5, 2),
            (16, 3, 6),
            (15, 2, 32),
        ],
    )
    def test_raw_data_has_the_size_of_its_dimensions(self, dtype: int, elements: int, size: int) -> None:
        right = build.model(build.small_graph(initializers=[build.tensor("w", [elements], dtype, bytes(size))]))
        assert extract(right).completeness.state is State.COMPLETE
        for wrong_size in (size - 1, size + 1):
            wrong = build.model(build.small_graph(initializers=[build.tensor("w", [elements], dtype, bytes(wrong_size))]))
            assert extract(wrong).completeness.state is State.CORRUPT

    def test_large_raw_data_is_measured_though_left_unread(self) -> None:
        short = build.model(build.small_graph(initializers=[build.tensor("w", [1000], raw=bytes(3999))]))
        assert problems(extract(short)) == ["graph → initializer w: [1000] of float32 take 4000 bytes, its raw data has 3999"]

    def test_raw_data_that_stands_there_twice_is_a_contradiction(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a large file, whose weights are left out; in a small one the last one counts, as protobuf has it."""
        monkeypatch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", -1)
        twice = build.tensor("w", [1000], raw=bytes(3999), more=build.field(9, bytes(4)))
        assert "raw data stands there twice" in problems(extract(build.model(build.small_graph(initializers=[twice]))))[0]

    @pytest.mark.parametrize("dims", [[-1], [2**40, 2**40], [2**62, 4]])
    def test_dimensions_that_no_tensor_has_are_a_contradiction(self, dims: list[int]) -> None:
        extraction = extract(build.model(build.small_graph(initializers=[build.tensor("w", dims, raw=b"")])))
        assert extraction.completeness.state is State.CORRUPT
        assert extraction.facts.parameters.stored is None

    def test_a_dimension_of_zero_makes_an_empty_tensor(self) -> None:
        extraction = extract(build.model(build.small_graph(initializers=[build.tensor("w", [2**62, 2**62, 0], raw=b"")])))
        assert extraction.completeness.state is State.COMPLETE
        assert extraction.facts.parameters.stored == 0

    def test_two_models_in_one_file_are_a_finding(self) -> None:
        extraction = extract(build.model() + build.model(ir=7))
        assert set(rules(extraction)) == {"onnx-duplicate-field"}
        assert sorted(finding.place for finding in extraction.findings) == [
            "graph",
            "ir_version",
            "producer_name",
            "producer_version",
        ]
        assert extraction.facts.operators == {"Relu": 2}

    def test_an_operator_set_of_a_custom_domain_may_be_missing(self) -> None:
        """Runtimes fill it in when they load the operators: 4 of 315 honest models have none."""
        extraction = extract(build.model(build.small_graph(nodes=[build.node("Op", domain="test.customop")])))
        assert extraction.completeness.state is State.COMPLETE
        missing = [found for found in extraction.findings if found.rule == "onnx-opset-missing"]
        assert [(found.severity, found.place) for found in missing] == [(Severity.MEDIUM, "opset_import")]

    @pytest.mark.parametrize(
        ("graph", "name"),
        [
            (build.small_graph(nodes=[build.node(name="n" * 70_000)]), "NodeProto.name"),
            (build.small_graph(nodes=[build.node(domain="d" * 70_000)]), "NodeProto.domain"),
            (build.small_graph(initializers=[build.tensor("w" * 70_000)]), "TensorProto.name"),
            (build.small_graph(inputs=[build.value("x" * 70_000)]), "ValueInfoProto.name"),
            (build.small_graph(name="g" * 70_000), "GraphProto.name"),
        ],
    )
    def test_a_name_too_long_to_be_kept_of_a_large_model_is_a_finding(
        self, graph: bytes, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", -1)
        (found,) = extract(build.model(graph)).findings
        assert (found.rule, found.severity, found.place) == ("onnx-oversized-field", Severity.MEDIUM, name)
        assert "70000 bytes" in found.message

    def test_metadata_and_attributes_may_be_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("detectors.wire.WHOLE_MESSAGE_BYTES", -1)
        node = build.node(attributes=[build.field(1, "vocabulary") + build.field(4, "v" * 70_000)])
        more = build.field(14, build.field(1, "notes") + build.field(2, "n" * 70_000)) + build.field(6, "d" * 70_000)
        assert extract(build.model(build.small_graph(nodes=[node]), more=more)).findings == ()

    def test_more_operator_types_than_anybody_runs_are_inconclusive(self) -> None:
        nodes = [build.field(4, f"Op{i}") for i in range(20_001)]
        with pytest.raises(ModelLimit, match="MAX_OPERATOR_TYPES"):
            extract(build.model(build.small_graph(nodes=nodes)))

    def test_more_tensors_than_any_model_has_are_inconclusive(self) -> None:
        tensors = build.field(5, b"") * 150_000 + build.field(1, build.field(5, build.field(5, b""))) * 150_000
        with pytest.raises(ModelLimit, match="MAX_TENSORS"):
            extract(build.model(build.small_graph(more=tensors)))

    def test_a_model_over_2_gib_is_a_finding(self) -> None:
        """The file is never read as a whole: a tree that answers from a hole of 3 GiB will do."""
        hole = build.varint(9 << 3 | 2) + build.varint(3 << 30)
        begin = build.number(1, 3 << 28) + build.number(2, 1) + build.field(8, "w") + hole
        tensor = build.varint(5 << 3 | 2) + build.varint(len(begin) + (3 << 30)) + begin
        nodes = build.small_graph()
        graph = build.varint(7 << 3 | 2) + build.varint(len(nodes) + len(tensor) + (3 << 30)) + nodes + tensor
        head = build.number(1, 8) + build.field(8, build.opset()) + graph
        tree = HollowTree(head, len(head) + (3 << 30))
        contents = Contents(tree, tree.files())
        (detection,) = DETECTOR.match(contents)
        extraction = DETECTOR.extract(contents, detection)
        assert extraction.facts.parameters.stored == 3 << 28
        assert [found.message for found in extraction.findings] == [
            f"is over 2 GiB inline ({len(head) + (3 << 30)} bytes): no runtime can load it"
        ]


class HollowTree:
    """One file that begins with *head* and is zero up to *size*."""

    def __init__(self, head: bytes, size: int) -> None:
        self._head = head
        self._size = size

    def files(self):  # type: ignore[no-untyped-def]
        return iter([FileEntry("m.onnx", self._size, "hollow")])

    def read(self, path: str, start: int, stop: int) -> bytes:
        stop = min(stop, self._size)
        return self._head[start:stop].ljust(stop - start, b"\0")
