"""What the decoding process gives up before it opens anything: memory, files, network, privileges, a life of its own.

Standard library only. Every protection is tried and then checked by trying to break it; ``in_force`` tells what held.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
from typing import Final

from pipeline.cage_calls import filter_calls

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_RESTRICT: Final = 446
#: answers fit in memory files and pipes; the only file it may grow is its own standard error
_MAX_FILE_BYTES: Final = 1 << 20
_MAX_DESCRIPTORS: Final = 64


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
    no_capabilities = _drop_capabilities(libc)
    if no_new_privileges:
        _close_file_system(libc)
        filter_calls(libc, os.getpid())
    return {
        "memory": _holds(resource.RLIMIT_AS, memory_bytes),
        "cpu": allow_cpu(60),
        "file_size": _holds(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES),
        "descriptors": _holds(resource.RLIMIT_NOFILE, _MAX_DESCRIPTORS),
        "files": _no_file_opens(),
        "no_processes": _no_process_starts(),
        "no_capabilities": no_capabilities,
        "no_new_privileges": no_new_privileges,
        "no_network": network_left or _no_socket_opens(),
    }


def _lower(limit: int, value: int) -> None:
    """Bring a limit down to ``value``; one that is tighter already stays."""
    _, hard = resource.getrlimit(limit)
    lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (lowered, lowered))


def _holds(limit: int, value: int) -> bool:
    """Say whether a limit stands, and cannot be raised again: that takes a capability, which is gone."""
    hard = resource.getrlimit(limit)[1]
    try:
        resource.setrlimit(limit, (hard, hard + 1))
    except (OSError, ValueError):
        return 0 < hard <= value
    return False


def _drop_capabilities(libc: ctypes.CDLL) -> bool:
    """Give up what root, or the first process of a namespace, may do beyond others."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION, 0)
    libc.capset(header, bytes(24))
    left = ctypes.create_string_buffer(24)
    return libc.capget(header, left) == 0 and left.raw == bytes(24)


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


def _no_file_opens() -> bool:
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError:
        return True
    return False


def _no_process_starts() -> bool:
    try:
        pid = os.fork()
    except OSError:
        return True
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return False


def _no_socket_opens() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except OSError:
        return True
    return False
