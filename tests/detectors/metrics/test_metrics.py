"""All metrics of a run together."""

import pytest

from detectors.detection import Contents
from detectors.facts import Metadata, Metric, Metrics, Note
from detectors.metrics import read_metrics
from detectors.tree import MemoryTree
from tests.builders import events as build

EVAL = "mnist/eval/events.out.tfevents.1557442944.host"
TRAIN = "mnist/events.out.tfevents.1557442940.host"
ESTIMATOR = {
    TRAIN: build.event_file(build.scalar("loss", 2.0, 0), build.scalar("loss", 1.0, 100)),
    EVAL: build.event_file(
        build.record(
            build.event(
                build.summary(
                    build.simple("accuracy", 0.75),
                    build.simple("loss", 0.5),
                    build.tensor_value("checkpoint_path", build.tensor(build.STRING, rest=build.field(8, b"m-100")), None),
                    build.simple("global_step", 100.0),
                ),
                100,
                1557442944.5,
            )
        )
    ),
}


def read(files: dict[str, bytes], metadata: Metadata | None = None) -> Metrics:
    tree = MemoryTree(files)
    return read_metrics(Contents(tree, tree.files()), metadata)


def one(value: float) -> dict[str, float]:
    return {"max": value, "min": value, "var": 0.0, "mean": value, "median": value, "stddev": 0.0}


def test_nothing_reported_is_an_empty_record():
    assert read({"model.onnx": b"x"}) == Metrics()


def test_an_estimator_shows_its_evaluation():
    found = read(ESTIMATOR)
    assert found.summary == {
        "accuracy": {"scalar": "accuracy", "result": one(0.75)},
        "loss": {"scalar": "loss", "result": one(0.5)},
    }
    assert [(item["session"], [scalar["scalar"] for scalar in item["scalars"]]) for item in found.detail] == [
        ("eval", ["accuracy", "loss"])
    ]
    assert found.notes == ()


def test_values_hold_the_last_of_every_tag_of_every_session():
    assert read(ESTIMATOR).values == (
        Metric("accuracy", 0.75, 100, "eval", EVAL, 1557442944.5),
        Metric("loss", 0.5, 100, "eval", EVAL, 1557442944.5),
        Metric("global_step", 100.0, 100, "eval", EVAL, 1557442944.5),
        Metric("loss", 1.0, 100, "mnist", TRAIN, 1500000000.0),
    )


def test_other_files_are_values_beside_event_files_and_not_in_the_summary():
    found = read({**ESTIMATOR, "metrics.json": b'{"f1": 0.25}'})
    assert found.values[-1] == Metric("f1", 0.25, None, "", "metrics.json")
    assert set(found.summary) == {"accuracy", "loss"}


def test_without_events_other_files_make_summary_and_detail():
    found = read({"metrics.json": b'{"f1": 0.25}', "history.csv": b"epoch,loss\n0,2.0\n1,1.0\n"})
    assert found.summary == {"f1": {"scalar": "f1", "result": one(0.25)}, "loss": {"scalar": "loss", "result": one(1.0)}}
    assert [item["checkpoint"] for item in found.detail[0]["scalars"][0]["data"][0]["checkpoints"]] == [0, 1]


def test_event_files_without_scalars_leave_the_summary_to_other_files():
    assert set(read({"events.out.tfevents.1": build.event_file(), "metrics.json": b'{"f1": 1}'}).summary) == {"f1"}


def test_numbers_of_metadata_that_count_are_values():
    metadata = Metadata({"metrics": [{"name": "f1", "numberValue": 0.91}]}, "gradient-model-metadata.json", b"", used=True)
    assert read({}, metadata).values == (Metric("f1", 0.91, None, "", "gradient-model-metadata.json"),)


@pytest.mark.parametrize("used", [True, False])
def test_numbers_of_metadata_are_never_in_the_summary(used):
    metadata = Metadata({"metrics": [{"name": "f1", "numberValue": 0.91}]}, "gradient-model-metadata.json", b"", used=used)
    assert read({}, metadata).summary == {}


def test_a_name_clash_keeps_both_with_their_sources():
    found = read({"a/metrics.json": b'{"f1": 0.25}', "b/metrics.json": b'{"f1": 0.5}'})
    assert [(item.session, item.source, item.value) for item in found.values] == [
        ("a", "a/metrics.json", 0.25),
        ("b", "b/metrics.json", 0.5),
    ]


def test_dropped_checkpoints_are_told():
    records = [build.scalar("a", 0.5, step) for step in range(1_001)]
    found = read({"events.out.tfevents.1": build.event_file(*records)})
    assert found.notes == (Note("", "1 scalars keep their last checkpoints only, at most 1000 (limit MAX_CHECKPOINTS)"),)
    assert len(found.detail[0]["scalars"][0]["data"][0]["checkpoints"]) == 999


def test_the_order_of_listing_never_matters():
    backwards = dict(reversed(ESTIMATOR.items()))
    assert read(ESTIMATOR) == read(backwards)
