"""How a process writes its log: one line for each thing that happened, to stderr, as `name='value'` or as JSON.

In goes the least level and the format, nothing comes out; from then on what every module logs is written so, and so is what
libraries say through `logging`. What `worker.bound` binds to a line stands in both. In text, values are shown as Python writes
them, so that a name out of a stranger's folder can neither break the line nor colour the terminal. The time is UTC.

Nobody logs a secret here. Should one get into a message all the same, out of a library's error or a stranger's path, it is
masked by what secrets look like (`masks`); that is the second lock, not the first.

Law (with a test of the same name):
    no line holds what looks like a secret.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.masks import masked

Format = Literal["text", "json"]

FIRST = ("timestamp", "level", "event")
"""What each line begins with."""

OURS = ("celery", "uvicorn")
"""Libraries that tell what this process does. Of all others only warnings are of use: below that they tell of single requests,
with headers and addresses."""


def configure(level: str = "INFO", format: Format = "text") -> None:
    """Let this process log what is of *level*, by its name in `logging`, or worse. Children forked from it do the same."""
    least = logging.getLevelNamesMapping()[level]
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.processors.format_exc_info, _rendering(format)]
    structlog.configure(
        processors=[*common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [*(other for other in root.handlers if not isinstance(other, _Stderr)), handler]
    root.setLevel(max(least, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(capture=True)


def _rendering(format: Format) -> Processor:
    """Return what makes a line of a log out of its fields."""
    as_json, as_text = structlog.processors.JSONRenderer(), structlog.processors.KeyValueRenderer(key_order=FIRST)

    def line(logger: WrappedLogger, method: str, event: EventDict) -> str:
        if format == "text":
            return masked(as_text(logger, method, event))
        written = as_json(logger, method, {name: event.pop(name) for name in FIRST} | dict(event))
        return masked(written if isinstance(written, str) else written.decode())

    return line


class _Stderr(logging.Handler):
    """Writes to what is stderr at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as every handler of `logging`: who logs is not to fail of it
            self.handleError(record)
