"""From the declared model path to a place that may be read."""

from __future__ import annotations

import posixpath
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import RejectedLocation
from worker.locations import Mount, Places, check_from_afar, resolve, shared_part
from worker.records import Cluster, CompletionEvent, Kind, Location, StoreMode


def event(path: str, team: str = "red", experiment: str | None = "e1") -> CompletionEvent:
    return CompletionEvent(source="t", id="1", model_path=path, team=team, project="p", experiment=experiment)


ARTIFACTS = Mount("/artifacts", "/mnt/runs/{team}/{experiment_id}/artifacts")
STORAGE = Mount("/storage", "/mnt/{team}/storage")


def test_a_bare_path_is_itself_and_is_copied() -> None:
    location = resolve(event("/home/me/run 1"), Places())
    assert (location.path, location.url, location.mode) == ("/home/me/run 1", "file:///home/me/run%201", StoreMode.COPY)


def test_a_mount_is_filled_with_the_fields_of_the_event() -> None:
    location = resolve(event("/artifacts/export/1"), Places((ARTIFACTS,)))
    assert location.path == "/mnt/runs/red/e1/artifacts/export/1"
    assert location.mode is StoreMode.COPY


def test_a_persistent_mount_is_referenced() -> None:
    assert resolve(event("/storage/models/e1"), Places((STORAGE,))).mode is StoreMode.REFERENCE


def test_the_mode_of_a_mount_outweighs_the_general_one() -> None:
    mount = Mount("/storage", "/mnt/storage", StoreMode.COPY)
    assert resolve(event("/storage/x"), Places((mount,), mode=StoreMode.REFERENCE)).mode is StoreMode.COPY
    assert resolve(event("/elsewhere"), Places((mount,), mode=StoreMode.REFERENCE)).mode is StoreMode.REFERENCE


def test_the_longest_mount_wins() -> None:
    inner = Mount("/storage/models", "/fast")
    assert resolve(event("/storage/models/m"), Places((STORAGE, inner))).path == "/fast/m"


def test_a_mount_matches_whole_names_only() -> None:
    assert resolve(event("/storages/x"), Places((STORAGE,))).path == "/storages/x"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("relative/path", "expected an absolute path"),
        ("s3://b/prefix", "expected the name of a bucket"),
        ("s3://bucket/a/../b", "one of its parts is '..'"),
        ("http://host/x", "expected a path or s3://BUCKET/KEY"),
        ("/a\0b", "zero byte"),
    ],
)
def test_what_is_not_a_path_here_is_rejected_in_words(path: str, says: str) -> None:
    with pytest.raises(RejectedLocation, match=says):
        resolve(event(path), Places())


@pytest.mark.parametrize(
    ("kind", "cluster", "path"),
    [
        (None, Cluster.PUBLIC, "/artifacts"),
        (Kind.SINGLE_NODE, Cluster.PUBLIC, "/artifacts"),
        (Kind.MULTI_NODE, Cluster.PUBLIC, "/storage/models/e1"),
        (Kind.TUNING, Cluster.PUBLIC, "/storage/models/e1"),
        (None, Cluster.PRIVATE, "/shared/models/e1"),
        (Kind.SINGLE_NODE, Cluster.PRIVATE, "/shared/models/e1"),
        (Kind.MULTI_NODE, Cluster.PRIVATE, "/shared/models/e1"),
    ],
)
def test_no_path_means_the_one_of_kind_and_cluster(kind: Kind | None, cluster: Cluster, path: str) -> None:
    silent = replace(event(""), kind=kind, cluster=cluster)
    assert resolve(silent, Places()).path == path


def test_a_default_path_goes_through_its_mount() -> None:
    multi = replace(event(""), kind=Kind.MULTI_NODE)
    location = resolve(multi, Places((STORAGE,), roots=("/mnt/{team}",)))
    assert (location.path, location.mode) == ("/mnt/red/storage/models/e1", StoreMode.REFERENCE)


