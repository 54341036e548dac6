"""What the decoding process gives up before it opens anything: memory, files, network, privileges, a life of its own.

Standard library only. Every protection is tried and then checked by trying to break it; ``in_force`` tells what held.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import resource
import signal
import socket
import struct
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_RESTRICT: Final = 446
#: answers fit in memory files and pipes; the only file it may grow is its own standard error
_MAX_FILE_BYTES: Final = 1 << 20
_MAX_DESCRIPTORS: Final = 64

#: system calls no decoder needs, per machine: sockets, programs, other processes, kernel surfaces
_DENIED: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "x86_64": (
        0xC000003E,
        (41, 42, 43, 49, 50, 57, 58, 59, 62, 101, 155, 161, 165, 166, 175, 176, 200, 240, 246, 248, 249, 250, 272,
         288, 298, 304, 308, 310, 311, 313, 321, 322, 323, 424, 425, 426, 427, 434, 438),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 200, 201, 202, 203, 242, 221, 281, 117, 270, 271, 129, 130, 97, 268, 40, 39, 41, 51, 280, 241, 282,
         217, 218, 219, 265, 104, 105, 106, 273, 180, 424, 425, 426, 427, 434, 438),
    ),
}  # fmt: skip


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def die_with(life: int, parent: int, *, main_thread: bool) -> None:
    """Have the kernel kill this process when its parent ends.

    life: read end of a pipe whose other end only the parent holds; its closing raises SIGKILL here even when
    this process is stopped or stuck. parent: the expected parent process. The parent-death signal is sent
    when the *thread* that started us ends, so it is asked for only where that thread was the main one.
    """
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    if main_thread:
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        gone = os.read(life, 1) == b""  # it may have ended before the lines above
    except BlockingIOError:
        gone = False
    if gone or (main_thread and os.getppid() != parent):
        os._exit(1)


def leave_network() -> bool:
    """Move into an empty network namespace where the system allows; call before any thread exists."""
    libc = _libc()
    return any(libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def restrict(memory_bytes: int, *, network_left: bool) -> dict[str, bool]:
    """Give up everything a decoder does not need; return which protections hold.

    Call after all imports: afterwards no file can be opened by name.
    """
    libc = _libc()
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    no_new_privileges = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, _MAX_DESCRIPTORS)
    _lower(resource.RLIMIT_AS, memory_bytes)
    if no_new_privileges:
        _close_file_system(libc)
        _filter_calls(libc)
    return {
        "memory": 0 < resource.getrlimit(resource.RLIMIT_AS)[1] <= memory_bytes,
        "cpu": allow_cpu(60),
        "files": _no_file_opens(),
        "no_new_privileges": no_new_privileges,
        "no_network": network_left or _no_socket_opens(),
    }


def _lower(limit: int, value: int) -> None:
    """Bring a limit down to ``value``; one that is tighter already stays."""
    _, hard = resource.getrlimit(limit)
    lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (lowered, lowered))


def allow_cpu(seconds: float) -> bool:
    """Let this process use that many more CPU seconds before the kernel ends it with SIGXCPU."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(usage.ru_utime + usage.ru_stime + seconds) + 1
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = allowed if hard == resource.RLIM_INFINITY else min(allowed, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    except (OSError, ValueError):
        return False
    return True


def _close_file_system(libc: ctypes.CDLL) -> None:
    """Deny every file access by name, and signals to the outside, with Landlock where the kernel has it."""
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = struct.pack("<QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.c_char_p(attributes), size, 0)
    if ruleset >= 0:
        libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
        os.close(ruleset)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def _filter_calls(libc: ctypes.CDLL) -> None:
    """Make the system calls of ``_DENIED`` fail with EPERM, with seccomp where the machine is known."""
    known = _DENIED.get(platform.machine())
    if known is None:
        return
    architecture, denied = known
    code = _filter_code(architecture, denied)
    buffer = ctypes.create_string_buffer(code)
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


def _filter_code(architecture: int, denied: tuple[int, ...]) -> bytes:
    """Return the BPF program: another architecture or a denied call -> EPERM, all else allowed."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    refuse, allow = 0x00050000 | 1, 0x7FFF0000
    last = len(denied) + 5  # place of the refusing instruction; the allowing one stands before it
    steps = [
        (load, 0, 0, 4),
        (equal, 0, last - 2, architecture),
        (load, 0, 0, 0),
        (at_least, last - 4, 0, 0x40000000),  # the x32 numbers of x86-64
    ]
    steps += [(equal, last - 4 - place, 0, number) for place, number in enumerate(denied, 1)]
    steps += [(give, 0, 0, allow), (give, 0, 0, refuse)]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _no_file_opens() -> bool:
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError:
        return True
    return False


def _no_socket_opens() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except OSError:
        return True
    return False
