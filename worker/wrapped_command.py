"""A command of somebody else's, run as if nothing stood between it and whoever started us.

In go the words of the command and its environment; out comes the exit status a shell would show. Standard input, output and
error are the command's own, signals go on to it, and its end is never missed, however it ends. What a run that has ended means
is for the caller, who is told while signals are still held back, so that what must not be lost can be written in peace. With
`stop_once` and `ignore_signals` no signal changes the status afterwards either.

Laws (each has a test of the same name):
    a signal sent to us reaches the command once;
    the exit status is the command's own, or 128 and the signal that ended it;
    no signal comes between the end of the command and the word of it;
    after `stop_once` no signal that can be caught ends the process, and only the first one raises.

Linux only: who sent a signal is told by `sigwaitinfo`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import NoReturn

LEFT_ALONE = {
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGURG,
    signal.SIGWINCH,
}
"""What ends nobody: ignored by default, or about stopping and going on. Source: signal(7), "Standard signals"."""

UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}

ENDING: frozenset[int] = frozenset(signal.valid_signals() - LEFT_ALONE - UNCATCHABLE)
"""What ends a process by default and can be caught. Schedulers, shells and people send any of them, to end a run or to have it
save its state; the real-time ones too.
"""

FAULTS = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}
"""What the kernel raises where a program is broken. A handler in Python would return to the fault and meet it again for ever;
where they are ignored, one that somebody sent does nothing, and a real one ends the process all the same.
"""

SI_KERNEL = 0x80
"""Sent by the kernel: Ctrl-C at a terminal, which reaches the command by itself. Source: asm-generic/siginfo.h."""

LOOK_SECONDS = 1.0
"""How often it is looked whether the command lives, should the word of its end have gone to another thread."""

NOT_FOUND, NOT_STARTED, KILLED = 127, 126, 128
"""Exit statuses of POSIX shells: no such command, one that cannot be started, and what is added to the number of a signal."""


def run_command(command: tuple[str, ...], environment: Mapping[str, str], ended: Callable[[int], None]) -> int:
    """Run *command*, and return its exit status after *ended* was called with it.

    Call it from the main thread. Signals that come while *ended* runs wait until it has returned, and are then met as usual.

    Raises:
        OSError: the command could not be started; *ended* was not called.
    """
    waited = {number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN} | {signal.SIGCHLD}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, the kernel forgets how children ended
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    try:
        child = _start(command, environment, before)
        status = _status_of(_wait(child, waited))
        _forget(waited)
        ended(status)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return status


def stop_once() -> None:
    """From now on the first signal that would end this process raises SystemExit instead, and any after it does nothing.

    For a process that only has something left to do before it exits: called by *ended*, so that no signal comes before it, and
    never undone. What is ignored stays ignored.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_IGN if number in FAULTS else _stop)


def ignore_signals() -> None:
    """From now on no signal that can be caught ends this process, not even while Python takes itself down."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, frame: object) -> NoReturn:
    ignore_signals()
    raise SystemExit(KILLED + number)


def status_without_start(exc: OSError) -> int:
    """Return the status with which a shell would end where a command cannot be started because of *exc*."""
    return NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_STARTED


def _start(command: tuple[str, ...], environment: Mapping[str, str], mask: set[int | signal.Signals]) -> int:
    """Start *command* with the signals as they were before Python and we changed them; return its process."""
    changed_by_python = (signal.SIGPIPE, signal.SIGXFSZ)
    return os.posix_spawnp(command[0], command, environment, setsigmask=mask, setsigdef=changed_by_python)


def _wait(child: int, waited: set[int]) -> int:
    """Pass signals on to *child* until it ends; return its status as wait(2) gives it."""
    while True:
        told = signal.sigtimedwait(waited, LOOK_SECONDS)
        if told is not None and told.si_signo != signal.SIGCHLD and told.si_code != SI_KERNEL:
            os.kill(child, told.si_signo)
        if (status := _end_of(child)) is not None:
            return status


def _end_of(child: int) -> int | None:
    """Return the status of *child* where it has ended, None where it runs.

    As process 1 of a container we inherit the orphans of others, which want to be waited for too.
    """
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            return status
        if pid == 0:
            return None


def _status_of(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return KILLED - code if code < 0 else code


def _forget(waited: set[int]) -> None:
    """Drop the signals that were meant for a command which has ended."""
    while signal.sigtimedwait(waited, 0) is not None:
        pass
