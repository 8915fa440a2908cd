"""Which folders are runs, and what their names say."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import BadSetting
from worker.locations import Mount, Places, resolve
from worker.records import CompletionEvent
from worker.watch_roots import Root, Run, root_of

ARTIFACTS = Mount("/artifacts", "/mnt/runs/{team}/{experiment_id}/artifacts")
STORAGE = Mount("/storage", "/mnt/{team}/storage")
NAMES = st.binary(min_size=1, max_size=8).filter(lambda name: not {b"/"[0], 0} & set(name)).map(os.fsdecode)
"""Any name that a folder can have, not only text."""


def run_at(root: Root, *names: str) -> Run | None:
    return root.run_at(names)


def test_each_folder_directly_in_a_path_without_fields_is_a_run_of_no_experiment() -> None:
    root = root_of("/runs/", "red", "digits")
    assert root.folder == "/runs"
    assert run_at(root, "r1") == Run("/runs/r1", "/runs/r1", "digits", None)
    assert run_at(root) is None
    assert run_at(root, "r1", "variables") is None


def test_fields_name_the_project_and_the_experiment() -> None:
    root = root_of("/runs/{project_id}/out/run-{experiment_id}", "red", "digits")
    assert root.folder == "/runs"
    assert run_at(root, "p1", "out", "run-7") == Run("/runs/p1/out/run-7", "/runs/p1/out/run-7", "p1", "7")
    assert run_at(root, "p1", "in", "run-7") is None
    assert run_at(root, "p1", "out", "7") is None


def test_a_project_that_nobody_names_is_the_default_one() -> None:
    run = run_at(root_of("/runs/{experiment_id}", "red"), "e1")
    assert run is not None
    assert (run.project, run.experiment) == ("default", "e1")


def test_a_path_in_a_mount_is_watched_where_the_mount_lies() -> None:
    root = root_of("/storage/models/{experiment_id}", "red", None, [STORAGE])
    assert root.folder == "/mnt/red/storage/models"
    assert run_at(root, "e1") == Run("/mnt/red/storage/models/e1", "/storage/models/e1", "default", "e1")


def test_a_mount_that_names_the_experiment_tells_it() -> None:
    root = root_of("/artifacts", "red", None, [ARTIFACTS, STORAGE])
    assert root.folder == "/mnt/runs/red"
    assert run_at(root, "e1", "artifacts") == Run("/mnt/runs/red/e1/artifacts", "/artifacts", "default", "e1")


def test_a_prefix_on_object_storage_is_a_path_like_any_other() -> None:
    root = root_of("s3://models/{team}/runs/{experiment_id}/", "red")
    assert root.folder == "s3://models/red/runs"
    assert root.names_below("s3://models/red/runs/e1/model.onnx") == ["e1", "model.onnx"]
    assert root.names_below("s3://models/red/runs2/e1") is None
    assert run_at(root, "e1") == Run("s3://models/red/runs/e1", "s3://models/red/runs/e1", "default", "e1")
    assert root_of("s3://models", "red").folder == "s3://models"


def test_a_field_that_comes_twice_is_the_same_twice() -> None:
    root = root_of("/runs/{experiment_id}/{experiment_id}", "red")
    assert run_at(root, "a", "a") is not None
    assert run_at(root, "a", "b") is None


def test_a_field_twice_in_one_name_is_refused_with_the_key_and_the_field() -> None:
    with pytest.raises(BadSetting) as caught:
        root_of("/runs/{experiment_id}-{experiment_id}", "red")
    assert str(caught.value) == (
        "MODELPORT_WATCH: /runs/{experiment_id}-{experiment_id}: expected each field once in a name, "
        "found {experiment_id} twice in {experiment_id}-{experiment_id}"
    )


def test_a_field_twice_in_one_name_of_a_mount_is_refused_with_where_the_mount_lies() -> None:
    mount = Mount("/artifacts", "/mnt/{team}/{experiment_id}.{experiment_id}")
    with pytest.raises(BadSetting, match=r"/artifacts, which lies at /mnt/red/\{.*, found \{experiment_id\} twice in "):
        root_of("/artifacts", "red", None, [mount])


def test_a_field_that_the_settings_fill_may_come_twice_in_a_name() -> None:
    assert root_of("/runs/{team}-{team}/{experiment_id}", "red").folder == "/runs/red-red"


@pytest.mark.parametrize("name", [".tmp-1", ".", "..", ".ipynb_checkpoints"])
@pytest.mark.parametrize("path", ["/runs", "/runs/{experiment_id}"])
def test_no_hidden_folder_is_a_run(path: str, name: str) -> None:
    assert run_at(root_of(path, "red"), name) is None


def test_above_the_runs_a_folder_leads_on_where_its_names_fit() -> None:
    root = root_of("/runs/{project_id}/out/{experiment_id}", "red")
    assert root.leads_on([])
    assert root.leads_on(["p1"])
    assert root.leads_on(["p1", "out"])
    assert not root.leads_on(["p1", "in"])
    assert not root.leads_on([".p1"])
    assert not root.leads_on(["p1", "out", "e1", "deeper"])


def test_names_lead_from_the_root_to_a_path() -> None:
    root = root_of("/runs", "red")
    assert root.names_below("/runs/r1/a") == ["r1", "a"]
    assert root.names_below("/runs") == []
    assert root.names_below("/runs-of-others/r1") is None


@given(experiment=NAMES, project=NAMES)
def test_the_declared_path_of_a_run_resolves_to_the_folder_that_it_was_found_in(experiment: str, project: str) -> None:
    mounts = (ARTIFACTS, STORAGE, Mount("/deep", "/mnt/{project_id}/x/{experiment_id}"))
    patterns = {
        "/artifacts": [experiment, "artifacts"],
        "/storage/{project_id}/{experiment_id}": [project, experiment],
        "/storage": [experiment],
        "/elsewhere": [experiment],
        "/deep": [project, "x", experiment],
    }
    for pattern, names in patterns.items():
        run = root_of(pattern, "red", None, mounts).run_at(names)
        assert (run is None) is any(name.startswith(".") for name in names)
        if run is not None:
            event = CompletionEvent("watch", "1", run.path, "red", run.project, run.experiment)
            assert resolve(event, Places(mounts)).path == run.folder
