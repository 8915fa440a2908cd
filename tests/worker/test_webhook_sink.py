"""What becomes of an event on its way to a receiver: signed, sent to whom it is for, and tried again until it is taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError
from structlog.testing import capture_logs

from detectors.facts import Severity
from tests.contracts.outbox import told_of
from tests.contracts.registry import LATER, register
from tests.servers.postgresql import PostgresServer
from tests.servers.process import free_port, until
from tests.servers.receiver import Message, Receiver, doorkeeper, receiver
from tests.worker.api.conftest import StandingClock
from tests.worker.conftest import json_of
from tests.worker.test_cli_queue import CALL
from tests.worker.test_deliver import Died
from tests.worker.test_guarded_network import ARRIVING, OTHERS, ZONE
from tests.worker.test_webhook_words import finding, notices
from worker.bootstrap import embedded
from worker.cli import run
from worker.deliver import Deliverer, examine, retry
from worker.delivery import LEASE_SECONDS, DeliveryQuery, DeliveryState
from worker.errors import BadSetting, NotTaken, ServerUnavailable
from worker.ports import Notice
from worker.public_addresses import Allowed, allowed
from worker.registry.clock import RegistryClock
from worker.registry.memory import MemoryRegistry
from worker.webhook_sink import WANTS, Webhook, trusted, webhook

OLD, NEW, STRANGER = (f"whsec_{text * 12}" for text in ("b2xk", "bmV3", "eHh4"))

HERE = allowed(["127.0.0.0/8"])


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as kept:
        yield kept


@pytest.fixture
def notice() -> Notice:
    return notices(finding(Severity.HIGH))[0]


def sink(url: str, secrets: str = NEW, may: Allowed = HERE, **more: object) -> Webhook:
    made = webhook(url, secrets, may, lambda: datetime.now(UTC), "https://models.example.org")
    return replace(made, **more)  # type: ignore[arg-type]


def at(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda host, port: list(addresses)


# What is sent


def test_an_event_is_posted_whole_and_signed(other: Receiver, notice: Notice) -> None:
    assert sink(other.url()).take(notice) == f"http://127.0.0.1:{other.port} says 204 No Content"
    [message] = other.messages
    assert message.path == "/hook?key=t0p"
    assert message.headers["content-type"] == "application/cloudevents+json"
    assert message.headers["host"] == f"127.0.0.1:{other.port}"
    assert message.headers["webhook-id"] == notice.delivery.id
    assert abs(int(message.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 30
    event = Verifier(NEW).verify(message.body, dict(message.headers))
    assert (event["id"], event["type"]) == (notice.delivery.id, "modelport.version.registered")
    with pytest.raises(WebhookVerificationError):
        Verifier(NEW).verify(message.body + b" ", dict(message.headers))


def test_every_secret_signs(other: Receiver, notice: Notice) -> None:
    """So that receivers change to a new one when it suits them."""
    sink(other.url(), f" {OLD}  {NEW} ").take(notice)
    [message] = other.messages
    assert message.headers["webhook-signature"].count("v1,") == 2
    for secret in (OLD, NEW):
        Verifier(secret).verify(message.body, dict(message.headers))
    with pytest.raises(WebhookVerificationError):
        Verifier(STRANGER).verify(message.body, dict(message.headers))


def test_each_try_has_the_same_id_and_body_and_a_time_and_a_signature_of_its_own(other: Receiver, notice: Notice) -> None:
    for seconds in (0, 600):
        sink(other.url(), now=lambda seconds=seconds: LATER + timedelta(seconds=seconds)).take(notice)
    first, second = other.messages
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    times = [int(one.headers["webhook-timestamp"]) for one in (first, second)]
    assert times == [int(LATER.timestamp()), int(LATER.timestamp()) + 600]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_what_was_deleted_is_not_told(other: Receiver, notice: Notice) -> None:
    assert sink(other.url()).take(replace(notice, version=None, metrics=None)) == "it was deleted before it was told"
    assert other.messages == []


# What is answered


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_yes(other: Receiver, notice: Notice, status: int) -> None:
    other.answer = lambda message: (status, {})
    assert sink(other.url()).take(notice).startswith(f"http://127.0.0.1:{other.port} says {status}")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 408, 413, 425, 429, 500, 502, 503, 504, 599])
def test_what_is_not_a_2xx_is_tried_again_but_for_a_410(other: Receiver, notice: Notice, status: int) -> None:
    other.answer = lambda message: (status, {})
    with pytest.raises(ServerUnavailable, match=f" says {status}"):
        sink(other.url()).take(notice)
    other.answer = lambda message: (410, {})
    with pytest.raises(NotTaken, match=r" says 410 Gone$"):
        sink(other.url()).take(notice)


def test_no_redirect_is_followed(other: Receiver, notice: Notice) -> None:
    with receiver() as elsewhere:
        other.answer = lambda message: (307, {"Location": elsewhere.url()})
        with pytest.raises(ServerUnavailable, match="says 307 Temporary Redirect, and where it sends us nobody looked at"):
            sink(other.url()).take(notice)
        assert elsewhere.messages == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"])
def test_no_proxy_is_asked(other: Receiver, notice: Notice, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with receiver() as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        sink(other.url()).take(notice)
        assert (len(proxy.messages), len(other.messages)) == (0, 1)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (format_datetime(LATER.replace(microsecond=0) + timedelta(seconds=90), usegmt=True), 89.876544),
        (format_datetime(LATER - timedelta(days=1), usegmt=True), 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("9" * 400, 999_999_999.0),
        ("Fri, 99 Foo 2026 25:61:61 GMT", 0.0),
    ],
)
def test_it_is_heard_when_to_come_again(other: Receiver, notice: Notice, said: str, seconds: float) -> None:
    other.answer = lambda message: (503, {"Retry-After": said})
    with pytest.raises(ServerUnavailable) as raised:
        sink(other.url(), now=lambda: LATER).take(notice)
    assert raised.value.after_seconds == pytest.approx(seconds, abs=0.001)


def test_nothing_of_an_answer_is_shown_and_its_body_is_not_read(notice: Notice) -> None:
    """A receiver that never ends its answer has taken the message; its words stand nowhere."""

    def answer(message: Message) -> tuple[int, Mapping[str, str]]:
        return 200, {"Content-Length": "99999999999", "X-Words": "of theirs"}

    with receiver() as other:
        other.answer = answer
        assert sink(other.url()).take(notice) == f"http://127.0.0.1:{other.port} says 200 OK"


def test_no_message_holds_what_is_secret_in_the_address(other: Receiver, notice: Notice) -> None:
    other.answer = lambda message: (500, {})
    away = f"http://127.0.0.1:{free_port()}/hook?key=t0p"
    for made in (sink(other.url()), sink(away), sink(other.url(), may=Allowed())):
        with pytest.raises(ServerUnavailable) as raised:
            made.take(notice)
        assert "t0p" not in str(raised.value)
        assert "/hook" not in str(raised.value)
        assert "t0p" not in repr(made)
        assert NEW not in repr(made)


def test_what_is_no_address_stops_the_start() -> None:
    for url in ("https://[::1/", "https://é..b/", "https://hooks/\0", "https://hooks:port/"):
        with pytest.raises(BadSetting, match=r"^MODELPORT_WEBHOOK_URL: "):
            sink(url)


# Whom it is sent to


IN_OTHER_LETTERS = [
    "127。0。0。1",
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127.0.0.1.",
    "127.0.0.1%00.example.org",
    "[::ffff:127.0.0.1%25lo]",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_not_public_is_sent_nothing_however_it_is_written(notice: Notice, scheme: str) -> None:
    forms = [*ARRIVING, *OTHERS]
    hosts = [f"[{form}]" if ":" in form else form for form in forms] + IN_OTHER_LETTERS
    assert len(hosts) >= 30
    with doorkeeper() as door:
        for host in hosts:
            for say in (Webhook.check, lambda made: made.take(notice)):
                with pytest.raises((ServerUnavailable, BadSetting), match=r"nothing is sent to|has no address|expected https"):
                    say(sink(f"{scheme}://{host}:{door.port}/", may=Allowed(), resolve=ZONE))
        socket.create_connection(("127.0.0.1", door.port)).close()  # whoever came before is counted before
        assert until(lambda: door.visits > 0, 5)
        assert door.visits == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_it_is_said_why_nothing_is_sent(notice: Notice, scheme: str) -> None:
    made = sink(f"{scheme}://127.0.0.1:8080/", may=Allowed())
    for ask in (lambda: made.take(notice), made.check):
        with pytest.raises(ServerUnavailable) as raised:
            ask()
        assert str(raised.value) == (
            f"nothing is sent to {scheme}://127.0.0.1:8080: 127.0.0.1 is loopback; MODELPORT_WEBHOOK_ALLOW names "
            "what may be sent to besides public addresses over https"
        )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def by_tls(authority: trustme.CA, *names: str) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    with receiver(context) as kept:
        yield kept


def trusting(authority: trustme.CA) -> Callable[[], ssl.SSLContext]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return lambda: context


def by_name(other: Receiver, authority: trustme.CA, **more: object) -> Webhook:
    """Return the receiver as `hooks.example.test`, which is at 127.0.0.1."""
    url = other.url("hooks.example.test", "https")
    return sink(url, may=allowed(["hooks.example.test"]), trusts=trusting(authority), resolve=at("127.0.0.1"), **more)


def test_by_tls_the_certificate_is_compared_with_the_name(authority: trustme.CA, notice: Notice) -> None:
    """Though it is an address that is connected to."""
    with by_tls(authority, "hooks.example.test") as other:
        made = by_name(other, authority)
        assert made.take(notice) == f"https://hooks.example.test:{other.port} says 204 No Content"
        assert made.check().startswith(f"https://hooks.example.test:{other.port} answers; ")
        assert set(other.asked_for) == {"hooks.example.test"}
        assert [one.headers["host"] for one in other.messages] == [f"hooks.example.test:{other.port}"]
        Verifier(NEW).verify(other.messages[0].body, dict(other.messages[0].headers))


@pytest.mark.parametrize("names", [("127.0.0.1",), ("other.example.test",), ("example.test",)])
def test_a_certificate_for_another_name_or_for_the_address_is_none(
    authority: trustme.CA, notice: Notice, names: tuple[str, ...]
) -> None:
    with by_tls(authority, *names) as other:
        made = by_name(other, authority)
        for ask in (lambda: made.take(notice), made.check):
            with pytest.raises(ServerUnavailable, match=r"does not answer: .*CERTIFICATE_VERIFY_FAILED.*ostname mismatch"):
                ask()
        assert other.messages == []


def test_a_certificate_that_nobody_vouches_for_is_none(authority: trustme.CA, notice: Notice) -> None:
    with by_tls(trustme.CA(), "hooks.example.test") as other:
        with pytest.raises(ServerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            by_name(other, authority).take(notice)
        assert other.messages == []


def test_an_authority_of_ones_own_is_trusted_where_the_environment_names_it(
    authority: trustme.CA, notice: Notice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with by_tls(authority, "hooks.example.test") as other:
        trusted.cache_clear()
        with pytest.raises(ServerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            replace(by_name(other, authority), trusts=trusted).take(notice)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        trusted.cache_clear()
        assert replace(by_name(other, authority), trusts=trusted).take(notice).endswith("says 204 No Content")
        trusted.cache_clear()


@pytest.fixture
def untrusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the file that names who is trusted, which is not there."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    trusted.cache_clear()
    yield tmp_path / "ca.pem"
    trusted.cache_clear()


# From the outbox


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry(destinations={"webhook": WANTS})


def test_one_that_is_killed_between_telling_and_noting_is_told_again_under_the_same_id(
    other: Receiver, registry: MemoryRegistry
) -> None:
    register(registry)

    def die(step: str) -> None:
        raise Died

    told, clock = {"webhook": sink(other.url())}, StandingClock()
    clock.sleep(2)
    with pytest.raises(Died):
        Deliverer(registry, told, clock, "dead", step=die).work_off()
    clock.sleep(LEASE_SECONDS)
    assert Deliverer(registry, told, clock, "next").work_off() == 2
    first, second = told_of(registry)
    assert other.ids() == [first.id, first.id, second.id]
    assert [(one.kind.value, one.state, one.attempts) for one in (first, second)] == [
        ("version.registered", DeliveryState.DELIVERED, 2),
        ("finding.raised", DeliveryState.DELIVERED, 1),
    ]


def test_what_was_taken_is_sent_again_under_its_id_where_a_person_says_so(other: Receiver, registry: MemoryRegistry) -> None:
    register(registry)
    deliverer = Deliverer(registry, {"webhook": sink(other.url())}, RegistryClock(lambda: LATER), "me")
    assert deliverer.work_off() == 2
    retry(registry, "default", told_of(registry)[1].id, LATER)
    assert deliverer.work_off() == 1
    assert other.ids()[2] == other.ids()[1] != other.ids()[0]
    assert other.messages[2].body == other.messages[1].body


def test_what_is_refused_waits_and_goes_when_it_is_allowed(other: Receiver, registry: MemoryRegistry) -> None:
    register(registry)
    shut, open_ = sink(other.url(), may=Allowed()), sink(other.url())
    with capture_logs() as logs:
        assert Deliverer(registry, {"webhook": shut}, RegistryClock(lambda: LATER), "me").work_off() == 0
    assert [(one["event"], "MODELPORT_WEBHOOK_ALLOW" in one["why"]) for one in logs] == [("not delivered yet", True)]
    assert [one.state for one in told_of(registry)] == [DeliveryState.WAITING] * 2
    later = LATER + timedelta(seconds=10)
    assert Deliverer(registry, {"webhook": open_}, RegistryClock(lambda: later), "me").work_off() == 2


def test_what_cannot_be_told_for_want_of_certificates_waits_and_goes_when_they_are_there(
    authority: trustme.CA, registry: MemoryRegistry, untrusting: Path
) -> None:
    register(registry)
    clock = StandingClock()
    with by_tls(authority, "hooks.example.test") as other:
        told = {"webhook": replace(by_name(other, authority), trusts=trusted)}
        deliverer = Deliverer(registry, told, clock, "me")
        for content, why in ((None, "No such file"), (b"no certificate", "NO_CERTIFICATE")):
            if content is not None:
                untrusting.write_bytes(content)
            clock.sleep(3600)
            assert deliverer.work_off() == 0
            assert {one.state for one in told_of(registry)} == {DeliveryState.WAITING}
            [check] = [one for one in examine(deliverer) if one.name == "webhook"]
            assert check.state == "trouble"
            assert f"from SSL_CERT_FILE={untrusting}: " in check.says
            assert why in check.says
        authority.cert_pem.write_to_path(untrusting)
        clock.sleep(3600)
        assert deliverer.work_off() == 2


# By the settings, in processes


@pytest.fixture
def set_up(home: Path, other: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("MODELPORT_WEBHOOK_URL", other.url())
    monkeypatch.setenv("MODELPORT_WEBHOOK_SECRET", NEW)
    monkeypatch.setenv("MODELPORT_WEBHOOK_ALLOW", '["127.0.0.1"]')
    return other


def test_a_command_tells_what_it_registers_and_doctor_asks_whether_anybody_is_there(
    set_up: Receiver, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = json_of(capsys, "ingest", model, "--experiment", "net")["version"]
    [row] = json_of(capsys, "deliveries", "list", "--destination", "webhook")["deliveries"]
    assert (row["state"], row["kind"], row["versionId"]) == ("delivered", "version.registered", version["id"])
    [message] = set_up.messages
    said = Verifier(NEW).verify(message.body, dict(message.headers))
    assert (said["id"], said["data"]["version"]["id"], said["data"]["ingestion"]["state"]) == (
        row["id"],
        version["id"],
        "registered",
    )
    assert json_of(capsys, "deliveries", "list", "--destination", "mlflow")["deliveries"] == []
    checks = {one["name"]: one for one in json_of(capsys, "doctor")["checks"]}
    assert checks["webhook"]["state"] == "ok"
    [again] = json_of(capsys, "deliveries", "retry", row["id"])["deliveries"]
    assert (again["state"], set_up.ids()) == ("delivered", [row["id"]] * 2)
    monkeypatch.delenv("MODELPORT_WEBHOOK_ALLOW")
    checks = {one["name"]: one for one in json_of(capsys, "doctor", status=1)["checks"]}
    assert checks["webhook"]["state"] == "trouble"
    assert "127.0.0.1 is loopback; MODELPORT_WEBHOOK_ALLOW names" in checks["webhook"]["says"]
    assert len(set_up.messages) == 2


def test_a_command_that_fails_tells_so(set_up: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ingest", str(tmp_path / "nowhere"), "--experiment", "net"]) == 2
    [message] = set_up.messages
    said = json.loads(message.body)
    assert (said["type"], said["data"]["ingestion"]["state"]) == ("modelport.ingestion.failed", "failed")
    assert (said["subject"], said["data"]["version"]) == (said["data"]["ingestion"]["id"], None)
    assert run(["deliveries", "list"]) == 0
    assert f"ingestion.failed {said['subject']}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_process_that_is_killed_while_it_tells_is_followed_by_one_that_tells_again(
    set_up: Receiver, model: Path, database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver has the message, and kills the sender before it answers."""
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        monkeypatch.setenv("MODELPORT_DATABASE_URL", server.create_database("killed_while_it_tells"))
        subprocess.run([*CALL, "migrate"], check=True, timeout=90, capture_output=True)
    victims: list[subprocess.Popen[bytes]] = []

    def kill(message: Message) -> tuple[int, Mapping[str, str]]:
        assert until(lambda: bool(victims), 10)
        os.kill(victims[0].pid, signal.SIGKILL)
        victims[0].wait(10)
        return 204, {}

    set_up.answer = kill
    victims.append(subprocess.Popen([*CALL, "ingest", str(model), "--experiment", "net"], stderr=subprocess.DEVNULL))
    assert until(lambda: victims[0].returncode == -signal.SIGKILL, 60)
    set_up.answer = lambda message: (204, {})
    with embedded(os.environ, Path.cwd()) as service:
        [told] = service.registry.outbox.deliveries(DeliveryQuery("default"))
        assert told.state is DeliveryState.RUNNING
        assert told.due is not None
        after = RegistryClock(lambda: told.due)
        assert Deliverer(service.registry, service.rounds.deliverer.destinations, after, "next").work_off() == 1
        [told] = service.registry.outbox.deliveries(DeliveryQuery("default"))
    assert (told.state, told.attempts, set_up.ids()) == (DeliveryState.DELIVERED, 2, [told.id] * 2)
    assert set_up.messages[0].body == set_up.messages[1].body
