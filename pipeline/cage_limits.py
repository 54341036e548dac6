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
import stat
import struct
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.cage_calls import filter_calls

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_ADD_RULE: Final = 445
_LANDLOCK_RESTRICT: Final = 446
#: answers fit in memory files and pipes; the only file it may grow is its own standard error
_MAX_FILE_BYTES: Final = 1 << 20
_MAX_DESCRIPTORS: Final = 64
#: a GPU's driver holds tens of its own
_MAX_DEVICE_DESCRIPTORS: Final = 512
#: what Landlock calls writing and reading a file, reading a folder, and a device's own calls
_WRITE, _READ, _LIST, _DEVICE_CALLS = 1 << 1, 1 << 2, 1 << 3, 1 << 15


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


def _open_none() -> None:
    """Open no device."""


def restrict(
    memory_bytes: int, *, network_left: bool, device_files: Sequence[str] = (),
    open_device: Callable[[], None] = _open_none,
) -> dict[str, bool]:  # fmt: skip
    """Give up everything a decoder does not need; return which protections hold.

    Call after all imports, while this is the only thread: afterwards no file can be opened by name but ``device_files``
    (none, unless ``can_allow_files``). open_device: called once that is so, since the threads that a driver starts have
    given up only what this one had before. With a device, memory is limited to ``memory_bytes`` more than is written to
    by then, not counting what is merely reserved: a driver reserves more than machines have.
    """
    libc, status = _libc(), os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    no_new_privileges = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    descriptors = _MAX_DEVICE_DESCRIPTORS if device_files else _MAX_DESCRIPTORS
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, descriptors)
    no_capabilities = _drop_capabilities(libc)
    if no_new_privileges:
        closed = _close_file_system(libc, device_files)
        filter_calls(libc, os.getpid(), opens=closed and bool(device_files))
    open_device()
    memory = resource.RLIMIT_DATA if device_files else resource.RLIMIT_AS
    memory_bytes += _written_bytes(status) if device_files else 0
    os.close(status)
    _lower(memory, memory_bytes)
    return {
        "memory": _holds(memory, memory_bytes),
        "cpu": allow_cpu(60),
        "file_size": _holds(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES),
        "descriptors": _holds(resource.RLIMIT_NOFILE, descriptors),
        "files": _no_file_opens(),
        "no_processes": _no_process_starts(),
        "no_capabilities": no_capabilities,
        "no_new_privileges": no_new_privileges,
        "no_network": network_left or _no_socket_opens(),
    }


def can_allow_files() -> bool:
    """Say whether some files can be allowed and all others denied, which takes Landlock (Linux 5.13)."""
    return bool(_libc().syscall(_LANDLOCK_CREATE, None, 0, 1) >= 1)


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


def _written_bytes(status: int) -> int:
    """Return how much private writable memory this process has, which is what RLIMIT_DATA counts."""
    lines = os.pread(status, 8192, 0).splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"VmData:"))


def _close_file_system(libc: ctypes.CDLL, allowed: Sequence[str] = ()) -> bool:
    """Deny every file access by name, and signals to the outside, with Landlock; return whether the kernel has it.

    allowed: devices that may still be written and read, and files and folders that may be read.
    """
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return False
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = struct.pack("<QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.c_char_p(attributes), size, 0)
    if ruleset < 0:
        return False
    for name in allowed:
        _allow(libc, ruleset, name, files)
    closed = bool(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0)
    os.close(ruleset)
    return closed


def _allow(libc: ctypes.CDLL, ruleset: int, name: str, known: int) -> None:
    """Leave a device to be written and read, a file to be read, a folder to be read with all below it."""
    try:
        place = os.open(name, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    mode = os.fstat(place).st_mode
    rights = _READ | _LIST if stat.S_ISDIR(mode) else _READ | _WRITE | _DEVICE_CALLS if stat.S_ISCHR(mode) else _READ
    rule = struct.pack("<Qi", rights & known, place)
    libc.syscall(_LANDLOCK_ADD_RULE, ruleset, 1, ctypes.c_char_p(rule), 0)
    os.close(place)


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
