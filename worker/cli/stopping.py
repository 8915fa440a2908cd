"""SIGTERM ends a command as Ctrl-C does, wherever in Python it comes.

In goes nothing and out comes nothing: a handler is set, and a hook for what Python lets nobody catch. What is ended then is for
others.

Law (has a test of the same name):
    no SIGTERM is forgotten.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_SECONDS = 0.05
"""How long after it was dropped a signal comes again: what dropped it has ended by then."""


class Stopped(SystemExit):
    """Leaves with the status of who was ended by a signal, so that what was begun is ended."""


def heed_sigterm() -> None:
    """Let SIGTERM raise `Stopped` in the main thread from now on.

    In a finalizer, or where a weak reference tells that its object is gone, Python says on stderr what is raised and goes on as
    if there had been no signal; a server would then serve until it is killed. There, the signal is sent again a moment later,
    to whoever handles it by then. Source: Python 3.11, `sys.unraisablehook`.
    """
    signal.signal(signal.SIGTERM, _stop)
    sys.unraisablehook = _tell_or_send_again


def _stop(number: int, frame: object) -> NoReturn:
    raise Stopped(128 + number)


def _tell_or_send_again(dropped: UnraisableHookArgs) -> None:
    if not isinstance(dropped.exc_value, Stopped):
        sys.__unraisablehook__(dropped)
        return
    again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
    again.daemon = True
    again.start()
