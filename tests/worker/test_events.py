"""From a command line, from JSON and from a CloudEvent to an event."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.facts import ModelType
from worker.errors import RejectedEvent
from worker.events import (
    STATES,
    checked_name,
    completion_from_cloudevent,
    completion_from_json,
    default_event_id,
    event_of_path,
    model_type,
    rescan_from_json,
)
from worker.records import Cluster, CompletionEvent, ExperimentState, Kind, NamedFile, Trigger


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (None, None),
        ("Tensorflow", ModelType.TENSORFLOW),
        ("tensorFLOW", ModelType.TENSORFLOW),
        ("onnx", ModelType.ONNX),
        ("1", ModelType.TENSORFLOW),
        ("2", ModelType.ONNX),
        ("3", ModelType.CUSTOM),
        ("PyTorch", ModelType.CUSTOM),
    ],
)
def test_a_declared_type_is_read_in_any_case_and_as_a_number(word: str | None, kind: ModelType | None) -> None:
    assert model_type(word) is kind


def test_a_relative_path_is_meant_from_the_working_folder() -> None:
    assert event_of_path("runs/../m", "1", "/home/me").model_path == "/home/me/m"


def test_a_url_stays_as_it_is() -> None:
    assert event_of_path("s3://bucket/a/../b", "1", "/home/me").model_path == "s3://bucket/a/../b"


def test_a_path_of_the_command_line_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(RejectedEvent, match=r"^path: expected a path, found U\+D800 in it, which no file name has$"):
        event_of_path("/a/\ud800", "1", "/")


@pytest.mark.parametrize("path", [os.fsdecode(b"/a/\x80"), os.fsdecode(b"/a/\xff")])
def test_a_path_whose_bytes_are_not_utf_8_is_taken_at_every_door(path: str) -> None:
    """A byte that is no UTF-8 becomes a surrogate of its own, and Linux has such names."""
    assert event_of_path(path, "1", "/").model_path == path
    assert completion(modelPath=path).model_path == path
    assert rescan_from_json({"path": path}, "red", "new").model_path == path


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "\x1b[31m", "x" * 256, "\udc80"])
def test_a_name_that_no_terminal_should_see_is_refused(name: str) -> None:
    with pytest.raises(RejectedEvent, match=r"^name: expected"):
        checked_name("name", name)


def test_a_name_keeps_its_letters() -> None:
    assert checked_name("name", "  Größe 模型 @3 ") == "Größe 模型 @3"


SHA = "0123456789abcdef" * 4

FULL = {
    "id": "run-1",
    "source": "ci",
    "experimentId": "mnist-7",
    "projectId": "digits",
    "experimentTypeId": 3,
    "cluster": "private",
    "state": "stopped",
    "modelPath": "/storage/models/mnist-7",
    "modelType": "ONNX",
    "name": "net",
    "git": {"ref": "main", "sha": "abc"},
    "files": [{"path": "a/model.onnx", "size": 3, "sha256": SHA.upper()}],
    "somethingNew": {"is": "passed over"},
    "team": "another",
}


def completion(**fields: Any) -> CompletionEvent:
    return completion_from_json({"id": "1", "experimentId": "e", **fields}, "red")


def test_a_plain_object_says_all_that_an_event_holds() -> None:
    assert completion_from_json(FULL, "red") == CompletionEvent(
        source="ci",
        id="run-1",
        model_path="/storage/models/mnist-7",
        team="red",
        project="digits",
        experiment="mnist-7",
        declared_type=ModelType.ONNX,
        name="net",
        trigger=Trigger.COMPLETION,
        kind=Kind.MULTI_NODE,
        cluster=Cluster.PRIVATE,
        state=ExperimentState.STOPPED,
        git_ref="main",
        git_sha="abc",
        files=(NamedFile("a/model.onnx", 3, SHA),),
    )


def test_an_experiment_alone_is_enough() -> None:
    event = completion_from_json({"experimentId": "e"}, "red")
    assert (event.source, event.id, event.project, event.model_path) == ("http", "http/e/stopped/0", "default", "")


def test_null_is_the_same_as_absent() -> None:
    nulls = dict.fromkeys(FULL, None)
    assert completion_from_json(nulls | {"experimentId": "e"}, "red") == completion_from_json({"experimentId": "e"}, "red")


def test_a_restart_is_another_event_and_no_two_runs_share_an_id() -> None:
    state = ExperimentState.FAILED
    assert completion_from_json({"experimentId": "e", "state": 7, "restartCount": 2}, "red").id == "http/e/failed/2"
    assert default_event_id("a/b", "c", state, 0) == "a%2Fb/c/failed/0"
    assert default_event_id("a", "b/c", state, 0) == "a/b%2Fc/failed/0"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        (5, ExperimentState.STOPPED),
        ("5", ExperimentState.STOPPED),
        ("Stopped", ExperimentState.STOPPED),
        (6, ExperimentState.ERROR),
        ("error", ExperimentState.ERROR),
        (7, ExperimentState.FAILED),
        ("FAILED", ExperimentState.FAILED),
        (8, ExperimentState.CANCELED),
        ("canceled", ExperimentState.CANCELED),
        ("cancelled", ExperimentState.CANCELED),
    ],
)
def test_states_are_words_and_numbers(word: object, state: ExperimentState) -> None:
    assert completion(state=word).state is state


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (1, Kind.SINGLE_NODE),
        (2, Kind.MULTI_NODE),
        (3, Kind.MULTI_NODE),
        (4, Kind.TUNING),
        ("singlenode", Kind.SINGLE_NODE),
        ("multi-node", Kind.MULTI_NODE),
        ("GRPC Multi-node", Kind.MULTI_NODE),
        ("hyperparameter", Kind.TUNING),
    ],
)
def test_kinds_are_words_and_numbers(word: object, kind: Kind) -> None:
    assert completion(kind=word).kind is kind
    assert completion(experimentTypeId=word).kind is kind


@pytest.mark.parametrize(
    ("word", "declared"),
    [(1, ModelType.TENSORFLOW), ("2", ModelType.ONNX), (3, ModelType.CUSTOM), ("tensorflow", ModelType.TENSORFLOW), ("", None)],
)
def test_types_are_words_and_numbers(word: object, declared: ModelType | None) -> None:
    assert completion(modelType=word).declared_type is declared


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"modelPath": 3}, "modelPath: expected text, found 3"),
        ({"modelPath": "x" * 4097}, "modelPath: expected at most 4096 characters, found 4097"),
        ({"modelPath": "/a\0b"}, "modelPath: expected a path, found a zero character in it"),
        ({"modelPath": "/a/\ud800"}, "modelPath: expected a path, found U+D800 in it, which no file name has"),
        ({"experimentId": 7}, "experimentId: expected text, found 7"),
        ({"experimentId": " "}, "experimentId: expected 1 to 255 characters, found 0"),
        ({"projectId": ["p"]}, "projectId: expected text, found a list"),
        ({"projectId": "a\nb"}, "projectId: expected printable text, found 'a\\nb'"),
        ({"id": {}}, "id: expected text, found an object"),
        ({"id": "x" * 1025}, "id: expected at most 1024 characters, found 1025"),
        ({"source": True}, "source: expected text, found true"),
        ({"state": "running"}, f"state: expected one of {', '.join(STATES)}, found 'running'"),
        ({"state": 4}, f"state: expected one of {', '.join(STATES)}, found 4"),
        ({"state": True}, f"state: expected one of {', '.join(STATES)}, found true"),
        ({"state": 5.0}, f"state: expected one of {', '.join(STATES)}, found 5.0"),
        ({"cluster": "mine\x1b[31m"}, "cluster: expected one of public, private, found 'mine\\x1b[31m'"),
        ({"kind": 1, "experimentTypeId": 2}, "kind: expected what experimentTypeId says, found 1"),
        ({"modelType": False}, "modelType: expected text, found false"),
        ({"name": "mo0123456789ab"}, "name: 'mo0123456789ab' would be taken for an id or a version; choose another"),
        ({"restartCount": -1}, "restartCount: expected a whole number from 0 to 1000000, found -1"),
        ({"restartCount": 1.5}, "restartCount: expected a whole number from 0 to 1000000, found 1.5"),
        ({"git": "main"}, "git: expected a JSON object, found 'main'"),
        ({"git": False}, "git: expected a JSON object, found false"),
        ({"git": {"ref": 1}}, "git.ref: expected text, found 1"),
        ({"git": {"sha": "x" * 256}}, "git.sha: expected at most 255 characters, found 256"),
        ({"files": {}}, "files: expected a list, found an object"),
        ({"files": [{"path": "a", "size": 0}] * 10_001}, "files: expected at most 10000, found 10001"),
        ({"files": [{"path": "a", "size": 0}] * 2}, "files: expected each path once, found one twice"),
        ({"files": [3]}, "files[0]: expected a JSON object, found 3"),
        ({"files": [{"size": 1}]}, "files[0].path: expected text, found nothing"),
        ({"files": [{"path": "a\0", "size": 1}]}, "files[0].path: expected a path, found a zero character in it"),
        (
            {"files": [{"path": "\ud800", "size": 1}]},
            "files[0].path: expected a path, found U+D800 in it, which no file name has",
        ),
        ({"files": [{"path": "a"}]}, "files[0].size: expected a number of bytes, found nothing"),
        ({"files": [{"path": "a", "size": True}]}, f"files[0].size: expected a whole number from 0 to {2**63 - 1}, found true"),
        (
            {"files": [{"path": "a", "size": 2**63}]},
            f"files[0].size: expected a whole number from 0 to {2**63 - 1}, found {2**63}",
        ),
        ({"files": [{"path": "a", "size": 1, "sha256": "beef"}]}, "files[0].sha256: expected 64 hex digits, found 'beef'"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected_and_found(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(RejectedEvent) as caught:
        completion(**fields)
    assert str(caught.value) == says


@pytest.mark.parametrize("path", ["/a", "..", "../a", "a/../../b", "a//b", "./a", "a/", ".", "a/.."])
def test_a_named_file_lies_below_the_model_path(path: str) -> None:
    with pytest.raises(RejectedEvent, match=r"^files\[0\]\.path: expected a path below the model path, found"):
        completion(files=[{"path": path, "size": 1}])


@pytest.mark.parametrize("data", [None, [], "x", 3, True])
def test_what_is_no_object_is_refused(data: object) -> None:
    for read in (completion_from_json, completion_from_cloudevent):
        with pytest.raises(RejectedEvent, match=r"^the body: expected a JSON object, found "):
            read(data, "red")


def test_without_an_experiment_an_id_and_a_path_are_needed() -> None:
    assert completion_from_json({"id": "1", "modelPath": "/x"}, "red").experiment is None
    for lacking in ({"id": "1"}, {"modelPath": "/x"}, {"id": "", "modelPath": "/x"}, {}):
        with pytest.raises(RejectedEvent, match=r"^experimentId: expected text, found nothing"):
            completion_from_json(lacking, "red")


def cloudevent(**attributes: Any) -> dict[str, Any]:
    data = {"experimentId": "e", "id": "of the data", "source": "of the data"}
    return {"specversion": "1.0", "type": "experiment.completed", "source": "/ci", "id": "7", "data": data} | attributes


def test_a_cloudevent_is_named_by_its_own_attributes() -> None:
    event = completion_from_cloudevent(cloudevent(time="2026-11-20T12:00:00Z", subject="e", extension="x"), "red")
    assert (event.source, event.id, event.experiment, event.team) == ("/ci", "7", "e", "red")


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"specversion": "0.3"}, "specversion: expected 1.0, found '0.3'"),
        ({"specversion": None}, "specversion: expected 1.0, found nothing"),
        ({"type": "experiment.started"}, "type: expected experiment.completed, found 'experiment.started'"),
        ({"source": ""}, "source: expected text, found none in it"),
        ({"id": None}, "id: expected text, found nothing"),
        ({"id": 7}, "id: expected text, found 7"),
        ({"data": None}, "data: expected a JSON object, found nothing"),
        ({"data": "e30="}, "data: expected a JSON object, found 'e30='"),
    ],
)
def test_a_cloudevent_lacks_nothing(attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(RejectedEvent) as caught:
        completion_from_cloudevent(cloudevent(**attributes), "red")
    assert str(caught.value) == says


def test_a_rescan_is_of_a_path_and_may_be_forced() -> None:
    assert rescan_from_json({"path": "/runs/x", "force": True, "projectId": "p"}, "red", "new") == CompletionEvent(
        source="rescan", id="new", model_path="/runs/x", team="red", project="p", trigger=Trigger.RESCAN, is_forced=True
    )
    assert rescan_from_json({"path": "s3://b/x", "id": "mine"}, "red", "new").id == "mine"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "path: expected text, found nothing"),
        ({"path": ""}, "path: expected text, found none in it"),
        ({"path": "runs/x"}, "path: expected an absolute path or a URL, found 'runs/x'"),
        ({"path": "/x/\udfff"}, "path: expected a path, found U+DFFF in it, which no file name has"),
        ({"path": "/x", "force": 1}, "force: expected true or false, found 1"),
        ({"path": "/x", "force": "yes"}, "force: expected true or false, found 'yes'"),
    ],
)
def test_a_rescan_that_cannot_be_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(RejectedEvent) as caught:
        rescan_from_json(fields, "red", "new")
    assert str(caught.value) == says


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1.0", "experiment.completed"])
KEYS = st.sampled_from([*FULL, "path", "size", "sha256", "ref", "sha", "data", "specversion", "type", "force", "restartCount"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=12
)


Read = Callable[[Any, str], CompletionEvent]

READERS: tuple[Read, ...] = (
    completion_from_json,
    completion_from_cloudevent,
    lambda data, team: rescan_from_json(data, team, "new"),
)


@given(VALUES | st.dictionaries(KEYS, VALUES))
def test_any_json_value_gives_an_event_or_a_rejectedevent(data: object) -> None:
    for read in READERS:
        with suppress(RejectedEvent):
            assert read(data, "red").id


@given(VALUES)
def test_the_team_is_the_one_that_the_door_says_whatever_the_json_says(said: object) -> None:
    data = {"experimentId": "e", "path": "/x", "team": said, "teamId": said}
    for read in READERS:
        assert read(cloudevent(data=data, team=said) | data, "red").team == "red"
