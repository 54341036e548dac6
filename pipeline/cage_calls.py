"""The system calls that a decoder may not make: refused by the kernel, with seccomp, whatever code asks for them.

Standard library only. A list of what is refused, not of what is allowed: memory, threads, reading and writing of what
is open already are all that a decoder needs, but under names that differ with each C library.
"""

from __future__ import annotations

import ctypes
import fcntl
import platform
import struct
from collections.abc import Sequence
from typing import Final

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_CLONE_THREAD: Final = 0x00010000
_FIOSETOWN: Final = 0x8901
_SIOCSPGRP: Final = 0x8902

#: x86_64, aarch64: the audit architecture, and which of the two columns below is meant
_MACHINES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
#: refused with EPERM; numbers on x86_64 and aarch64
_DENIED: Final[dict[str, tuple[int, int | None]]] = {
    # sockets
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    # programs, and other processes
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "ptrace": (101, 117),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "setns": (308, 268),
    "unshare": (272, 97),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # memory that no limit counts, or that outlives the process
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # kernel surfaces
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "acct": (163, 89),
    # names in the file system
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "creat": (85, None),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "truncate": (76, 45),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "inotify_add_watch": (254, 27),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
}
#: of these, how C libraries open a file that is there
_OPENS: Final = frozenset({"open", "openat"})
#: allowed with some arguments only; see ``_conditions``
_CLONE: Final = (56, 220)
_CLONE3: Final = (435, 435)
_TGKILL: Final = (234, 131)
_PRLIMIT: Final = (302, 261)
_FCNTL: Final = (72, 25)
_IOCTL: Final = (16, 29)
_F_SETSIG: Final = 10
_F_SETOWN_EX: Final = 15

# the few instructions of the kernel's filter machine that are used
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _GIVE = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
#: the numbers of x86_64's x32 start here
_X32 = 0x40000000

#: code, operand, where to go if it holds and if not: "allow", "refuse", "absent", or how many steps to leave out
Step = tuple[int, int, str | int, str | int]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def filter_calls(libc: ctypes.CDLL, own_pid: int, *, opens: bool = False) -> bool:
    """Have the kernel refuse them from now on, in this thread and those it starts; False where it cannot be done.

    Needs no-new-privileges. own_pid: the process that may be sent signals and given limits: this one. opens: leave the
    opening of files to whatever else denies it.
    """
    known = _MACHINES.get(platform.machine())
    if known is None:
        return False
    code = _assembled(_steps(*known, own_pid, left=_OPENS if opens else frozenset()))
    buffer = ctypes.create_string_buffer(code)
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _steps(machine: int, column: int, own_pid: int, *, left: frozenset[str] = frozenset()) -> list[Step]:
    steps: list[Step] = [
        (_LOAD, _MACHINE_AT, 0, 0),
        (_EQUAL, machine, 0, "refuse"),
        (_LOAD, _NUMBER_AT, 0, 0),
        (_AT_LEAST, _X32, "refuse", 0),
        (_EQUAL, _CLONE3[column], "absent", 0),  # its flags are out of reach here; the C library then takes clone
    ]
    for number, tests in _conditions(column, own_pid):
        steps += [(_EQUAL, number, 0, len(tests)), *tests]
    steps += [
        (_EQUAL, numbers[column] or 0, "refuse", 0)
        for name, numbers in _DENIED.items()
        if numbers[column] is not None and name not in left
    ]
    return steps


def _conditions(column: int, own_pid: int) -> list[tuple[int, list[Step]]]:
    """Return calls that depend on an argument, and the steps that decide it."""
    of_others: list[Step] = [_argument(0), (_EQUAL, own_pid, "allow", "refuse")]
    own_or_self: list[Step] = [_argument(0), (_EQUAL, 0, "allow", 0), (_EQUAL, own_pid, "allow", "refuse")]
    signals = (fcntl.F_SETOWN, _F_SETSIG, _F_SETOWN_EX)  # would have the kernel send any signal to anyone
    return [
        (_CLONE[column], [_argument(0), (_ANY_BIT, _CLONE_THREAD, "allow", "refuse")]),
        (_TGKILL[column], of_others),
        (_PRLIMIT[column], own_or_self),
        (_FCNTL[column], _refuse_second(signals)),
        (_IOCTL[column], _refuse_second((_FIOSETOWN, _SIOCSPGRP))),
    ]


def _refuse_second(values: Sequence[int]) -> list[Step]:
    refused: list[Step] = [(_EQUAL, value, "refuse", 0) for value in values]
    return [_argument(1), *refused, (_GIVE, _ALLOW, 0, 0)]


def _argument(place: int) -> Step:
    return (_LOAD, _ARGUMENTS_AT + 8 * place, 0, 0)  # its lower half: none of these arguments is wider


def _assembled(steps: Sequence[Step]) -> bytes:
    ends = {"allow": len(steps), "refuse": len(steps) + 1, "absent": len(steps) + 2}
    code = b""
    for place, (operation, operand, holds, fails) in enumerate(steps):
        jumps = [ends[to] - place - 1 if isinstance(to, str) else to for to in (holds, fails)]
        code += struct.pack("<HBBI", operation, *jumps, operand)
    return code + b"".join(struct.pack("<HBBI", _GIVE, 0, 0, end) for end in (_ALLOW, _EPERM, _ENOSYS))
