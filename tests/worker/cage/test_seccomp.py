"""The filter as the kernel runs it: a small machine for classic BPF, and what it decides on calls."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import pytest

from worker.cage import seccomp
from worker.cage.seccomp import ALLOW, ARCHITECTURES, ERRNO, HIGHEST_KNOWN, KILL, LISTENER, NUMBERS, REFUSED, TOLD, Filter

PID = 4242
REFUSAL = ERRNO | 1
UNKNOWN_CALL = ERRNO | 38
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Return what *program* says of a call. Source: Linux, Documentation/networking/filter.rst."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, *(*arguments, *[0] * (6 - len(arguments))))
    at, accumulator = 0, 0
    while True:
        code, yes, no, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == seccomp.RETURN:
            return int(value)
        elif code == seccomp.JUMP_EQUAL:
            at += yes if accumulator == value else no
        elif code == seccomp.JUMP_GREATER:
            at += yes if accumulator > value else no
        elif code == seccomp.JUMP_ANY_BIT:
            at += yes if accumulator & value else no
        else:
            raise AssertionError(f"{code:#x} is no instruction that is used here")


@pytest.fixture(params=sorted(ARCHITECTURES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def said(machine: str, call: str | int, *arguments: int, heard: bool = False) -> int:
    number = seccomp.number_of(call, machine) if isinstance(call, str) else call
    assert number is not None
    return decide(seccomp.program(Filter(machine, PID, heard)), ARCHITECTURES[machine], number, *arguments)


def test_what_a_model_must_not_have_is_refused(machine: str) -> None:
    for call in REFUSED:
        if seccomp.number_of(call, machine) is not None:
            assert said(machine, call) == REFUSAL, call
            assert said(machine, call, heard=True) == LISTENER, call


def test_what_touches_files_is_told_where_somebody_listens(machine: str) -> None:
    for call in TOLD:
        if seccomp.number_of(call, machine) is not None:
            assert said(machine, call) == ALLOW, call
            assert said(machine, call, heard=True) == LISTENER, call


def test_threads_may_be_made_and_processes_not(machine: str) -> None:
    assert said(machine, "clone", 0x3D0F00) == ALLOW
    assert said(machine, "clone", 17) == REFUSAL
    assert said(machine, "clone3", 0) == UNKNOWN_CALL


@pytest.mark.parametrize("call", ["kill", "tgkill"])
def test_signals_reach_the_process_itself_alone(machine: str, call: str) -> None:
    assert said(machine, call, PID, 6) == ALLOW
    assert said(machine, call, PID + 1, 6) == REFUSAL
    assert said(machine, call, 0xFFFFFFFF, 9) == REFUSAL


def test_nothing_is_typed_into_a_terminal(machine: str) -> None:
    assert said(machine, "ioctl", 0, 0x5412) == REFUSAL
    assert said(machine, "ioctl", 0, 0x5413) == ALLOW


def test_a_call_of_another_processor_ends_the_process(machine: str) -> None:
    assert decide(seccomp.program(Filter(machine, PID, False)), 0x40000003, 1) == KILL


def test_calls_that_nobody_knew_then_are_unknown(machine: str) -> None:
    assert said(machine, HIGHEST_KNOWN + 1) == UNKNOWN_CALL
    assert said(machine, 0x40000000 + 41) == UNKNOWN_CALL  # those of x32 are counted from there


def test_what_is_not_named_is_let_through(machine: str) -> None:
    read, write = {"x86_64": (0, 1), "aarch64": (63, 64)}[machine]
    assert said(machine, read) == said(machine, write) == ALLOW


def test_numbers_are_those_of_the_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    known = {
        found[1]: int(found[2])
        for found in re.finditer(r"#define\s+__NR(?:3264)?_(\w+)\s+(\d+)\s", header.read_text(encoding="utf-8"))
    }
    for call in NUMBERS:
        assert seccomp.number_of(call, machine) == known.get(call), call


def test_every_jump_ends_in_the_program(machine: str) -> None:
    program = seccomp.program(Filter(machine, PID, True))
    lines = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    for place, (code, yes, no, _) in enumerate(lines):
        if code not in (seccomp.LOAD, seccomp.RETURN):
            assert place + 1 + max(yes, no) < len(lines)
    assert lines[-1] == (seccomp.RETURN, 0, 0, ALLOW)
    assert len(lines) < 4096  # BPF_MAXINSNS


def test_a_processor_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        Filter("riscv64", PID, False)


def test_calls_are_named_for_people() -> None:
    assert seccomp.name_of(41, "x86_64") == "socket"
    assert seccomp.name_of(9999, "x86_64") == "call 9999"
    assert os.uname().machine in ARCHITECTURES