@pytest.mark.parametrize("experiment", [None, "..", "a/../..", ""])
def test_an_experiment_that_is_no_step_of_a_path_has_no_default(experiment: str | None) -> None:
    silent = replace(event("", experiment=experiment), kind=Kind.MULTI_NODE)
    with pytest.raises(RejectedLocation, match="no usable experiment_id"):
        resolve(silent, Places())


def test_a_mount_may_tell_clusters_apart() -> None:
    mount = Mount("/artifacts", "/mnt/{cluster}/{experiment_id}")
    assert resolve(replace(event("/artifacts"), cluster=Cluster.PRIVATE), Places((mount,))).path == "/mnt/private/e1"


def test_a_field_that_the_event_lacks_is_named() -> None:
    with pytest.raises(RejectedLocation, match="no usable experiment_id"):
        resolve(event("/artifacts", experiment=None), Places((ARTIFACTS,)))


@pytest.mark.parametrize("team", ["..", ".", "a/b", ""])
def test_a_field_never_adds_a_step_to_a_path(team: str) -> None:
    with pytest.raises(RejectedLocation, match="no usable team"):
        resolve(event("/storage/x", team=team), Places((STORAGE,)))


def test_a_path_outside_the_roots_is_rejected_with_the_roots() -> None:
    with pytest.raises(RejectedLocation, match=r"/etc/x lies outside the allowed roots \(/mnt/red\)"):
        resolve(event("/etc/x"), Places(roots=("/mnt/{team}",)))


def test_no_roots_allow_nothing() -> None:
    with pytest.raises(RejectedLocation, match="none is set"):
        resolve(event("/x"), Places(roots=()))


PARTS = st.lists(st.sampled_from(["..", ".", "a", "b", "", "storage", "red", "..a"]), max_size=8)


@given(PARTS)
def test_dots_never_lead_out_of_a_mount(parts: list[str]) -> None:
    declared = "/storage/" + "/".join(parts)
    if not posixpath.normpath(declared).startswith("/storage"):
        return
    path = resolve(event(declared), Places((STORAGE,))).path
    assert path == "/mnt/red/storage" or path.startswith("/mnt/red/storage/")


@given(PARTS)
def test_a_location_lies_inside_an_allowed_root_or_there_is_no_location(parts: list[str]) -> None:
    declared = "/" + "/".join(parts)
    try:
        path = resolve(event(declared), Places((STORAGE,), roots=("/mnt/{team}", "/a"))).path
    except RejectedLocation:
        return
    assert path == posixpath.normpath(path)
    assert path in ("/a", "/mnt/red") or path.startswith(("/a/", "/mnt/red/"))


NAMES = st.text("a-", min_size=1, max_size=4)
TEMPLATES = st.lists(
    st.sampled_from(["{team}", "x-{team}", "{team}{team}", "{team}-{project_id}", "{cluster}{team}", "{project_id}", "a"])
).map(lambda parts: "/mnt/" + "/".join(parts))


@given(TEMPLATES, NAMES, NAMES, NAMES, NAMES)
@example("/mnt/{team}-{project_id}", "a", "a-b", "b-c", "c")
@example("/mnt/{cluster}/{team}{project_id}", "a", "aa", "aa", "a")
def test_a_template_without_a_shared_part_gives_no_two_teams_the_same_place(
    template: str, team: str, other: str, project: str, others: str
) -> None:
    if team == other or "{team}" not in template or shared_part(template) is not None:
        return
    places = Places((Mount("/artifacts", template),))
    ours = resolve(replace(event("/artifacts", team), project=project), places).path
    assert ours != resolve(replace(event("/artifacts", other), project=others), places).path


def test_a_shared_part_is_one_by_which_two_teams_meet() -> None:
    template = "/mnt/{team}-{project_id}/runs"
    assert shared_part(template) == "{team}-{project_id}"
    places = Places((Mount("/artifacts", template),))
    ours = resolve(replace(event("/artifacts", "a"), project="b-c"), places).path
    assert ours == resolve(replace(event("/artifacts", "a-b"), project="c"), places).path


