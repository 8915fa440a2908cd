"""All settings in one frozen record, read once at the start: environment over `modelport.toml` over defaults.

A wrong value stops the start with the key, the value and what was wanted. docs/reference/settings.md lists every one.
"""

from __future__ import annotations

import json
import re
import tomllib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from detectors.tree import readable
from worker.errors import BadSetting, RejectedEvent
from worker.events import checked_name
from worker.gate_files import json_value, standing_at
from worker.gates import StandingGates, parse_standing
from worker.locations import FIELDS, SENDERS, Mount, Places, shared_part
from worker.public_addresses import Allowed, allowed
from worker.records import DEFAULT_TEAM, Retention, StoreMode
from worker.s3_events import SETTING as S3_RUNS
from worker.s3_events import RunsBelow
from worker.s3_url import SCHEME, S3Url, is_s3, parse_s3
from worker.watch_roots import root_of

MIN_LEASE_SECONDS = 3.0
"""Below it too little is left of a lease: who sees a hang after eleven twelfths, and up to a look later, must still tell the
database before the lease is over (`runner`), which then has an eighth of a second."""

PREFIX = "MODELPORT_"
SQLITE = "sqlite:///"
DATABASES = (SQLITE, "postgresql://", "postgresql+psycopg://")
"""How the URL of a database may begin."""

NO_FILES = (":memory:", "file:")
"""How names begin that SQLite does not take for a file's."""

A_SECRET = "whsec_ and 24 to 64 bytes in base64"  # noqa: S105 - it says what one looks like

FILE_NAME = "modelport.toml"
"""Looked for in the working folder. Keys are the settings without `MODELPORT_`, in lower case."""


def _from_json(value: Any) -> Any:
    """Return what JSON text in the environment means; a value from the file is one already."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as exc:
        raise ValueError(f"expected JSON, {exc.msg} at character {exc.pos}") from exc


def _project(name: str | None) -> str | None:
    try:
        return checked_name("project", name)
    except RejectedEvent as exc:
        raise ValueError(str(exc)) from exc


def _standing_gates(value: Any) -> Any:
    """Return the gates in JSON text, in an object of the file of settings, or in the file that is named."""
    try:
        if value is None:
            return None
        if isinstance(value, str) and not value.lstrip().startswith("{"):
            return standing_at(Path(value))
        return parse_standing(json_value(value.encode(), "gates") if isinstance(value, str) else value)
    except RejectedEvent as exc:
        raise ValueError(str(exc)) from exc


class MountSetting(BaseModel):
    """Where a mount lies for this worker, and how its models are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    at: str
    store: Literal["copy", "reference"] | None = None


class WatchSetting(BaseModel):
    """A path whose runs are reported by the watcher, and what says that one is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str
    project: str | None = None
    trigger: Literal["marker", "quiet"] = "quiet"
    quiet_seconds: Annotated[float, Field(ge=0, le=30 * 86_400)] = 900
    depth: Annotated[int, Field(ge=0, le=64)] = 0
    marker: Annotated[str, Field(min_length=1, pattern="^[^/]+$")] | None = None
    list_seconds: Annotated[float, Field(ge=1, le=86_400)] | None = None

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if is_s3(path):
            raise ValueError(f"{path!r}: expected a folder; {S3_RUNS} names what object storage tells of")
        _check_template(path)
        return path

    @field_validator("project")
    @classmethod
    def _named(cls, project: str | None) -> str | None:
        return _project(project)


class RunsSetting(BaseModel):
    """Where runs lie of which object storage tells, and which of their objects count."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str
    project: str | None = None
    marker: Annotated[str, Field(min_length=1, pattern="^[^/]+$")] | None = None

    @field_validator("path")
    @classmethod
    def _on_object_storage(cls, path: str) -> str:
        if not is_s3(path):
            raise ValueError(f"{path!r}: expected s3://BUCKET/KEY; MODELPORT_WATCH names folders")
        _check_template(path)
        root_of(path, DEFAULT_TEAM, setting=S3_RUNS)
        return path

    @field_validator("project")
    @classmethod
    def _named(cls, project: str | None) -> str | None:
        return _project(project)


