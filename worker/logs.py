"""How a process writes its log: one line for each thing that happened, its fields as `name='value'`, to stderr.

In goes the least level, nothing comes out; from then on what every module logs is written so. Values are shown as Python
writes them, so that a name out of a stranger's folder can neither break the line nor colour the terminal. The time is UTC.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str = "INFO") -> None:
    """Let this process log what is of *level*, by its name in `logging`, or worse. Children forked from it do the same."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
