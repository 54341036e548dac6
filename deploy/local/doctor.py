"""``doctor``: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import http.client
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.child import LOOPBACK, StartError, free_port
from deploy.local.home import REPOSITORY, Home
from deploy.local.parts import FIRST_PORTS
from deploy.local.postgres import installed_programs
from deploy.local.redis import find_program

NEEDED_DISK_BYTES = 2 * 1024**3
NEEDED_MEMORY_BYTES = 2 * 1024**3
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor."""

    level: str  # ok | note | bad
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"  {self.level:<5}{self.what}" + (f"\n       -> {self.advice}" if self.advice else "")


def examine(home: Home) -> list[Finding]:
    """Look at everything the embedded stack stands on; nothing is changed."""
    looks = (_python, _cores, _memory, _disk, _postgres, _redis, _ports, _cage, _models, _stack)
    return [finding for look in looks for finding in look(home)]


def _python(home: Home) -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("ok" if sys.version_info >= (3, 11) else "bad", f"Python {version} at {sys.executable}")
    if sys.platform != "linux":
        yield Finding("bad", f"the system is {sys.platform}", "the embedded stack runs on Linux alone")
    if os.geteuid() == 0:
        yield Finding("note", "you are root: PostgreSQL runs as `nobody`", "an ordinary user is enough for everything")


def _cores(home: Home) -> Iterator[Finding]:
    yield Finding("ok", f"{len(os.sched_getaffinity(0))} processor cores")


def _memory(home: Home) -> Iterator[Finding]:
    free = free_memory_bytes(Path("/proc/meminfo").read_text())
    enough = free >= NEEDED_MEMORY_BYTES
    yield Finding(
        "ok" if enough else "note",
        f"{free / GIB:.1f} GiB of memory free",
        "" if enough else "the stack wants 2 GiB; set FQ_CONCURRENCY=1",
    )


def free_memory_bytes(meminfo: str) -> int:
    """Memory that programs can still get, from the text of /proc/meminfo."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _disk(home: Home) -> Iterator[Finding]:
    place = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    enough = free >= NEEDED_DISK_BYTES
    advice = "" if enough else "uploads need room: set FQ_LOCAL_DIR to a folder on a larger disk"
    yield Finding("ok" if enough else "bad", f"{free / GIB:.1f} GiB of disk free in {place}", advice)


def _postgres(home: Home) -> Iterator[Finding]:
    try:
        yield Finding("ok", f"PostgreSQL 18 in {installed_programs()}")
    except StartError as error:
        yield Finding("bad", str(error), "make setup")


def _redis(home: Home) -> Iterator[Finding]:
    try:
        program = find_program()
    except StartError as error:
        yield Finding("bad", str(error))
        return
    advice = (
        "apt install redis-server (7.0 or newer) or valkey-server, and it is taken instead" if program.bundled else ""
    )
    yield Finding("note" if program.bundled else "ok", str(program), advice)


def _ports(home: Home) -> Iterator[Finding]:
    if home.running() is not None:
        return
    wanted = {name: home.ports().get(name, port) for name, port in FIRST_PORTS.items()}
    for name, port in wanted.items():
        free = free_port(port) == port
        text = f"port {port} on {LOOPBACK} for {name} is {'free' if free else 'taken'}"
        yield Finding("ok" if free else "note", text, "" if free else "another one is taken at the next `make up`")


def _cage(home: Home) -> Iterator[Finding]:
    """What the kernel offers for holding the process that opens untrusted media."""
    abi = _landlock_abi()
    if abi:
        yield Finding("ok", f"the kernel has Landlock (version {abi}), for holding the decoding process")
    else:
        yield Finding("note", "the kernel has no Landlock", "the decoding process is held by limits and time alone")
    status = Path("/proc/self/status").read_text()
    seccomp = "Seccomp:" in status
    yield Finding("ok" if seccomp else "note", f"seccomp filters {'can' if seccomp else 'cannot'} be used")
    shm = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else 0  # noqa: S108 - looked at, not written
    small = shm < 256 * 1024**2
    advice = "in a container: --shm-size=1g" if small else ""
    yield Finding("note" if small else "ok", f"{shm / GIB:.1f} GiB of shared memory for frames", advice)


def _landlock_abi() -> int:
    """The version of Landlock that the kernel speaks; 0 for none."""
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None, use_errno=True)
    create_ruleset, ask_version = 444, 1
    return max(0, int(libc.syscall(create_ruleset, None, ctypes.c_size_t(0), ctypes.c_uint32(ask_version))))


def _models(home: Home) -> Iterator[Finding]:
    folder = Path(os.environ.get("FQ_MODEL_DIR") or REPOSITORY / "models")
    cards = sorted(folder.glob("*/model.toml"))
    pulled = [card for card in cards if any(card.parent.glob("*.onnx")) or any(card.parent.glob("*.pt*"))]
    advice = ""
    if len(pulled) < len(cards):
        advice = "the others are fetched at first use; FQ_MODEL_MIRROR=/folder takes them from there"
    text = f"{len(cards)} model cards in {folder}, {len(pulled)} with weights"
    yield Finding("ok" if cards else "note", text, advice)


def _stack(home: Home) -> Iterator[Finding]:
    state = home.state()
    if state is None:
        yield Finding("ok", "no stack is running", "make up")
        return
    if not state.launcher.alive():
        yield Finding("note", "a launcher was killed", "`make up` or `make down` cleans what it left")
        return
    level = "ok" if state.status == "up" else "note"
    yield Finding(level, f"a stack is {state.status} at {state.api_url} (pid {state.launcher_pid})")
    for name, part in state.parts.items():
        if part.status not in ("up", "starting"):
            yield Finding("bad", f"{name} is {part.status}", f"see {part.log}")
    yield _answer(state.api_url)


def _answer(api_url: str) -> Finding:
    connection = http.client.HTTPConnection(urlsplit(api_url).netloc, timeout=5)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return Finding("bad", f"{api_url}/ready does not answer: {error}", "see .local/logs/web.log")
    finally:
        connection.close()
    good = answer.status == http.client.OK
    return Finding("ok" if good else "bad", f"{api_url}/ready says {answer.status}", "" if good else body)
