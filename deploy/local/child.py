"""A process that we started: own group, own log, ends when we end, known by pid and start time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOOPBACK = "127.0.0.1"

# Loaded before any fork: nothing may be imported between fork and exec.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StartError(Exception):
    """A part did not come up; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, told apart from a later one with the same pid by its start time (clock ticks since boot)."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return identify(self.pid) == self

    def gone_within(self, timeout_seconds: float) -> bool:
        """Wait for the end of this process, which need not be our child; False when it still runs."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            return not self.alive() or bool(select.select([handle], [], [], timeout_seconds)[0])
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a child runs as, for servers that refuse to run as root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to start and how to end it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log_path: Path
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM


class Child:
    """One running process. Make it from the main thread: its end is tied to the thread that started it."""

    def __init__(self, command: Command) -> None:
        """Start the process with its output appended to the log."""
        self.command = command
        command.log_path.parent.mkdir(parents=True, exist_ok=True)
        user = command.account
        with open(command.log_path, "ab") as log:
            self._process = subprocess.Popen(
                command.argv,
                env=dict(command.env),
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
                preexec_fn=_tether(command.stop_signal),  # noqa: PLW1509 - the launcher has one thread
            )
        self.identity = identify(self._process.pid) or Identity(self._process.pid, 0)
        self._swept = False

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    def ended(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def stop(self, timeout_seconds: float = 20.0) -> bool:
        """Ask it to end, then end its whole group; False when it had to be killed."""
        gentle = True
        if self._process.poll() is None:
            self._process.send_signal(self.command.stop_signal)
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                gentle = False
        self.sweep()
        self._process.wait()
        return gentle

    def sweep(self) -> None:
        """Kill what is left of its group; once, since the kernel may give the number to another group later."""
        if not self._swept:
            self._swept = True
            members = group_members(self.pid)
            kill_group(self.pid)
            for member in members:
                member.gone_within(5.0)

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return tail(self.command.log_path, lines)


def identify(pid: int) -> Identity | None:
    """Who runs under this pid now; None for nobody or a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else Identity(pid, int(fields[19]))


def group_members(pgid: int) -> list[Identity]:
    """Every process of a group that still runs."""
    members = []
    for entry in os.listdir("/proc"):
        fields = _stat(int(entry)) if entry.isdigit() else None
        if fields is not None and fields[0] not in "ZX" and int(fields[2]) == pgid:
            members.append(Identity(int(entry), int(fields[19])))
    return members


def kill_group(pgid: int, sig: signal.Signals = signal.SIGKILL) -> None:
    """Signal every process of a group; none left is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, sig)


def wait_until(
    condition: Callable[[], bool], child: Child, *, timeout_seconds: float, interval_seconds: float = 0.03
) -> None:
    """Return when the condition holds.

    Raises: StartError when the child ends or the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        code = child.ended()
        if code is not None:
            raise StartError(f"{child.command.name} ended with code {code}; the end of its log:\n{child.log_tail()}")
        if time.monotonic() > deadline:
            late = f"{child.command.name} was not ready after {timeout_seconds:.0f} s"
            raise StartError(f"{late}; the end of its log:\n{child.log_tail()}")
        time.sleep(interval_seconds)


def free_port(preferred: int | None = None) -> int:
    """Return a loopback port that is free now: the preferred one if it is."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartError("no free loopback port")


def answers(port: int, timeout_seconds: float = 0.5) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout_seconds):
            return True
    except OSError:
        return False


def tail(path: Path, lines: int = 15, window_bytes: int = 65536) -> str:
    """The last lines of a file, read from its end."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - window_bytes))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:])


def _tether(sig: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs before exec, so that the kernel signals it when its parent dies."""
    if _libc is None:
        return None
    libc, parent = _libc, os.getpid()

    def tie() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(sig))
        if os.getppid() != parent:  # died in between: the kernel would never tell
            os._exit(1)

    return tie


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()  # the name in parentheses may hold anything