class Settings(BaseModel):
    """Every setting with its default. Build it with `load`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    home: Path = Field(default=Path("~/.modelport"), description="Folder of the embedded database and store.")
    database_url: str | None = Field(
        default=None,
        repr=False,
        description="Database, `sqlite:///FILE` or `postgresql://USER@HOST/NAME`; SQLite in HOME where it is not set.",
    )
    broker_url: str | None = Field(
        default=None,
        repr=False,
        description="Where bells are rung for workers, `redis://…` or `amqp://…`; they look for work themselves if not set.",
    )
    api_url: str | None = Field(default=None, description="Server that completions and rescans go to; none: done here.")
    token: str | None = Field(default=None, repr=False, description="Token that opens the server.")
    team: Annotated[str, Field(min_length=1)] = Field(
        default=DEFAULT_TEAM,
        description="Team that commands work for unless `--team` names another; it must be there. A server goes by the token.",
    )
    store_url: str | None = Field(
        default=None, description="Where copies are kept, `file:///folder` or `s3://bucket/prefix`; `HOME/store` where not set."
    )
    s3_endpoint_url: str | None = Field(
        default=None,
        description="Address of the S3 server, `https://…`, where it is not Amazon's. Credentials come from the AWS standard "
        "chain: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a profile, or a role.",
    )
    s3_region: str | None = Field(
        default=None, description="Region of the buckets; where it is not set, that of the AWS configuration, or `us-east-1`."
    )
    store_mode: Literal["auto", "copy", "reference"] = Field(
        default="auto",
        description="`auto` references persistent mounts and what lies on object storage, and copies from other paths and "
        "mounts.",
    )
    mounts: Annotated[Mapping[str, MountSetting], BeforeValidator(_from_json)] = Field(
        default_factory=dict, description="JSON: path as experiments see it → where it lies for this worker."
    )
    roots: Annotated[tuple[str, ...] | None, BeforeValidator(_from_json)] = Field(
        default=None,
        description="JSON list of folders that models may lie in, such as `/mnt/{team}`; `[]`: only what mounts give. Not set: "
        "every readable path; for who comes to the API from elsewhere, or with a team other than `default`, what mounts give.",
    )
    watch: Annotated[tuple[WatchSetting, ...] | None, BeforeValidator(_from_json)] = Field(
        default=None,
        description="JSON list of paths whose runs `modelport watch` reports once they are done, "
        '`[{"path": "/storage/models/{experiment_id}", "trigger": "quiet", "quiet_seconds": 900}]`; none: it is off.',
    )
    s3_runs: Annotated[tuple[RunsSetting, ...] | None, BeforeValidator(_from_json)] = Field(
        default=None,
        description="JSON list of places on object storage whose event notifications `POST /v1/completions` takes as hints, "
        '`[{"path": "s3://bucket/runs/{experiment_id}", "project": "digits"}]`; docs/object-storage.md tells how.',
    )
    signing_keys: Annotated[Mapping[str, str], BeforeValidator(_from_json)] = Field(
        default_factory=dict,
        description="JSON: name → file of a public key in PEM whose signatures are trusted, "
        '`{"release": "/etc/modelport/release.pub"}`; each `model.sig` in a run is checked against them. '
        "Needs the extra `modelport[signing]`.",
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        repr=False,
        description="MLflow server in whose registry each new version appears, `https://…`; none: nowhere. Credentials come "
        "from `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, `MLFLOW_TRACKING_TOKEN`, or the address; "
        "docs/mlflow.md tells more.",
    )
    webhook_url: str | None = Field(
        default=None,
        repr=False,
        description="Receiver of events, `https://…`: new versions, failed ingestions, serious findings, failed gates; none: "
        "nobody. docs/howto/webhooks.md tells more.",
    )
    webhook_secret: str | None = Field(
        default=None,
        repr=False,
        description="Secret that signs events, `whsec_` and 24 to 64 bytes in base64; several, with spaces between them, while "
        "one follows the other.",
    )
    webhook_allow: Annotated[tuple[str, ...], BeforeValidator(_from_json)] = Field(
        default=(),
        description="JSON list of hosts, addresses and networks that events may be sent to though they are not public, or by "
        'plain http: `["hooks.internal", "10.1.0.0/16"]`.',
    )
    gates: Annotated[StandingGates | None, BeforeValidator(_standing_gates)] = Field(
        default=None,
        description='JSON of gates for every run, `{"tensorflow:accuracy": {"target": "0.9..", "aggregate": "mean"}}`, and for '
        'projects, `{"checks": {…}, "projects": {"digits": {…}}}`, or a file that holds it; docs/howto/gates.md tells more.',
    )
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] | None = Field(
        default=None,
        description="How long files must have rested; 5 where it is not set, and 60 on network file systems and object "
        "storage.",
    )
    lease_seconds: Annotated[float, Field(ge=MIN_LEASE_SECONDS, le=3600)] = Field(
        default=60, description="How long a worker keeps an ingestion without a sign of life; a sixth is the pace of sweeps."
    )
    settle_timeout_seconds: Annotated[float, Field(ge=0)] = Field(
        default=3600,
        description="How long to wait for files to come to rest and for what a model lacks (a checkpoint beside a whole "
        "export, or a model deeper than a whole one: until all files have rested for half of it), and for storage that does "
        "not answer.",
    )
    max_upload_bytes: Annotated[int, Field(ge=1, le=1 << 50)] = Field(
        default=100_000_000_000, description="Size of an upload; it lies in HOME until it is whole."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How lines of the log look: `name='value'`, or one JSON object each; docs/howto/logs.md."
    )
    policy: Literal["record", "warn", "quarantine"] = Field(
        default="record",
        description="What becomes of a version that is not clean: registered like any other, registered with a warning, or "
        "registered in quarantine and not to be served until a person releases it; docs/howto/quarantine.md.",
    )
    verify: Literal["off", "after-registration"] = Field(
        default="off",
        description="`after-registration`: whoever sweeps loads each new version once in a sandbox, in its own time, and keeps "
        "what it came to; docs/howto/verify.md.",
    )
    scan_failed: bool = Field(
        default=False, description="Whether what failed or cancelled experiments left behind is looked at; else it is recorded."
    )

    keep_history_days: Annotated[float, Field(ge=0, le=100_000)] = Field(
        default=90,
        description="How many days an ingestion that ended as unchanged, nothing_found, discarded or ignored is kept with its "
        "history; 0: for ever. Its event stays known. What registered a version, failed or was uploaded always stays.",
    )
    keep_deliveries_days: Annotated[float, Field(ge=0, le=100_000)] = Field(
        default=90, description="The same for deliveries that were taken; 0: for ever. Others always stay."
    )
    keep_audit_days: Annotated[float, Field(ge=0, le=100_000)] = Field(
        default=0, description="The same for the log of what people did; 0: for ever."
    )
    rescan_outdated: Literal["in-own-time", "off"] = Field(
        default="in-own-time",
        description="`in-own-time`: whoever sweeps judges anew what older rules of the scanner judged, a few versions a minute "
        "while nothing waits, and reads each of them whole; `off`: `modelport rescan --outdated` alone does.",
    )
    drift_days: Annotated[float, Field(ge=0, le=100_000)] = Field(
        default=1,
        description="How many days pass until a sweep looks again whether the files of a version are there, by names, sizes "
        "and times; 0: never, but for `modelport doctor --drift`.",
    )

    rate_limit_reads: Annotated[int, Field(ge=0)] = Field(
        default=12_000,
        description="Requests that read which one token may send to one API process in a minute, and at once after a rest; "
        "0: any number. Without a token they are counted by address.",
    )
    rate_limit_writes: Annotated[int, Field(ge=0)] = Field(
        default=6_000, description="The same for requests that change something; completions are not counted."
    )
    rate_limit_sign_ins: Annotated[int, Field(ge=0)] = Field(
        default=60, description="Requests without a token that opens the door which one address may send in a minute; then 429."
    )

    @field_validator("home", mode="before")
    @classmethod
    def _expanded(cls, home: Any) -> Any:
        if not str(home):
            raise ValueError("expected a folder")
        if "://" in str(home):
            raise ValueError("expected a folder on a local disk; MODELPORT_STORE_URL may name a place on object storage")
        if readable(str(home)) != str(home):
            raise ValueError("expected a path in UTF-8; the URL of the database can hold no other")
        try:
            return Path(home).expanduser().absolute()
        except RuntimeError as exc:
            raise ValueError(f"expected a folder; {exc}") from exc

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(DATABASES):
            raise ValueError("expected sqlite:///FILE or postgresql://USER@HOST/NAME")
        if url is not None and url.startswith(SQLITE):
            _check_file(_sqlite_file(url))
        return url

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, url: str | None) -> str | None:
        if url is not None and not all(map(_is_whole_address, url.split(";"))):
            raise ValueError("expected redis://USER:PASSWORD@HOST:PORT/…, with / ? # [ ] of a password as %2F %3F %23 %5B %5D")
        if url is not None and urlsplit(url).scheme not in ("redis", "rediss", "amqp", "amqps"):
            raise ValueError("expected redis://… or amqp://…")
        return url

    @field_validator("api_url", "s3_endpoint_url", "mlflow_tracking_uri")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/\s]", url):
            raise ValueError("expected http://… or https://…")
        return url

    @field_validator("s3_endpoint_url")
    @classmethod
    def _without_user(cls, url: str | None) -> str | None:
        if url is not None and "@" in url:
            raise ValueError("expected an address without a user; credentials come from the AWS standard chain")
        return url

    @field_validator("webhook_url")
    @classmethod
    def _a_receiver(cls, url: str | None) -> str | None:
        if url is not None and not (re.fullmatch(r"https?://[^/\s?#@]+([/?][^\s#]*)?", url) and _is_whole_address(url)):
            raise ValueError("expected https://HOST/PATH without a user; MODELPORT_WEBHOOK_SECRET tells who sends")
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _signs(cls, secret: str | None, info: ValidationInfo) -> str | None:
        if (secret or "").strip() == "" and info.data.get("webhook_url") is not None:
            raise ValueError(f"expected a secret where MODELPORT_WEBHOOK_URL is set, {A_SECRET}")
        if not all(map(_is_secret, (secret or "").split())):
            raise ValueError(f"expected {A_SECRET}, several with spaces between them")
        return secret

    @field_validator("webhook_allow")
    @classmethod
    def _hosts_and_networks(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        allowed(entries)
        return entries

    @field_validator("store_url")
    @classmethod
    def _known_store(cls, url: str | None) -> str | None:
        if url is not None and is_s3(url):
            return str(parse_s3(url))
        if url is not None and not url.startswith("file:///"):
            raise ValueError("expected file:///FOLDER or s3://BUCKET/PREFIX")
        return url

    @field_validator("mounts")
    @classmethod
    def _absolute_mounts(cls, mounts: Mapping[str, MountSetting]) -> Mapping[str, MountSetting]:
        for path, mount in mounts.items():
            _check_template(path)
            _check_template(mount.at)
        return mounts

    @field_validator("mounts", mode="before")
    @classmethod
    def _short_mounts(cls, mounts: Any) -> Any:
        mounts = _from_json(mounts)
        if not isinstance(mounts, Mapping):
            raise ValueError('expected a JSON object such as {"/artifacts": "/mnt/runs/{experiment_id}"}')
        return {path: {"at": mount} if isinstance(mount, str) else mount for path, mount in mounts.items()}

    @field_validator("roots")
    @classmethod
    def _absolute_roots(cls, roots: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for root in roots or ():
            _check_template(root)
        return roots

    @property
    def database(self) -> str:
        """Return the database to use."""
        return self.database_url or SQLITE + quote(str(self.home / "modelport.db"))

    @property
    def database_folder(self) -> Path | None:
        """Return the folder that the database lies in, None where it is a server."""
        return Path(_sqlite_file(self.database)).parent if self.database.startswith(SQLITE) else None

    @property
    def store_place(self) -> S3Url | None:
        """Return the prefix of the store on object storage, None where it is on disk."""
        return parse_s3(self.store_url) if self.store_url and is_s3(self.store_url) else None

    @property
    def store_folder(self) -> Path | None:
        """Return the folder of the store, None where it is on object storage."""
        if self.store_place is not None:
            return None
        return Path(unquote(urlsplit(self.store_url).path)) if self.store_url else self.home / "store"

    def standing_gates(self) -> StandingGates:
        """Return the gates of every run, beside those that it sends."""
        return self.gates or StandingGates()

    def places(self) -> Places:
        """Return where models may be, as plain values."""
        mounts = tuple(
            Mount(path.rstrip("/") or "/", mount.at, StoreMode(mount.store) if mount.store else None)
            for path, mount in self.mounts.items()
        )
        return Places(mounts, self.roots, None if self.store_mode == "auto" else StoreMode(self.store_mode))

    def retention(self) -> Retention:
        """Return how long what is old is kept, as plain values."""
        return Retention(self.keep_history_days, self.keep_deliveries_days, self.keep_audit_days)

    def webhook_may(self) -> Allowed:
        """Return what events may be sent to though it is not public, as plain values."""
        return allowed(self.webhook_allow)

    def runs_below(self) -> tuple[RunsBelow, ...]:
        """Return where object storage tells of runs, as plain values."""
        return tuple(RunsBelow(one.path, one.project, one.marker) for one in self.s3_runs or ())


def load(environment: Mapping[str, str], folder: Path) -> Settings:
    """Return the settings from *environment* and from `modelport.toml` in *folder*, where there is one.

    Raises:
        BadSetting: a value cannot be used, or the file is not TOML.
    """
    known = Settings.model_fields
    given = {key: environment[name] for key in known if (name := PREFIX + key.upper()) in environment}
    try:
        return Settings.model_validate(_from_file(folder / FILE_NAME) | given)
    except ValidationError as exc:
        raise BadSetting(_in_words(exc)) from exc


def check_limits(
    lease_seconds: float, soft_seconds: float | None, hard_seconds: float | None, visibility_seconds: float | None
) -> None:
    """Return where each limit is shorter than the next, so that the mildest comes first; None where a limit is not set.

    A worker leaves behind what hangs, and says so, before its process is told to stop; it is told before it is killed, and
    killed before the broker gives its message to another. Healthy work may outlast the lease, which is renewed when it gets
    on (decision 8).

    Raises:
        BadSetting: a limit is not shorter than the next.
    """
    limits = [
        (f"{PREFIX}LEASE_SECONDS", lease_seconds),
        ("task_soft_time_limit", soft_seconds),
        ("task_time_limit", hard_seconds),
        ("visibility_timeout", visibility_seconds),
    ]
    known = [(name, seconds) for name, seconds in limits if seconds is not None]
    for (name, seconds), (longer, longer_seconds) in pairwise(known):
        if seconds >= longer_seconds:
            raise BadSetting(f"{name}: expected less than {longer}, which is {longer_seconds:g} s, found {seconds:g} s")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as exc:
        raise BadSetting(f"{path}: {exc}") from exc


def _sqlite_file(url: str) -> str:
    """Return the path in the URL of an SQLite database, as SQLAlchemy takes it: percent escapes undone, no query."""
    return unquote(url.removeprefix(SQLITE).partition("?")[0])


def _is_whole_address(url: str) -> bool:
    """Tell whether host and port of *url* can be read: else a password may have ended them, and errors of clients tell it."""
    try:
        parts = urlsplit(url)
        return (parts.port is None or parts.port >= 0) and ("@" in parts.netloc or "@" not in parts.path + parts.fragment)
    except ValueError:
        return False


def _is_secret(text: str) -> bool:
    """Tell whether *text* is a secret as Standard Webhooks writes one, with or without the signs that fill it up."""
    key = text.removeprefix("whsec_")
    try:
        size = len(b64decode(key + "=" * (-len(key) % 4), validate=True))
    except ValueError:
        return False
    return key != text and 24 <= size <= 64


def _check_file(name: str) -> None:
    """Raise unless SQLite takes *name* for that of a file."""
    if not name:
        raise ValueError("expected sqlite:///FILE; no file is named")
    if name.startswith(NO_FILES):
        raise ValueError("expected sqlite:///FILE; a database in memory ends with each command, and a URI is not a file")


def _check_template(path: str) -> None:
    """Raise unless *path* is absolute, its braces hold only fields of an event, no two teams fill a part of it alike, and the
    folder above what senders give is the operator's: a link that a team makes must not be where it begins.
    """
    if is_s3(path):
        _check_place(path)
    elif not path.startswith("/"):
        raise ValueError(f"{path!r}: expected an absolute path or s3://BUCKET/KEY")
    for part in path.split("{")[1:]:
        name, brace, _ = part.partition("}")
        if not brace or name not in FIELDS:
            raise ValueError(f"{path!r}: {{{name}}} is not one of {', '.join(sorted(FIELDS))}")
    if (shared := shared_part(path)) is not None:
        raise ValueError(
            f"{path!r}: expected no other field beside {{team}} in a part; two teams may reach the same place by {shared}"
        )
    first = path.removeprefix(SCHEME).strip("/").partition("/")[0]
    if any(f"{{{name}}}" in first for name in SENDERS):
        raise ValueError(
            f"{path!r}: expected a {'bucket' if is_s3(path) else 'folder'} of yours above {first}, whose name a sender gives"
        )


def _check_place(template: str) -> None:
    """Raise unless *template* names a place on object storage, whatever is filled in."""
    try:
        parse_s3(re.sub(r"\{\w+\}", "filled", template))
    except ValueError as exc:
        raise ValueError(f"{_without_secrets(template)}: {exc}") from exc


def _in_words(exc: ValidationError) -> str:
    lines = []
    for error in exc.errors():
        setting, *inside = (str(part) for part in error["loc"])
        key = ".".join((PREFIX + setting.upper(), *inside))
        found = "what is not shown here" if setting in UNSHOWN else _without_secrets(error["input"])
        lines.append(f"{key}: {_says(error['type'], error['msg'], setting, inside)}, found {found}")
    return "; ".join(lines)


UNSHOWN = frozenset({"webhook_url", "webhook_secret"})
"""Settings of which no message shows anything: many receivers know their senders by the path."""

KEYS: Mapping[str, type[BaseModel]] = {"mounts": MountSetting, "watch": WatchSetting, "s3_runs": RunsSetting}
"""Settings whose values are objects, and the keys of those."""


def _says(kind: str, message: str, setting: str, inside: Sequence[str]) -> str:
    """Return what is wrong with the part *inside* a setting; *kind* is pydantic's word for it."""
    if kind == "model_type":
        return f"expected an object; its keys are {', '.join(KEYS[setting].model_fields)}"
    if kind != "extra_forbidden":
        return message.removeprefix("Value error, ")
    if inside:
        return f"no such key; known are {', '.join(KEYS[setting].model_fields)}"
    return f"no such setting; known are {', '.join(Settings.model_fields)}"


def _without_secrets(value: object) -> str:
    """Return *value* as a message may show it: without the user and the password of a URL."""
    return re.sub(r"://\S*@", "://***@", repr(value))
