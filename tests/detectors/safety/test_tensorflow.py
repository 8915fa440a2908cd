"""What TensorFlow graphs do to the outside, and where: risky operators at every position, and honest ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from detectors.facts import Finding, Severity
from detectors.local_tree import LocalTree
from detectors.protos.tensorflow_pb2 import MetaGraphDef
from detectors.report import scan_report
from detectors.rules import RULES as ALL_RULES
from detectors.safety import tensorflow
from detectors.safety import tf_reach as reach_module
from detectors.safety.tensorflow import DOES, MAX_INNER_GRAPHS, RULES, judge_graph, judge_meta_graph
from detectors.safety.tf_constants import Constants
from detectors.safety.tf_effects import operator
from detectors.safety.tf_reach import Graph
from detectors.scan import Scan, Verdict, scan
from detectors.tree import MemoryTree
from tests.attacks import tensorflow as attacks
from tests.builders import saved_model as sm
from tests.builders.bundle import FLOAT

OWN_RULES = {*RULES.values(), "tf-custom-operator"}


def look(data: bytes, **more: bytes) -> Scan:
    return scan(MemoryTree({"saved_model.pb": data, **more}))


def told(data: bytes) -> list[Finding]:
    return [finding for finding in look(data).findings if finding.rule in OWN_RULES]


def one(data: bytes) -> Finding:
    [finding] = told(data)
    return finding


def words(data: bytes) -> tuple[str, str, str]:
    finding = one(data)
    return finding.rule, finding.severity.value, finding.place


def served(
    *nodes: bytes, functions: tuple[bytes, ...] = (), more: bytes = b"", end: str = "risk", objects: bytes | None = None
) -> bytes:
    """A model whose signature runs the node *end*."""
    graph = sm.graph(attacks.X, *nodes, sm.node("y", "Identity", "x", f"^{end}"), functions=functions)
    meta = sm.meta_graph(graph, signatures={"serving_default": attacks.RESULT}, more=more, objects=objects)
    return sm.saved_model(meta)


def reading(*names: str | bytes, **how: bool) -> bytes:
    """A model that reads the file called *names*, one constant."""
    return served(sm.const_text("name", *names, **how), sm.node("risk", "ReadFile", "name"))


# Every operator, everywhere


def test_every_risky_operator_is_found_wherever_it_is_reached() -> None:
    assert len(attacks.risky_operators()) == 138
    models = 0
    for name, files in attacks.risky_models():
        op, _, _ = name.partition(" in ")
        found = [finding for finding in scan(MemoryTree(files)).findings if finding.message.startswith(f"{op} ")]
        assert [(finding.rule, finding.place) for finding in found] == [attacks.told_of_risky(name)], name
        models += 1
    assert models == 138 * 6


@pytest.mark.parametrize("op", ["ReadFile", "WriteFile", "Skipgram", "RpcClient", "DebugIdentityV2", "WholeFileReaderV2"])
def test_a_path_that_leads_outside_is_high_at_every_position(op: str) -> None:
    for make, _ in attacks.POSITIONS.values():
        assert one(make(attacks.risk_of(op))).severity in (Severity.HIGH, Severity.CRITICAL)


def test_what_only_saves_is_not_reached() -> None:
    for name, files in attacks.harmless_models():
        assert scan(MemoryTree(files)).findings == (), name


def test_an_operator_that_nobody_knows_is_named() -> None:
    names = attacks.unknown_names(1000, 1)
    assert len(names) == 1000
    for op, (_, files) in zip(names, attacks.unknown_models(), strict=True):
        [finding] = scan(MemoryTree(files)).findings
        assert (finding.rule, finding.place) == attacks.TOLD_OF_UNKNOWN
        assert finding.severity is Severity.LOW
        assert finding.message.startswith(f"{op} is no operator of TensorFlow")


def test_a_thousand_unknown_operators_in_one_model_are_all_named() -> None:
    names = attacks.unknown_names(1000, 2)
    nodes = [sm.node(f"n{at}", name) for at, name in enumerate(names)]
    last = sm.node("risk", "NoOp", *(f"^n{at}" for at in range(1000)))
    found = told(served(*nodes, *nodes, last))
    assert sorted(finding.message.partition(" ")[0] for finding in found) == names


def test_every_rule_is_one_of_the_table() -> None:
    assert ALL_RULES.keys() >= OWN_RULES
    for effect, (severity, _) in DOES.items():
        assert severity in ALL_RULES[RULES[effect]].severities


# Assets


@pytest.mark.parametrize(
    ("name", "files"), list(attacks.asset_models()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_asset_that_leads_outside_is_high_and_is_not_read(name: str, files: Mapping[str, bytes]) -> None:
    class Watched(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            assert path in files, path
            return super().read(path, start, stop)

    found = scan(Watched(files))
    reads = [finding for finding in found.findings if finding.rule == "tf-file-read"]
    assert [(finding.severity, finding.place) for finding in reads] == [(Severity.HIGH, "init op → node fill")]
    assert found.verdict is Verdict.FINDINGS
    assert "\0" not in reads[0].message


def test_an_asset_of_the_models_own_is_a_note() -> None:
    found = look(attacks.with_asset(b"words.txt"), **{"assets/words.txt": b"a\n"})
    [finding] = found.findings
    assert (finding.rule, finding.severity, finding.place) == ("tf-file-read", Severity.INFO, "init op → node fill")
    assert "reads words.txt, an asset of the model, while the model is loaded" in finding.message
    assert found.verdict is Verdict.CLEAN


# What it is done to


@pytest.mark.parametrize(
    ("path", "severity"),
    [
        ("/etc/passwd", Severity.HIGH),
        ("../secret", Severity.HIGH),
        ("a/../../secret", Severity.HIGH),
        ("gs://bucket/x", Severity.HIGH),
        ("http://host/x", Severity.HIGH),
        ("hdfs://host/x", Severity.HIGH),
        ("C:\\x", Severity.HIGH),
        ("a\0b", Severity.HIGH),
        ("words.txt", Severity.LOW),
    ],
)
def test_a_constant_path_is_graded_by_where_it_leads(path: str, severity: Severity) -> None:
    assert one(reading(path)).severity is severity
    assert one(reading("harmless.txt", path)).severity is severity
    assert one(reading(path, packed=True)).severity is severity


def test_an_empty_name_is_no_file() -> None:
    cache = sm.node("risk", "CacheDataset", "x", "name")
    assert told(served(sm.const_text("name", ""), cache)) == []


@pytest.mark.parametrize(
    ("op", "attribute"), [("PrintV2", "stderr"), ("DecodeProtoV2", "local://"), ("EncodeProto", "bytes://ab")]
)
def test_values_that_stand_for_no_file_are_nothing_to_tell(op: str, attribute: str) -> None:
    known = operator(op.encode())
    assert known is not None
    assert told(served(sm.node("risk", op, **{known.attributes[0].decode(): sm.text_attr(attribute)}))) == []
    assert told(served(sm.node("risk", op))) == []


def test_a_file_that_the_caller_names_is_medium() -> None:
    assert words(served(sm.node("risk", "ReadFile", "x"))) == (
        "tf-file-read",
        "medium",
        "signature serving_default → node risk",
    )
    assert "reads whatever its caller names" in one(served(sm.node("risk", "ReadFile", "x"))).message


def test_a_name_made_up_while_it_runs_is_medium() -> None:
    nodes = [sm.node("table", "HashTableV2"), sm.node("name", "LookupTableFindV2", "table", "table", "table")]
    assert words(served(*nodes, sm.node("risk", "ReadFile", "name")))[1] == "medium"


# When it runs


def test_writing_outside_while_the_model_is_loaded_is_critical() -> None:
    finding = one(attacks.in_init_op(attacks.risk_of("WriteFile")))
    assert (finding.severity, finding.place) == (Severity.CRITICAL, "init op → node risk")
    assert one(attacks.in_main_graph(attacks.risk_of("WriteFile"))).severity is Severity.HIGH


@pytest.mark.parametrize("key", ["saved_model_main_op", "legacy_init_op", "main_op"])
def test_the_init_ops_of_collections_count(key: str) -> None:
    risk = attacks.risk_of("WriteFile")
    graph = sm.graph(attacks.X, attacks.PLAIN, *risk.nodes)
    meta = sm.meta_graph(graph, signatures={"s": attacks.RESULT}, more=sm.collection_of_nodes(key, "risk"))
    assert words(sm.saved_model(meta)) == ("tf-file-write", "critical", "init op → node risk")


def test_what_restoring_does_beside_its_own_is_told_for_loading_restores() -> None:
    risk = attacks.risk_of("WriteFile")
    saver = [sm.node("save/Const", "Placeholder"), sm.node("save/restore_all", "NoOp", "^risk")]
    graph = sm.graph(attacks.X, attacks.PLAIN, *risk.nodes, *saver)
    more = sm.saver("save/Const:0", "", "save/restore_all")
    data = sm.saved_model(sm.meta_graph(graph, signatures={"s": attacks.RESULT}, more=more))
    assert words(data) == ("tf-file-write", "critical", "restore op → node risk")


def test_a_savers_own_operators_are_nothing_to_tell() -> None:
    assert told(with_saver()) == []
    assert told(with_saver(prefix="elsewhere")) == [
        Finding(
            "tf-file-read",
            Severity.HIGH,
            "saved_model.pb",
            "restore op → node save/RestoreV2",
            "RestoreV2 reads /other, which is not in the model, while the variables are restored, as loading does",
        )
    ]


def with_saver(prefix: str = "save/Const") -> bytes:
    nodes = [
        sm.const_text("save/filename", "model"),
        sm.node("save/Const", "PlaceholderWithDefault", "save/filename"),
        sm.const_text("elsewhere", "/other"),
        sm.node("save/RestoreV2", "RestoreV2", prefix),
        sm.node("save/Assign", "AssignVariableOp", "x", "save/RestoreV2"),
        sm.node("save/restore_all", "NoOp", "^save/Assign"),
        sm.node("save/ShardedFilename", "ShardedFilename", "save/Const"),
        sm.node("save/SaveV2", "SaveV2", "save/ShardedFilename"),
        sm.node("save/Merge", "MergeV2Checkpoints", "save/ShardedFilename", "save/Const"),
        sm.node("save/done", "Identity", "save/Const", "^save/SaveV2", "^save/Merge"),
    ]
    more = sm.saver("save/Const:0", "save/done:0", "save/restore_all")
    graph = sm.graph(attacks.X, attacks.PLAIN, *nodes)
    return sm.saved_model(sm.meta_graph(graph, signatures={"s": attacks.RESULT}, more=more))


@pytest.mark.parametrize("op", ["SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "Save", "Restore"])
def test_a_savers_operators_in_a_signature_are_told(op: str) -> None:
    assert one(attacks.in_main_graph(attacks.risk_of(op))).severity is Severity.HIGH
    assert one(served(sm.node("risk", op, "x", "x"))).severity is Severity.MEDIUM


def with_object(name: str, *bound: int, argument: str = "a") -> bytes:
    """A model with a function at *name* that writes what its last argument names; the root has an asset and a constant."""
    write = sm.function("f", sm.node("w", "WriteFile", argument), arguments=["a"], gives={"b": "a"})
    places = sm.object_graph(
        sm.child(name, 1) + sm.saved_object(asset=2, constant=3),
        sm.saved_function("f"),
        sm.saved_asset(0),
        sm.saved_constant("kept"),
        bound={"f": bound},
    )
    kept = sm.const_text("kept", "/tmp/kept")
    return served(kept, sm.node("risk", "NoOp"), functions=(write,), more=sm.asset("words.txt"), objects=places)


def test_a_function_of_an_object_is_a_step_below_a_signature() -> None:
    assert words(with_object("run", 3)) == ("tf-file-write", "medium", "object run → function f → node w")
    assert "writes /tmp/kept" in one(with_object("run", 3)).message


def test_what_loading_calls_of_an_object_is_like_an_init_op() -> None:
    assert words(with_object("_initialize", 3))[1:] == ("critical", "object _initialize → function f → node w")


def test_what_an_object_binds_to_an_argument_is_known() -> None:
    assert "words.txt, an asset of the model" in one(with_object("run", 2)).message
    assert "whatever its caller names" in one(with_object("run")).message
    assert "named while it runs" in one(with_object("run", 0)).message


def test_what_nothing_runs_is_a_note() -> None:
    risk = attacks.risk_of("WriteFile")
    body = sm.function("lost", *risk.nodes)
    graph = sm.graph(attacks.X, attacks.PLAIN, *risk.nodes, functions=[body])
    found = told(sm.saved_model(sm.meta_graph(graph, signatures={"s": attacks.RESULT})))
    assert [(finding.severity.value, finding.place) for finding in found] == [("info", "not reached → node risk")]
    assert "but nothing in the model runs it; and so do 1 more nodes" in found[0].message


def test_what_a_signature_is_fed_is_not_computed() -> None:
    """Examples that a training pipeline reads, where serving feeds them; a control edge runs it all the same."""
    read = [sm.const_text("name", "/data/train"), sm.node("risk", "ReadFile", "name"), sm.node("x", "DecodeRaw", "risk")]
    meta = sm.meta_graph(sm.graph(*read, attacks.PLAIN), signatures={"s": attacks.RESULT})
    assert words(sm.saved_model(meta)) == ("tf-file-read", "info", "not reached → node risk")
    also = sm.meta_graph(sm.graph(*read, sm.node("y", "Identity", "x", "^x")), signatures={"s": attacks.RESULT})
    assert words(sm.saved_model(also)) == ("tf-file-read", "high", "signature s → node risk")


# Graphs in constants


def packed(data: bytes, consumer: str = "DatasetFromGraph") -> bytes:
    return served(sm.const_text("packed", data), sm.node("risk", consumer, "packed"))


def graph_within(levels: int) -> bytes:
    inner = sm.graph(*attacks.risk_of("WriteFile").nodes)
    for _ in range(levels):
        inner = sm.graph(sm.const_text("packed", inner), sm.node("risk", "DatasetFromGraph", "packed"))
    return inner


def test_a_graph_in_a_graph_in_a_constant_is_found() -> None:
    place = "signature serving_default → graph in constant packed → graph in constant packed → node risk"
    assert words(packed(graph_within(1))) == ("tf-file-write", "high", place)


def test_graphs_in_each_other_beyond_a_depth_are_told_as_not_looked_at() -> None:
    found = look(packed(graph_within(20)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "graphs in constants" in found.coverage.inconclusive[0].reason


def test_more_graphs_than_are_looked_at_are_told_as_not_looked_at() -> None:
    count = MAX_INNER_GRAPHS + 1
    consts = [sm.const_text(f"c{at}", graph_within(0)) for at in range(count)]
    runs = [sm.node(f"d{at}", "DatasetFromGraph", f"c{at}") for at in range(count)]
    found = look(served(*consts, *runs, sm.node("risk", "NoOp", *(f"^d{at}" for at in range(count)))))
    assert len([finding for finding in found.findings if finding.rule == "tf-file-write"]) == MAX_INNER_GRAPHS
    assert found.coverage.inconclusive


@pytest.mark.parametrize("source", [attacks.X, sm.node("made", "DecodeBase64", "x")])
def test_a_graph_that_is_not_written_in_the_model_is_told(source: bytes) -> None:
    name = "x" if source is attacks.X else "made"
    data = served(*([] if name == "x" else [source]), sm.node("risk", "DatasetFromGraph", name))
    assert words(data) == ("tf-hidden-graph", "medium", "signature serving_default → node risk")
    assert look(data).verdict is Verdict.INCONCLUSIVE


def test_a_constant_that_is_no_graph_is_told_where_one_is_run() -> None:
    assert words(packed(b"\xff\xff\xff"))[:2] == ("tf-hidden-graph", "medium")


def test_a_graph_or_a_function_given_to_an_unknown_operator_is_looked_into() -> None:
    for data in (graph_within(0), sm.function("f", *attacks.risk_of("WriteFile").nodes)):
        found = told(packed(data, "RunsGraphs"))
        assert [finding.rule for finding in found] == ["tf-file-write", "tf-custom-operator"]
    assert [finding.rule for finding in told(packed(b"just some text", "Tokenizer"))] == ["tf-custom-operator"]


def test_a_long_constant_of_a_large_model_is_read_again_and_no_other() -> None:
    """Two megabytes of weights keep the walk from keeping constants; the graph in one of them is found all the same."""
    read = 0

    class Counting(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            nonlocal read
            read += stop - start
            return super().read(path, start, stop)

    inner = sm.graph(*attacks.risk_of("WriteFile").nodes, sm.const("pad", content=bytes(5000)))
    weights = [sm.const(f"w{at}", content=bytes(2 << 20)) for at in range(8)]
    nodes = [*weights, sm.const_text("packed", inner), sm.node("risk", "DatasetFromGraph", "packed")]
    data = served(*nodes, functions=(sm.function("f", *weights),))
    found = scan(Counting({"saved_model.pb": data}))
    [finding] = found.findings
    assert finding.place == "signature serving_default → graph in constant packed → node risk"
    assert read < 1 << 20 < len(data)
    assert found.verdict is Verdict.FINDINGS


def test_a_long_path_of_a_large_model_is_read_again_in_functions_too() -> None:
    name = sm.const_text("name", "/" + "./" * 800 + "etc/passwd")
    body = sm.function("f", name, sm.node("w", "ReadFile", "name"))
    data = served(
        sm.const("w", content=bytes(2 << 20)), sm.node("risk", "PartitionedCall", f=sm.func_attr("f")), functions=(body,)
    )
    assert words(data) == ("tf-file-read", "high", "signature serving_default → function f → node w")


# Other files


def test_the_outputs_of_a_frozen_graph_are_its_entries() -> None:
    graph = sm.graph(attacks.X, *attacks.risk_of("ReadFile").nodes, sm.node("y", "Identity", "risk"))
    found = scan(MemoryTree({"frozen.pb": graph}))
    [finding] = found.findings
    assert (finding.rule, finding.severity, finding.place) == ("tf-file-read", Severity.HIGH, "output y → node risk")


def test_the_graph_beside_a_checkpoint_is_judged_by_what_restores_it() -> None:
    risk = attacks.risk_of("WriteFile")
    graph = sm.graph(attacks.X, *risk.nodes, sm.node("restore", "NoOp", "^risk"))
    meta = MetaGraphDef.FromString(sm.meta_graph(graph, more=sm.saver("", "", "restore")))
    [finding] = judge_meta_graph("m.meta", meta, None).findings
    assert (finding.severity, finding.place) == (Severity.CRITICAL, "restore op → node risk")
    [finding] = judge_meta_graph("m.meta", MetaGraphDef.FromString(sm.meta_graph(graph)), None).findings
    assert (finding.severity, finding.place) == (Severity.INFO, "not reached → node risk")


def test_the_untouched_name_of_a_savers_file_is_a_note() -> None:
    nodes = [sm.const_text("name", "model"), sm.node("save", "SaveV2", "name"), sm.placeholder("v", FLOAT)]
    graph = MetaGraphDef.FromString(sm.meta_graph(sm.graph(*nodes))).graph_def
    [finding] = judge_graph("graph.pb", graph, [b"save"], None).findings
    assert finding.severity is Severity.INFO


# Bounds


def test_findings_beyond_a_number_are_told_as_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow, "MAX_TOLD", 5)
    names = attacks.unknown_names(9, 3)
    nodes = [sm.node(f"n{at}", name) for at, name in enumerate(names)]
    found = look(served(*nodes, sm.node("risk", "NoOp", *(f"^n{at}" for at in range(9)))))
    assert len(found.findings) == 5
    assert found.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("limit", ["MAX_NOTABLE", "MAX_NODES", "MAX_JUDGED"])
def test_more_nodes_than_are_looked_at_are_told_as_not_looked_at(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(reach_module if limit == "MAX_NOTABLE" else tensorflow, limit, 5)
    nodes = [sm.node(f"n{at}", "ReadFile", "x") for at in range(6)]
    found = look(served(*nodes, sm.node("risk", "NoOp", *(f"^n{at}" for at in range(6)))))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert limit in found.coverage.inconclusive[0].reason


def test_equal_findings_of_one_graph_are_told_once_with_their_number() -> None:
    nodes = [sm.node(f"n{at}", "ReadFile", "name") for at in range(50)]
    last = sm.node("risk", "NoOp", *(f"^n{at}" for at in range(50)))
    assert "and so do 49 more nodes" in one(served(sm.const_text("name", "/etc/passwd"), *nodes, last)).message


def test_the_report_says_it_all() -> None:
    report = scan_report(look(attacks.in_nested_function(attacks.risk_of("ReadFile"))), "m")
    assert report["verdict"] == "findings"
    assert report["findings"][0]["place"] == "signature serving_default → function outer → function inner → node risk"


def test_an_asset_that_is_a_link_is_told_and_not_followed(tmp_path: Path) -> None:
    model, secret = tmp_path / "model", tmp_path / "secret"
    (model / "assets").mkdir(parents=True)
    secret.write_text("secret")
    (model / "saved_model.pb").write_bytes(attacks.with_asset(b"words.txt"))
    (model / "assets" / "words.txt").symlink_to(secret)
    found = scan(LocalTree(str(model)))
    assert [finding.rule for finding in found.findings] == ["link-outside", "tf-file-read"]
    assert found.verdict is Verdict.FINDINGS
    assert found.read.files == 1


def test_of_a_large_graph_only_what_runs_after_something_that_acts_is_searched() -> None:
    """Fifty thousand nodes and a Saver behind them: the search looks at the Saver alone."""
    body = [sm.node(f"n{at}", "Add", f"n{at - 1}" if at else "x", "x") for at in range(50_000)]
    saver = [sm.node("save/Const", "Placeholder"), sm.node("r", "RestoreV2", "save/Const"), sm.node("all", "NoOp", "^r")]
    graph = sm.graph(attacks.X, *body, sm.node("y", "Identity", "n49999"), *saver)
    meta = sm.meta_graph(graph, signatures={"s": attacks.RESULT}, more=sm.saver("save/Const:0", "", "all"))
    message = MetaGraphDef.FromString(meta)
    searched = reach_module._leading_on(Graph(message.graph_def, Constants(), meta=message))
    assert set(searched) == {b"r", b"all"}
    assert told(sm.saved_model(meta)) == []
