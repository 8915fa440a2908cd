"""A wrapped command: real children, real signals, and the statuses that a shell would show."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.process import is_running, until
from worker.wrapped_command import ENDING, run_command, status_without_start

WRAP = """
import os, signal, sys
from worker.wrapped_command import run_command
def ended(status):
    print("ended", status, flush=True)
    if os.environ.get("SIGNAL_MEANWHILE"):
        os.kill(os.getpid(), signal.SIGTERM)
        print("still here", flush=True)
sys.exit(run_command(tuple(sys.argv[1:]), os.environ, ended))
"""

DELIVER = """
import os, signal, sys, time
from worker.wrapped_command import ignore_signals, run_command, stop_once
number, stopped = int(sys.argv[1]), False
def ended(status):
    stop_once()
    os.kill(os.getpid(), number)
try:
    run_command(("true",), os.environ, ended)
    time.sleep(0.01)
except SystemExit:
    stopped = True
for again in (signal.SIGTERM, number):
    try:
        os.kill(os.getpid(), again)
        time.sleep(0.01)
    except SystemExit:
        stopped = True
ignore_signals()
os.kill(os.getpid(), number)
print(stopped, flush=True)
sys.exit(7)
"""
"""A command ends; then *number* comes while signals are held back, again after SIGTERM, and once more at the very end."""

NEVER_CAUGHT = {"SIGKILL", "SIGSTOP"}
NEVER_ENDING = {"SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"}

TRAPPING = "trap 'echo caught TERM; exit 9' TERM; echo ready; while :; do sleep 0.05; done"

GLIBCS_OWN = 0b11 << 31
"""Signals 32 and 33, which glibc keeps to itself."""


def wrapped(*command: str, **options: object) -> subprocess.Popen[str]:
    call = [sys.executable, "-c", WRAP, *command]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload,no-any-return]


def output_of(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    said, _ = process.communicate(timeout=30)
    return process.returncode, said.splitlines()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 77", 77),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("kill -SEGV $$", 139),
    ],
)
def test_the_exit_status_is_the_commands_own_or_128_and_the_signal_that_ended_it(script: str, status: int) -> None:
    told: list[int] = []
    assert run_command(("sh", "-c", script), os.environ, told.append) == status
    assert told == [status]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT, signal.SIGALRM, signal.SIGABRT]
)
def test_a_signal_sent_to_us_reaches_the_command_once(number: signal.Signals) -> None:
    counting = (
        f"trap 'n=$((n+1)); echo caught $n; sleep 0.3; exit $n' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    )
    process = wrapped("bash", "-c", counting)
    assert line(process) == "ready"
    process.send_signal(number)
    assert output_of(process) == (1, ["caught 1", "ended 1"])


def test_ctrl_c_at_a_terminal_reaches_the_command_once() -> None:
    """The terminal itself sends it to every process of the foreground; it is not sent a second time."""
    ours, theirs = pty.openpty()
    counting = "trap 'n=$((n+1)); echo caught $n' INT; echo ready; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done; exit $n"
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-c", WRAP, "bash", "-c", counting], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""
    while b"ready" not in said:
        said += os.read(ours, 1000)
    os.write(ours, b"\x03")
    assert process.wait(30) == 1
    os.close(ours)


def test_no_signal_comes_between_the_end_of_the_command_and_the_word_of_it() -> None:
    process = wrapped("true", env=os.environ | {"SIGNAL_MEANWHILE": "1"})
    assert output_of(process) == (-signal.SIGTERM, ["ended 0", "still here"])


def test_a_signal_for_a_command_that_has_ended_is_forgotten() -> None:
    """A scheduler signals every process of a job: the command ends by its own signal, and ours came for nobody."""
    process = wrapped("bash", "-c", "echo $$; sleep 0.2; exit 3")
    pid = int(line(process))
    process.send_signal(signal.SIGSTOP)
    assert until(lambda: not is_running(pid), 10)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert output_of(process) == (3, ["ended 3"])


def test_a_command_that_catches_a_signal_may_end_as_it_likes() -> None:
    process = wrapped("bash", "-c", TRAPPING)
    assert line(process) == "ready"
    process.terminate()
    assert output_of(process) == (9, ["caught TERM", "ended 9"])


def test_what_was_ignored_before_stays_ignored() -> None:
    """As under nohup: neither we nor the command end by a hang-up."""
    process = wrapped(
        "bash", "-c", "echo ready; sleep 0.5; exit 4", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    assert line(process) == "ready"
    process.send_signal(signal.SIGHUP)
    assert output_of(process) == (4, ["ended 4"])


def test_the_command_gets_signals_as_a_shell_would_give_them() -> None:
    """Python ignores SIGPIPE, and we hold signals back; the command does neither."""
    look = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
    told = subprocess.run([sys.executable, "-c", WRAP, *look], capture_output=True, text=True).stdout.split()
    blocked, ignored = int(told[1], 16), int(told[3], 16) & ~GLIBCS_OWN
    assert (blocked, ignored) == (0, 0)


def test_the_end_of_an_orphan_is_not_the_end_of_the_command() -> None:
    process = wrapped("bash", "-c", "(sleep 0.1; exit 5) & sleep 0.5; exit 6")
    assert output_of(process) == (6, ["ended 6"])


def test_what_cannot_be_started_is_told_as_a_shell_tells_it(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for command, status in [("/nowhere/train", 127), (str(tmp_path / "text"), 126), (str(tmp_path), 126)]:
        with pytest.raises(OSError) as raised:
            run_command((command,), os.environ, pytest.fail)
        assert status_without_start(raised.value) == status


def test_signals_are_as_before_when_it_returns() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    run_command(("true",), os.environ, lambda status: None)
    with pytest.raises(FileNotFoundError):
        run_command(("/nowhere/train",), os.environ, pytest.fail)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_command_that_was_stopped_goes_on() -> None:
    process = wrapped("bash", "-c", "echo $$; sleep 0.3; exit 2")
    pid = int(line(process))
    os.kill(pid, signal.SIGSTOP)
    assert not until(lambda: process.poll() is not None, 0.6)
    os.kill(pid, signal.SIGCONT)
    assert output_of(process) == (2, ["ended 2"])


def test_every_signal_that_can_be_caught_and_ends_a_process_is_among_them() -> None:
    """As signal(7) lists them, with the real-time ones."""
    named = {number.name for number in ENDING if isinstance(number, signal.Signals)}
    assert {"SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGXCPU", "SIGALRM", "SIGIO", "SIGPWR"} <= named
    assert not named & (NEVER_CAUGHT | NEVER_ENDING)
    assert set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1)) <= ENDING


@pytest.mark.parametrize("name", ["INT", "TERM", "USR1", "HUP", "QUIT", "XCPU", "ALRM", "RTMIN"])
def test_after_stop_once_no_signal_that_can_be_caught_ends_the_process_and_only_the_first_one_raises(name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    done = subprocess.run([sys.executable, "-c", DELIVER, str(int(number))], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (7, "True\n", "")


def test_a_fault_that_somebody_sent_after_stop_once_does_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", DELIVER, str(int(signal.SIGSEGV))], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (7, "")


def test_a_real_fault_after_stop_once_ends_the_process() -> None:
    broken = "import ctypes; from worker.wrapped_command import stop_once; stop_once(); ctypes.string_at(0)"
    assert subprocess.run([sys.executable, "-c", broken], capture_output=True, timeout=30).returncode == -signal.SIGSEGV
