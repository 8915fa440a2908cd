"""What messages of object storage hint at, in the shapes that Amazon S3, MinIO and Ceph document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RejectedEvent
from worker.events import MAX_NAME_BYTES
from worker.records import CompletionEvent, Trigger
from worker.registry import words
from worker.s3_events import MAX_RECORDS, Hints, RunsBelow, hints_from_json, is_s3_message

RUNS = (RunsBelow("s3://models/runs/{experiment_id}", "digits"),)

AMAZON: dict[str, Any] = {
    "Records": [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "eu-central-1",
            "eventTime": "2026-11-20T12:00:05.123Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
            "requestParameters": {"sourceIPAddress": "192.0.2.3"},
            "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "runs",
                "bucket": {"name": "models", "ownerIdentity": {"principalId": "A3NL1"}, "arn": "arn:aws:s3:::models"},
                "object": {"key": "runs/net+7/model.onnx", "size": 1024, "eTag": "d41d8cd9", "sequencer": "0055AED6DCD9"},
            },
        }
    ]
}
MINIO: dict[str, Any] = {
    "EventName": "s3:ObjectCreated:CompleteMultipartUpload",
    "Key": "models/runs/net 7/model.onnx",
    "Records": [
        {
            "eventVersion": "2.0",
            "eventSource": "minio:s3",
            "awsRegion": "",
            "eventTime": "2026-11-20T12:00:05.123Z",
            "eventName": "s3:ObjectCreated:CompleteMultipartUpload",
            "userIdentity": {"principalId": "minioadmin"},
            "requestParameters": {"principalId": "minioadmin", "region": "", "sourceIPAddress": "192.0.2.3"},
            "responseElements": {"x-amz-request-id": "17C1", "x-minio-origin-endpoint": "http://192.0.2.1:9000"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "Config",
                "bucket": {"name": "models", "ownerIdentity": {"principalId": "minioadmin"}, "arn": "arn:aws:s3:::models"},
                "object": {
                    "key": "runs%2Fnet+7%2Fmodel.onnx",
                    "size": 1024,
                    "eTag": "d41d8cd9-1",
                    "contentType": "application/octet-stream",
                    "userMetadata": {"content-type": "application/octet-stream"},
                    "sequencer": "17C1A2B3",
                },
            },
            "source": {"host": "192.0.2.3", "port": "", "userAgent": "MinIO (linux; amd64) minio-go/v7"},
        }
    ],
}
CEPH: dict[str, Any] = {
    "Records": [
        {
            "eventVersion": "2.2",
            "eventSource": "ceph:s3",
            "awsRegion": "default",
            "eventTime": "2026-11-20T12:00:05.123724Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": "tester"},
            "requestParameters": {"sourceIPAddress": ""},
            "responseElements": {"x-amz-request-id": "503a4c37.5330.903595", "x-amz-id-2": "14d2-default-default"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "runs",
                "bucket": {
                    "name": "models",
                    "ownerIdentity": {"principalId": "tester"},
                    "arn": "arn:aws:s3:default::models",
                    "id": "503a4c37.5332.38",
                },
                "object": {
                    "key": "runs/net 7/model.onnx",
                    "size": 1024,
                    "eTag": "37b51d19",
                    "versionId": "",
                    "sequencer": "F7E6D75DC742D108",
                    "metadata": [],
                    "tags": [],
                },
            },
            "eventId": "1574430455.124724.37b51d19",
            "opaqueData": "",
        }
    ]
}
TEST = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-11-20T12:00:00.000Z",
    "Bucket": "models",
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
}


def record(
    key: str = "runs/7/model.onnx",
    name: str = "ObjectCreated:Put",
    time: str = "2026-11-20T12:00:05.123Z",
    bucket: str = "models",
    source: str = "aws:s3",
) -> dict[str, Any]:
    return {
        "eventSource": source,
        "eventTime": time,
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
    }


def hints(*records: Any, runs: Sequence[RunsBelow] = RUNS, team: str = "red", quiet_seconds: float = 60) -> Hints:
    return hints_from_json({"Records": list(records)}, team, runs, quiet_seconds)


def paths(*records: Any, runs: Sequence[RunsBelow] = RUNS) -> list[str]:
    return [event.model_path for event in hints(*records, runs=runs).events]


def rejection(data: Any, runs: Sequence[RunsBelow] = RUNS) -> str:
    with pytest.raises(RejectedEvent) as caught:
        hints_from_json(data, "red", runs, 60)
    return str(caught.value)


@pytest.mark.parametrize("message", [AMAZON, MINIO, CEPH])
def test_three_servers_say_the_same_of_one_object(message: Any) -> None:
    assert is_s3_message(message)
    assert hints_from_json(message, "red", RUNS, 60) == Hints(
        (
            CompletionEvent(
                source="s3",
                id="s3://models/runs/net%207#digits/net%207/29919600",
                model_path="s3://models/runs/net 7",
                team="red",
                project="digits",
                experiment="net 7",
                trigger=Trigger.NOTIFICATION,
            ),
        ),
        0,
    )


def test_the_test_message_does_nothing() -> None:
    assert is_s3_message(TEST)
    assert hints_from_json(TEST, "red", (), 60) == Hints((), 0)


@pytest.mark.parametrize("value", [{}, {"experimentId": "e7"}, [], None, "Records", {"Event": "s3:Other"}])
def test_what_is_no_message_of_object_storage_is_not_taken_for_one(value: Any) -> None:
    assert not is_s3_message(value)


def test_keys_are_decoded_unless_they_come_from_ceph() -> None:
    """Amazon and MinIO write a space as `+` and `+` as `%2B`; Ceph writes what is there."""
    assert paths(record("runs/a%2Bb%25/f")) == ["s3://models/runs/a+b%"]
    assert paths(record("runs/a+b%25/f", source="ceph:s3")) == ["s3://models/runs/a+b%25"]


@pytest.mark.parametrize(
    "key",
    [
        "other/7/model.onnx",
        "runs/model.onnx",
        "runs/7",
        "runs/7/",
        "runs//model.onnx",
        "runs/../7/model.onnx",
        "runs/..%2F..%2Fsecret/7/model.onnx",
        "runs/%2E%2E/model.onnx",
        "runs/7/../../other/model.onnx",
        "runs/.hidden/model.onnx",
        "runs/7/a%00b",
        "runs/7%0A/model.onnx",
        "runs/%FF/model.onnx",
        "runs/\ud800/model.onnx",
        "runs/" + "x" * 256 + "/model.onnx",
        "runs/" + "模" * 171 + "/model.onnx",
        "runs/7+/model.onnx",
        "x" * 1100,
    ],
)
def test_an_object_outside_every_template_is_passed_over(key: str) -> None:
    assert hints(record(key)) == Hints((), 1)


def test_the_longest_name_that_is_taken_can_be_kept() -> None:
    """A message that is refused would come again and again."""
    name = "模" * 170
    assert len((name + "模").encode()) > MAX_NAME_BYTES
    [event] = hints(record(f"runs/{name}/model.onnx")).events
    assert event.experiment == name
    words.check_event(event)


def test_another_bucket_is_passed_over() -> None:
    assert hints(record(bucket="models2"), record(bucket="m"), record(bucket="models/runs")) == Hints((), 3)


@pytest.mark.parametrize(
    "name", ["ObjectRemoved:Delete", "s3:ObjectRemoved:Delete", "ObjectSynced:Create", "s3:s3:ObjectCreated:Put", "Other"]
)
def test_only_new_objects_are_hints(name: str) -> None:
    assert hints({"eventName": name}) == Hints((), 1)


def test_a_template_may_name_the_team_and_the_project() -> None:
    runs = (RunsBelow("s3://{team}-models/{project_id}/out/{experiment_id}"),)
    told = hints(record("p1/out/7/a/b/c", bucket="red-models"), record("p1/out/7/a", bucket="blue-models"), runs=runs)
    assert [(one.model_path, one.project, one.experiment) for one in told.events] == [("s3://red-models/p1/out/7", "p1", "7")]
    assert told.passed_over == 1


def test_without_fields_each_prefix_directly_below_is_a_run_of_no_experiment() -> None:
    told = hints(record("runs/7/x"), record("loose.onnx"), runs=(RunsBelow("s3://models/"),))
    assert [(one.model_path, one.project, one.experiment) for one in told.events] == [("s3://models/runs", "default", None)]
    assert told.passed_over == 1


def test_the_first_template_that_fits_counts() -> None:
    runs = (RunsBelow("s3://models/other"), RunsBelow("s3://models/runs/{experiment_id}", "first"), *RUNS)
    assert [event.project for event in hints(record(), runs=runs).events] == ["first"]


def test_with_a_marker_only_its_objects_are_hints() -> None:
    runs = (RunsBelow("s3://models/runs/{experiment_id}", marker="_SUCCESS"),)
    told = hints(record("runs/7/model.onnx"), record("runs/7/_SUCCESS"), record("runs/8/out/_SUCCESS"), runs=runs)
    assert [event.experiment for event in told.events] == ["7", "8"]
    assert told.passed_over == 1


def test_objects_of_one_run_in_one_period_are_one_event() -> None:
    first = record("runs/7/a", time="2026-11-20T12:00:00.000Z")
    last = record("runs/7/b", time="2026-11-20T14:00:59.999+02:00")
    later = record("runs/7/c", time="2026-11-20T12:01:00Z")
    assert [event.id[-8:] for event in hints(first, last, later).events] == ["29919600", "29919601"]
    assert hints(first).events == hints(last).events


def test_without_a_quiet_period_each_time_stands_for_itself() -> None:
    told = [record("runs/7/a", time=f"2026-11-20T12:00:00.{part}Z") for part in ("001", "002", "001")]
    assert [event.id for event in hints(*told, quiet_seconds=0).events] == [
        "s3://models/runs/7#digits/7/1795176000.001",
        "s3://models/runs/7#digits/7/1795176000.002",
    ]


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (None, "Records: expected a list, found nothing"),
        ({}, "Records: expected a list, found an object"),
        ([3], "Records[0]: expected a JSON object, found 3"),
        ([record(), {}], "Records[1].eventName: expected text, found nothing"),
        ([record(name="ObjectCreated:Put", time="noon")], "Records[0].eventTime: expected a time such as"),
        ([record(time="2026-11-20T12:00:05")], "Records[0].eventTime: expected a time such as"),
        ([{"eventName": "ObjectCreated:Put"}], "Records[0].eventTime: expected text, found nothing"),
        ([record() | {"eventSource": 3}], "Records[0].eventSource: expected text, found 3"),
        ([record() | {"s3": 3}], "Records[0].s3: expected a JSON object, found 3"),
        ([record() | {"s3": {}}], "Records[0].s3.bucket: expected a JSON object, found nothing"),
        ([record() | {"s3": {"bucket": {"name": "b"}}}], "Records[0].s3.object: expected a JSON object, found nothing"),
        ([record(key="")], "Records[0].s3.object.key: expected text, found none in it"),
        ([record(key="x" * 3073)], "Records[0].s3.object.key: expected at most 3072 characters, found 3073"),
        ([record()] * (MAX_RECORDS + 1), "Records: expected at most 1000, found 1001"),
    ],
)
def test_a_malformed_record_is_named(records: Any, says: str) -> None:
    assert rejection({"Records": records}).startswith(says)


def test_without_a_template_nothing_is_taken_in_silence() -> None:
    assert "MODELPORT_S3_RUNS says of no place that runs lie there" in rejection(AMAZON, ())


PARTS = ["runs", "7", "8", "", ".", "..", "+", "%2F", "%2E", "%FF", ".h", "a\u2028", "\ud800"]
KEYS = st.lists(st.sampled_from(PARTS), max_size=5)
RECORDS = st.builds(
    record,
    key=KEYS.map("/".join) | st.text(max_size=20).map("runs/".__add__),
    name=st.sampled_from(["ObjectCreated:Put", "s3:ObjectCreated:Copy", "ObjectRemoved:Delete"]),
    time=st.datetimes().map(lambda at: at.isoformat() + "Z"),
    bucket=st.sampled_from(["models", "other", "", "models/runs"]),
    source=st.sampled_from(["aws:s3", "ceph:s3"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["eventName", "eventTime", "s3", "eventSource", "other"]), RECORDS)
def test_any_json_value_gives_events_or_a_rejected_event(value: Any, key: str, good: dict[str, Any]) -> None:
    for message in (value, {"Records": value}, {"Records": [value]}, {"Records": [good]}, {"Records": [good | {key: value}]}):
        with suppress(RejectedEvent):
            assert isinstance(hints_from_json(message, "red", RUNS, 60), Hints)


@given(st.lists(RECORDS, max_size=4))
def test_every_event_lies_below_a_template(records: list[Any]) -> None:
    try:
        told = hints(*records)
    except RejectedEvent:
        return
    for event in told.events:
        bucket, runs, name = event.model_path.removeprefix("s3://").split("/")
        assert (bucket, runs, name, event.team, event.project) == ("models", "runs", event.experiment, "red", "digits")
        assert not name.startswith(".")


@given(st.permutations([record(f"runs/{run}/{file}") for run in "78" for file in "ab"]), st.integers(1, 3))
def test_the_order_of_records_and_their_number_do_not_matter(records: list[Any], times: int) -> None:
    told = hints(*records * times)
    assert {json.dumps(event.model_path) for event in told.events} == {'"s3://models/runs/7"', '"s3://models/runs/8"'}
    assert set(told.events) == set(hints(record("runs/7/a"), record("runs/8/b")).events)
