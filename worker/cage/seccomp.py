"""Which system calls a process may still make once a model is about to be loaded in it: a filter for the kernel, as data.

In goes the name of a processor, out come the bytes of a classic BPF program. A call is let through, refused, or let through
and told: what a model may want of a kernel and must not have is *refused*, and what opens or changes files is *told*, since
where they may be opened is decided elsewhere. Where nobody listens, refused is EPERM and told is let through.

The program is as small as its table is long: each call is compared once. It runs in the kernel, some 100 ns a call.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst; the numbers are those of asm/unistd_64.h and
asm-generic/unistd.h, with which a test compares them where they are installed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of linux/audit.h, by what `os.uname` calls the processor."""

NUMBERS: Mapping[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "setns": (308, 268),
    "unshare": (272, 97),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setgroups": (116, 159),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "capset": (126, 91),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "personality": (135, 92),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "creat": (85, None),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "ioctl": (16, 29),
}
"""Every call that is treated specially, with its numbers on x86_64 and on aarch64; None where that processor has none."""

HIGHEST_KNOWN = 450
"""The kernel says of a higher number that it knows no such call: what this table has never heard of is not to be used."""

TOLD = frozenset(
    "open openat openat2 creat mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink "
    "symlinkat".split()
)
"""Calls that are let through and told."""

_BY_ARGUMENT = frozenset(("clone", "clone3", "kill", "tgkill", "ioctl"))

REFUSED = frozenset(NUMBERS) - TOLD - _BY_ARGUMENT
"""Calls that are refused, whatever they are asked. Of those that are not named here, `clone` may make threads and no
processes, `kill` and `tgkill` reach the process itself alone, `ioctl` may not type into a terminal."""

CLONE_THREAD = 0x10000
TIOCSTI = 0x5412
"""Source: linux/sched.h and asm-generic/ioctls.h."""

EPERM, ENOSYS = 1, 38

ALLOW, ERRNO, LISTENER, KILL = 0x7FFF0000, 0x00050000, 0x7FC00000, 0x80000000
"""SECCOMP_RET_ALLOW, _ERRNO, _USER_NOTIF, _KILL_PROCESS."""

LOAD, JUMP_EQUAL, JUMP_GREATER, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
"""BPF_LD|W|ABS; BPF_JMP|JEQ, |JGT and |JSET with a constant; BPF_RET with a constant. Source: linux/bpf_common.h."""

NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT, SECOND_ARGUMENT_AT = 0, 4, 16, 24
"""Offsets in struct seccomp_data; of an argument the lower half, on processors that put it first."""

_INSTRUCTION = struct.Struct("=HBBI")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a filter depends on: the processor, the process that it is for, and whether somebody listens."""

    machine: str
    pid: int
    is_heard: bool

    def __post_init__(self) -> None:
        if self.machine not in ARCHITECTURES:
            raise ValueError(f"expected one of {', '.join(ARCHITECTURES)}, found the processor {self.machine!r}")


def program(wanted: Filter) -> bytes:
    """Return the BPF program of *wanted*: 8 bytes an instruction."""
    refusal = LISTENER if wanted.is_heard else ERRNO | EPERM
    lines = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, ARCHITECTURES[wanted.machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
        (JUMP_GREATER, 0, 1, HIGHEST_KNOWN),
        (RETURN, 0, 0, ERRNO | ENOSYS),
        *_where("clone3", wanted, [(RETURN, 0, 0, ERRNO | ENOSYS)]),  # its flags lie where no filter can see them
        *_where("clone", wanted, _unless((JUMP_ANY_BIT, FIRST_ARGUMENT_AT, CLONE_THREAD), refusal)),
        *_where("kill", wanted, _unless((JUMP_EQUAL, FIRST_ARGUMENT_AT, wanted.pid), refusal)),
        *_where("tgkill", wanted, _unless((JUMP_EQUAL, FIRST_ARGUMENT_AT, wanted.pid), refusal)),
        *_where("ioctl", wanted, _if((JUMP_EQUAL, SECOND_ARGUMENT_AT, TIOCSTI), refusal)),
        *_all(sorted(REFUSED), wanted, refusal),
        *(_all(sorted(TOLD), wanted, LISTENER) if wanted.is_heard else ()),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(_INSTRUCTION.pack(*line) for line in lines)


_Line = tuple[int, int, int, int]


def _where(call: str, wanted: Filter, lines: list[_Line]) -> list[_Line]:
    """Return *lines* behind a jump over them for every other call. They end in a return."""
    number = number_of(call, wanted.machine)
    return [] if number is None else [(JUMP_EQUAL, 0, len(lines), number), *lines]


def _unless(condition: tuple[int, int, int], refusal: int) -> list[_Line]:
    jump, offset, value = condition
    return [(LOAD, 0, 0, offset), (jump, 0, 1, value), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, refusal)]


def _if(condition: tuple[int, int, int], refusal: int) -> list[_Line]:
    jump, offset, value = condition
    return [(LOAD, 0, 0, offset), (jump, 1, 0, value), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, refusal)]


def _all(calls: Iterable[str], wanted: Filter, result: int) -> list[_Line]:
    return [line for call in calls for line in _where(call, wanted, [(RETURN, 0, 0, result)])]


def number_of(call: str, machine: str) -> int | None:
    """Return the number of *call* on *machine*; None where it has no such call."""
    return NUMBERS[call][list(ARCHITECTURES).index(machine)]


def name_of(number: int, machine: str) -> str:
    """Return the call that has this *number* on *machine*, or the number where it is none of ours."""
    return next((call for call in NUMBERS if number_of(call, machine) == number), f"call {number}")