def test_object_storage_is_referenced_where_it_is_unless_a_setting_says_otherwise() -> None:
    location = resolve(event("s3://bucket/runs/7/"), Places())
    assert location == Location("s3://bucket/runs/7", "s3://bucket/runs/7", StoreMode.REFERENCE)
    assert resolve(event("s3://bucket/runs/7"), Places(mode=StoreMode.COPY)).mode is StoreMode.COPY


def test_a_mount_may_lie_on_object_storage() -> None:
    mount = Mount("/artifacts", "s3://bucket/{team}/{experiment_id}/out/")
    location = resolve(event("/artifacts/export", experiment="e7"), Places((mount,), roots=()))
    assert (location.url, location.root) == ("s3://bucket/red/e7/out/export", "s3://bucket/red/e7/out")
    assert resolve(event("/artifacts", experiment="e7"), Places((mount,))).path == "s3://bucket/red/e7/out"
    copying = replace(mount, mode=StoreMode.COPY)
    assert resolve(event("/artifacts", experiment="e7"), Places((copying,))).mode is StoreMode.COPY


def test_a_place_on_object_storage_may_be_mounted_on_disk() -> None:
    mount = Mount("s3://bucket/runs", "/mnt/{team}/runs")
    assert resolve(event("s3://bucket/runs/7"), Places((mount,))).path == "/mnt/red/runs/7"
    assert resolve(event("s3://bucket/runs7"), Places((mount,))).path == "s3://bucket/runs7"


@pytest.mark.parametrize("path", ["s3://bucket/red2/x", "s3://bucket", "s3://other/red", "s3://bucket/blue/x", "/mnt/red/x"])
def test_a_place_outside_the_roots_on_object_storage_is_rejected(path: str) -> None:
    places = Places(roots=("s3://bucket/{team}",))
    assert resolve(event("s3://bucket/red/x"), places).root == "s3://bucket/red"
    with pytest.raises(RejectedLocation, match=r"lies outside the allowed roots \(s3://bucket/red\)"):
        resolve(event(path), places)
    with pytest.raises(RejectedLocation, match="none is set"):
        check_from_afar(event(path), Places())


def test_without_a_root_what_a_mount_gives_is_allowed() -> None:
    location = resolve(event("/storage/x"), Places((STORAGE,), roots=()))
    assert (location.path, location.root) == ("/mnt/red/storage/x", "/mnt/red/storage")


@pytest.mark.parametrize(
    ("at", "root"),
    [
        ("/mnt/{team}/{experiment_id}/out", "/mnt/red"),
        ("/mnt/runs/x-{project_id}/{team}", "/mnt/runs"),
        ("/mnt/{cluster}/{team}", "/mnt/public/red"),
    ],
)
def test_the_root_of_a_mount_ends_above_the_first_name_that_a_sender_gives(at: str, root: str) -> None:
    """A team could make a link of that name, which would lead wherever it likes if it were the root."""
    mount = Mount("/artifacts", at)
    assert resolve(event("/artifacts/x", experiment="e7"), Places((mount,), roots=())).root == root
    assert resolve(event("/artifacts/x", experiment="e7"), Places((mount,), roots=(at,))).root == root


def test_from_afar_only_what_mounts_give_may_be_asked_for_where_no_roots_are_set() -> None:
    check_from_afar(event("/storage/x"), Places((STORAGE,)))
    with pytest.raises(RejectedLocation, match="none is set; MODELPORT_ROOTS and MODELPORT_MOUNTS say what may be reached"):
        check_from_afar(event("/etc/x"), Places((STORAGE,)))
    with pytest.raises(RejectedLocation):
        check_from_afar(event("/storage/../etc/x"), Places((STORAGE,)))


def test_from_afar_roots_that_are_set_decide_when_the_path_is_resolved() -> None:
    check_from_afar(event("/etc/x"), Places(roots=("/mnt",)))
