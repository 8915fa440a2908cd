"""The lines of a log, as whoever reads them meets them."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator

import pytest
import structlog

from worker import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_a_line_holds_time_level_event_and_fields_and_cannot_be_broken(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger("x").info("claimed", path="/runs/\x1b[2J\nall is well", attempt=1)
    said = capsys.readouterr()
    assert said.out == ""
    when, rest = said.err.split(" ", 1)
    assert re.fullmatch(r"timestamp='20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z'", when)
    assert rest == "level='info' event='claimed' path='/runs/\\x1b[2J\\nall is well' attempt=1\n"


def test_a_line_of_json_is_one_object_that_begins_alike(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    structlog.get_logger("x").info("claimed", path="/runs/\x1b[2J\nall is well", attempt=1)
    said = json.loads(capsys.readouterr().err)
    assert list(said) == ["timestamp", "level", "event", "path", "attempt"]
    assert (said["event"], said["path"], said["attempt"]) == ("claimed", "/runs/\x1b[2J\nall is well", 1)


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_a_library_says_is_bound_and_written_alike(format: logs.Format, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", format)
    with structlog.contextvars.bound_contextvars(ingestion="in1"):
        logging.getLogger("botocore.retries").warning("tried %d times\n", 3)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert ("event='tried 3 times\\n' ingestion='in1'" in lines[0]) is (format == "text")
    if format == "json":
        said = json.loads(lines[0])
        assert (said["event"], said["ingestion"], said["logger"]) == ("tried 3 times\n", "in1", "botocore.retries")


def test_a_traceback_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    for log in (structlog.get_logger("x"), logging.getLogger("celery.worker")):
        try:
            raise ValueError("wrong\nin two lines")
        except ValueError:
            log.exception("unforeseen")
        said = json.loads(capsys.readouterr().err)
        assert (said["level"], said["event"]) == ("error", "unforeseen")
        assert said["exception"].endswith("ValueError: wrong\nin two lines")


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("WARNING")
    log = structlog.get_logger("x")
    log.info("claimed")
    log.warning("freed")
    logging.getLogger("celery.worker").info("ready")
    assert [line.split("event=")[1] for line in capsys.readouterr().err.splitlines()] == ["'freed'"]


def test_libraries_do_not_tell_of_single_requests(capsys: pytest.CaptureFixture[str]) -> None:
    """Below a warning they write headers and addresses."""
    logs.configure("DEBUG")
    for name in ("botocore.auth", "httpx", "httpcore.http11", "urllib3.connectionpool"):
        logging.getLogger(name).info("Authorization: x")
        logging.getLogger(name).debug("Authorization: x")
    assert capsys.readouterr().err == ""


def test_who_configures_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logs.configure()
    logging.getLogger("x").warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_a_warning_of_python_is_a_line_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("you are root", stacklevel=1)
    assert "you are root" in json.loads(capsys.readouterr().err)["event"]


CANARY = "c4n4ryC4N4RYc4n4ryC4N4RYc4n4ryC4N4RYc4n4ryC4N4RYC"


@pytest.mark.parametrize(
    "said",
    [
        f"redis://user:{CANARY}@broker:6379/0",
        f"postgresql://{CANARY}@host/name",
        f"https://user:{CANARY}@mlflow/api did not answer",
        f"mp_{CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"https://b.s3.amazonaws.com/k?X-Amz-Algorithm=A&X-Amz-Credential={CANARY}&X-Amz-Signature={CANARY}",
        f"/mlModels/files/default/mo1/model.onnx?expires=1&signature={CANARY}",
        f"X-Amz-Security-Token={CANARY}&x=1",
        f"MODELPORT_WEBHOOK_SECRET={CANARY}",
        f"/sign-in?once={CANARY}",
    ],
)
def test_no_line_holds_what_looks_like_a_secret(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    for format in ("text", "json"):
        logs.configure("INFO", format)
        structlog.get_logger("x").error("cannot", why=said, all=[said])
        logging.getLogger("x").error("cannot %s", said)
        try:
            raise RuntimeError(said)
        except RuntimeError:
            structlog.get_logger("x").exception("unforeseen")
        lines = capsys.readouterr().err
        assert lines.count("***") >= 4
        assert CANARY not in lines
        if format == "json":
            assert len([json.loads(line) for line in lines.splitlines()]) == 3
