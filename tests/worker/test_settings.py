"""Settings: environment over file over default, and words for a wrong value."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from worker.bootstrap import STALL_PER_LEASE
from worker.errors import BadSetting
from worker.heartbeat import BEATS_PER_LEASE
from worker.locations import Mount
from worker.public_addresses import Allowed
from worker.records import StoreMode
from worker.registry.migrate import migrate
from worker.runner import LOOKS_PER_LEASE, SILENCE_PER_LEASE
from worker.s3_events import RunsBelow
from worker.settings import MIN_LEASE_SECONDS, Settings, check_limits, load

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_defaults_lie_below_home(tmp_path: Path) -> None:
    settings = load({"MODELPORT_HOME": str(tmp_path)}, tmp_path)
    assert settings.database == f"sqlite:///{tmp_path}/modelport.db"
    assert settings.store_folder == tmp_path / "store"
    assert settings.places().roots is None
    assert settings.settle_timeout_seconds == 3600


def test_the_default_home_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({}, tmp_path / "elsewhere").home == tmp_path / ".modelport"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "modelport.toml").write_text('home = "/from/file"\nsettle_seconds = 9\n')
    settings = load({"MODELPORT_HOME": "/from/environment"}, tmp_path)
    assert settings.home == Path("/from/environment")
    assert settings.settle_seconds == 9


def test_fixed_text_may_stand_beside_the_team(tmp_path: Path) -> None:
    roots = ("s3://bucket/team-{team}-runs/{project_id}-{experiment_id}", "/mnt/{team}-{team}")
    assert load({"MODELPORT_ROOTS": json.dumps(roots)}, tmp_path).roots == roots


def test_mounts_are_read_in_both_forms(tmp_path: Path) -> None:
    text = '{"/artifacts": "/mnt/{team}", "/storage/": {"at": "/m", "store": "reference"}}'
    assert load({"MODELPORT_MOUNTS": text}, tmp_path).places().mounts == (
        Mount("/artifacts", "/mnt/{team}", None),
        Mount("/storage", "/m", StoreMode.REFERENCE),
    )


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("MODELPORT_MOUNTS", "{x", "MODELPORT_MOUNTS: expected JSON"),
        ("MODELPORT_MOUNTS", '{"/a": {"at": "/b", "stare": "copy"}}', "stare: no such key; known are at, store, found 'copy'"),
        (
            "MODELPORT_WATCH",
            '[{"path": "/r", "quite_seconds": 3}]',
            "0.quite_seconds: no such key; known are path, project, trigger, ",
        ),
        ("MODELPORT_MOUNTS", '{"/a": "/b/{home}"}', "{home} is not one of"),
        ("MODELPORT_ROOTS", '["relative"]', "expected an absolute path"),
        ("MODELPORT_ROOTS", '["/{project_id}/x"]', "expected a folder of yours above {project_id}, whose name a sender gives"),
        ("MODELPORT_API_URL", "localhost:8011", "MODELPORT_API_URL: expected http://… or https://…, found 'localhost:8011'"),
        ("MODELPORT_SETTLE_SECONDS", "soon", "MODELPORT_SETTLE_SECONDS"),
        ("MODELPORT_SETTLE_SECONDS", "-1", "greater than or equal to 0"),
        ("MODELPORT_LEASE_SECONDS", "2.9", "MODELPORT_LEASE_SECONDS: Input should be greater than or equal to 3, found '2.9'"),
        ("MODELPORT_LEASE_SECONDS", "3601", "less than or equal to 3600, found '3601'"),
        ("MODELPORT_S3_RUNS", '[{"path": "/runs"}]', "'/runs': expected s3://BUCKET/KEY; MODELPORT_WATCH names folders"),
        ("MODELPORT_S3_RUNS", '[{"path": "s3://{experiment_id}/x"}]', "expected a bucket of yours above {experiment_id}"),
        ("MODELPORT_S3_RUNS", '[{"path": "s3://bucket/{run}"}]', "{run} is not one of"),
        ("MODELPORT_S3_RUNS", '[{"path": "s3://bucket", "trigger": "marker"}]', "no such key; known are path, project, marker"),
        ("MODELPORT_S3_RUNS", '[{"path": "s3://bucket", "marker": "a/b"}]', "MODELPORT_S3_RUNS.0.marker"),
        ("MODELPORT_S3_RUNS", '[{"path": "s3://bucket", "project": " "}]', "project: expected 1 to 255 characters"),
        ("MODELPORT_S3_RUNS", '[{"path": "s3://bucket/{team}/{experiment_id}-{experiment_id}"}]', "twice in"),
        (
            "MODELPORT_MOUNTS",
            '{"/a": "s3://bucket/{team}-{project_id}"}',
            "MODELPORT_MOUNTS: 's3://bucket/{team}-{project_id}': expected no other field beside {team} in a part; "
            "two teams may reach the same place by {team}-{project_id}, found {'/a': {'at': 's3://bucket/{team}-{project_id}'}}",
        ),
        ("MODELPORT_ROOTS", '["/mnt/{cluster}.{team}/x"]', "two teams may reach the same place by {cluster}.{team}"),
        ("MODELPORT_S3_RUNS", '[{"path": "s3://bucket/{team}{experiment_id}"}]', "two teams may reach the same place"),
        ("MODELPORT_WATCH", '[{"path": "s3://bucket/runs"}]', "MODELPORT_S3_RUNS names what object storage tells of"),
        ("MODELPORT_STORE_MODE", "move", "'auto', 'copy' or 'reference'"),
        ("MODELPORT_STORE_URL", "ftp://x", "expected file:///FOLDER"),
        ("MODELPORT_STORE_URL", "s3:///x", "expected the name of a bucket after s3://, found 's3:///x'"),
        ("MODELPORT_ROOTS", '["s3:///x"]', "'s3:///x': expected the name of a bucket after s3://, found"),
        ("MODELPORT_MOUNTS", '{"/a": 3}', "MODELPORT_MOUNTS./a: expected an object; its keys are at, store, found 3"),
        ("MODELPORT_HOME", "", "expected a folder"),
        ("MODELPORT_HOME", "s3://bucket/home", "expected a folder on a local disk; MODELPORT_STORE_URL may name a place"),
        ("MODELPORT_HOME", "~nobody-has-this-name/x", "expected a folder"),
        ("MODELPORT_DATABASE_URL", "mysql://x", "expected sqlite:///FILE or postgresql://USER@HOST/NAME"),
        ("MODELPORT_DATABASE_URL", "sqlite:///:memory:", "a database in memory ends with each command"),
        ("MODELPORT_DATABASE_URL", "sqlite:///%3Amemory%3A?cache=shared", "a database in memory ends with each command"),
        ("MODELPORT_DATABASE_URL", "sqlite:///file:x?mode=memory&uri=true", "a URI is not a file"),
        ("MODELPORT_DATABASE_URL", "sqlite:///", "no file is named"),
        ("MODELPORT_DATABASE_URL", "sqlite:///?timeout=5", "no file is named"),
        ("MODELPORT_HOME", "/tmp/\udcff", "expected a path in UTF-8"),
        ("MODELPORT_DATABASE_URL", "postgresql+asyncpg://x", "expected sqlite:///FILE or postgresql://USER@HOST/NAME"),
    ],
)
def test_a_wrong_value_names_the_key_and_what_was_wanted(key: str, value: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as caught:
        load({key: value}, tmp_path)
    assert says in str(caught.value)
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (
            (3300, 3300, 3600, 7200),
            "MODELPORT_LEASE_SECONDS: expected less than task_soft_time_limit, which is 3300 s, found 3300 s",
        ),
        ((60, 3600, 3300, 7200), "task_soft_time_limit: expected less than task_time_limit, which is 3300 s, found 3600 s"),
        ((60, 3300, 3600, 1800), "task_time_limit: expected less than visibility_timeout, which is 1800 s, found 3600 s"),
        ((60, None, 3600, 3600), "task_time_limit: expected less than visibility_timeout, which is 3600 s, found 3600 s"),
        (
            (3600, None, None, 1800),
            "MODELPORT_LEASE_SECONDS: expected less than visibility_timeout, which is 1800 s, found 3600 s",
        ),
    ],
)
def test_a_limit_that_comes_before_a_milder_one_is_refused(limits: tuple[float, ...], says: str) -> None:
    with pytest.raises(BadSetting) as caught:
        check_limits(*limits)
    assert str(caught.value) == says


@pytest.mark.parametrize("limits", [(60, 3300, 3600, 7200), (3600, None, None, 7200), (3600, None, None, None)])
def test_limits_in_order_are_taken(limits: tuple[float, ...]) -> None:
    check_limits(*limits)


def test_what_hangs_is_seen_after_an_inspection_has_ended_and_told_before_the_lease_is_over() -> None:
    """The shares of a lease, in the order in which they follow each other."""
    told_after = SILENCE_PER_LEASE + 1 / LOOKS_PER_LEASE
    assert STALL_PER_LEASE + 1 / BEATS_PER_LEASE < SILENCE_PER_LEASE < told_after < 1
    assert MIN_LEASE_SECONDS * (1 - told_after) >= 0.1


@pytest.mark.parametrize("text", ["not toml", "colour = 1"])
def test_a_wrong_file_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "modelport.toml").write_text(text)
    with pytest.raises(BadSetting):
        load({}, tmp_path)


@pytest.mark.parametrize("url", ["http://user:secret@host", "minio:9000", "ftp://host"])
def test_the_address_of_an_s3_server_holds_no_user(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="MODELPORT_S3_ENDPOINT_URL: expected") as raised:
        load({"MODELPORT_S3_ENDPOINT_URL": url}, tmp_path)
    assert "secret" not in str(raised.value)


SECRET = "whsec_" + "c2VjcmV0" * 6

WEBHOOK = {"MODELPORT_WEBHOOK_URL": "https://hooks.example.org/t0p?key=t0p", "MODELPORT_WEBHOOK_SECRET": SECRET}


def test_a_webhook_has_an_address_and_secrets(tmp_path: Path) -> None:
    settings = load(WEBHOOK | {"MODELPORT_WEBHOOK_ALLOW": '["10.0.0.0/8", "hooks.internal"]'}, tmp_path)
    assert settings.webhook_url == WEBHOOK["MODELPORT_WEBHOOK_URL"]
    assert settings.webhook_may() == Allowed((ip_network("10.0.0.0/8"),), frozenset({"hooks.internal"}))
    assert load(WEBHOOK, tmp_path).webhook_may() == Allowed()
    assert "t0p" not in repr(settings)
    assert SECRET not in repr(settings)
    for secret in (f"{SECRET} {SECRET}", "whsec_" + "a" * 32, "whsec_" + "ab" * 17, "whsec_" + "a" * 84 + "aa=="):
        assert load(WEBHOOK | {"MODELPORT_WEBHOOK_SECRET": secret}, tmp_path).webhook_secret == secret
    assert load({}, tmp_path).webhook_url is None


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("MODELPORT_WEBHOOK_URL", "ftp://hooks/t0p", "expected https://HOST/PATH"),
        ("MODELPORT_WEBHOOK_URL", "https://ann:t0p@hooks/", "without a user"),
        ("MODELPORT_WEBHOOK_URL", "https://hooks:99999/t0p", "expected https://HOST/PATH"),
        ("MODELPORT_WEBHOOK_URL", "https://hooks/t0p#part", "expected https://HOST/PATH"),
        ("MODELPORT_WEBHOOK_URL", "https:///t0p", "expected https://HOST/PATH"),
        ("MODELPORT_WEBHOOK_URL", "https://hooks/t0p\n", "expected https://HOST/PATH"),
        ("MODELPORT_WEBHOOK_URL", "", "expected https://HOST/PATH"),
        ("MODELPORT_WEBHOOK_SECRET", "t0p", "expected whsec_ and 24 to 64 bytes in base64"),
        ("MODELPORT_WEBHOOK_SECRET", "whsec_t0pt0p", "24 to 64 bytes"),
        ("MODELPORT_WEBHOOK_SECRET", "whsec_" + "t0pa" * 30, "24 to 64 bytes"),
        ("MODELPORT_WEBHOOK_SECRET", "c2VjcmV0" * 6, "expected whsec_"),
        ("MODELPORT_WEBHOOK_SECRET", f"{SECRET} whsec_t0p!{'a' * 40}", "several with spaces between them"),
        ("MODELPORT_WEBHOOK_SECRET", " ", "expected a secret where MODELPORT_WEBHOOK_URL is set"),
        ("MODELPORT_WEBHOOK_ALLOW", '["10.1.2.3/8"]', "a network such as 10.1.0.0/16"),
        ("MODELPORT_WEBHOOK_ALLOW", "hooks.internal", "expected JSON"),
    ],
)
def test_what_is_wrong_about_a_webhook_is_told_without_what_is_secret(key: str, value: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as raised:
        load(WEBHOOK | {key: value}, tmp_path)
    assert str(raised.value).startswith(f"{key}: ")
    assert says in str(raised.value)
    assert "t0p" not in str(raised.value)


def test_an_address_without_a_secret_is_refused(tmp_path: Path) -> None:
    """What is not signed could come from anybody."""
    with pytest.raises(BadSetting, match=r"^MODELPORT_WEBHOOK_SECRET: expected a secret where MODELPORT_WEBHOOK_URL is set"):
        load({"MODELPORT_WEBHOOK_URL": "https://hooks.example.org/"}, tmp_path)
    assert load({"MODELPORT_WEBHOOK_SECRET": SECRET}, tmp_path).webhook_secret == SECRET


def test_places_of_runs_on_object_storage_become_plain_values(tmp_path: Path) -> None:
    given = (
        '[{"path": "s3://bucket/{team}/{experiment_id}", "project": "digits", "marker": "_SUCCESS"}, {"path": "s3://other"}]'
    )
    assert load({"MODELPORT_S3_RUNS": given}, tmp_path).runs_below() == (
        RunsBelow("s3://bucket/{team}/{experiment_id}", "digits", "_SUCCESS"),
        RunsBelow("s3://other"),
    )
    assert load({}, tmp_path).runs_below() == ()


def test_every_setting_is_documented() -> None:
    documented = DOCUMENTED.read_text()
    for name in Settings.model_fields:
        assert f"`MODELPORT_{name.upper()}`" in documented


ODD_NAMES = ["ho?me", "100%41", "a#b", "u@h:p", "a b+ü", "x;y&z=1", "line\nbreak"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_database_lies_in_home_whatever_its_name(name: str, tmp_path: Path) -> None:
    home = tmp_path / name
    settings = load({"MODELPORT_HOME": str(home)}, tmp_path)
    assert settings.database_folder == home
    home.mkdir()
    assert migrate(settings.database)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert (home / "modelport.db").stat().st_size > 0


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sqlite:////data/x.db", "/data"),
        ("sqlite:////data/a%3Fb/x.db?timeout=5", "/data/a?b"),
        ("sqlite:///x.db", "."),
    ],
)
def test_the_folder_of_a_database_is_the_one_that_its_url_names(url: str, folder: str, tmp_path: Path) -> None:
    assert load({"MODELPORT_DATABASE_URL": url}, tmp_path).database_folder == Path(folder)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_a_server_has_no_folder(scheme: str, tmp_path: Path) -> None:
    settings = load({"MODELPORT_DATABASE_URL": f"{scheme}://user@host/name"}, tmp_path)
    assert settings.database == f"{scheme}://user@host/name"
    assert settings.database_folder is None


@pytest.mark.parametrize("key", ["MODELPORT_DATABASE_URL", "MODELPORT_BROKER_URL"])
@pytest.mark.parametrize("password", ["hunter2", "hunter2/@hunter2", "hunter2:hunter2"])
def test_a_password_is_never_shown(key: str, password: str, tmp_path: Path) -> None:
    """Neither where the URL is wrong, nor where the settings are printed."""
    with pytest.raises(BadSetting) as caught:
        load({key: f"mysql://user:{password}@host/name"}, tmp_path)
    assert "found 'mysql://***@host/name'" in str(caught.value)
    right = {"MODELPORT_DATABASE_URL": "postgresql://u:hunter2@h/n", "MODELPORT_BROKER_URL": "redis://:hunter2@h/0"}
    assert "hunter2" not in repr(load(right, tmp_path))


def test_a_password_in_a_place_on_object_storage_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as caught:
        load({"MODELPORT_ROOTS": '["s3://user:hunter2@bucket/runs"]'}, tmp_path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2/x@cache/0",
        "redis://:hunter2#x@cache/0",
        "redis://:hunter2?x@cache/0",
        "amqp://me:[hunter2@rabbit//",
        "redis://first/0;redis://:hunter2/x@second/0",
    ],
)
def test_a_password_that_ends_the_address_of_its_broker_is_refused_and_not_told(url: str, tmp_path: Path) -> None:
    """What reads the address later says of the password that it is no port."""
    with pytest.raises(BadSetting, match="%2F") as refused:
        load({"MODELPORT_BROKER_URL": url}, tmp_path)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["redis:///0", "rediss://:p%2Fw@cache:6380/0?x=a@b", "redis://[::1]:1/0;redis://h/0", "amqp://h//"]
)
def test_an_address_of_a_broker_is_taken(url: str, tmp_path: Path) -> None:
    assert load({"MODELPORT_BROKER_URL": url}, tmp_path).broker_url == url
