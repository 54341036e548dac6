"""``doctor``: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import glob
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
from deploy.local.demo import SAMPLE
from deploy.local.home import Home
from deploy.local.parts import FIRST_PORTS
from deploy.local.postgres import installed_programs
from deploy.local.redis import find_program

NEEDED_DISK_BYTES = 2 * 1024**3
NEEDED_MEMORY_BYTES = 2 * 1024**3
GIB = 1024**3
PULL_ADVICE = (
    "fetched at first use, or by `python -m pipeline models pull`; FQ_MODEL_MIRROR=/folder takes them from there"
)
CAGE_ADVICE = "a newer kernel (5.13 has Landlock), or a container that may use seccomp and namespaces, gives them"


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
    looks = (_python, _cores, _memory, _disk, _postgres, _redis, _ports, _cage, decode_device, _models, _stack)
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
    """Open the sample as a worker would, and tell which protections the system granted to the process that did."""
    from pipeline.cage import Cage  # noqa: PLC0415 - numpy, which nothing else here needs
    from pipeline.errors import PipelineError  # noqa: PLC0415

    try:
        with Cage() as cage:
            cage.probe(SAMPLE)
            granted = cage.in_force
    except (PipelineError, OSError) as error:
        yield Finding("bad", f"the decoding process does not work: {error}")
        return
    missing = [name for name, held in granted.items() if not held]
    if missing:
        yield Finding("note", f"the decoding process runs without: {', '.join(missing)}", CAGE_ADVICE)
    yield Finding("ok", f"the decoding process is held by: {', '.join(name for name in granted if granted[name])}")


def decode_device(home: Home) -> Iterator[Finding]:
    """Open the GPU's decoder as a worker would, where there is a GPU or one is to decode."""
    from pipeline.cage import Cage  # noqa: PLC0415
    from pipeline.errors import PipelineError  # noqa: PLC0415

    asked = os.environ.get("FQ_DECODE_DEVICE") or "cpu"
    if asked == "cpu" and not glob.glob("/dev/nvidia[0-9]*"):
        yield Finding("ok", "videos are decoded by the CPU; no NVIDIA GPU is here")
        return
    device = "cuda" if asked == "cpu" else asked
    try:
        with Cage(device=device) as cage:
            fault = cage.device_fault
    except (PipelineError, OSError) as error:
        fault = str(error)
    if fault:
        advice = "the host's driver must be there; in a container, NVIDIA_DRIVER_CAPABILITIES must name video"
        yield Finding("note", f"videos are decoded by the CPU; {device} cannot: {fault}", advice)
    elif asked == "cpu":
        yield Finding(
            "ok", "videos are decoded by the CPU", "the GPU could: FQ_DECODE_DEVICE=cuda, see docs/production.md"
        )
    else:
        yield Finding("ok", f"{device} decodes videos where a trial is for it")


def _models(home: Home) -> Iterator[Finding]:
    from pipeline.models.shelf import open_shelf  # noqa: PLC0415

    folders = {name: os.environ.get(name) for name in ("FQ_MODEL_DIR", "FQ_MODEL_CACHE")}
    shelf = open_shelf(
        model_dir=Path(folders["FQ_MODEL_DIR"]) if folders["FQ_MODEL_DIR"] else None,
        cache_dir=Path(folders["FQ_MODEL_CACHE"]) if folders["FQ_MODEL_CACHE"] else None,
    )
    for name, fault in shelf.faults.items():
        yield Finding("bad", f"the card of model {name} does not fit: {fault}")
    for card in shelf.cards():
        if shelf.weights(card.name) is not None:
            yield Finding("ok", f"model {card.name} {card.version} ({card.task}), weights on this machine")
        else:
            yield Finding("note", f"model {card.name} {card.version} ({card.task}), weights not here yet", PULL_ADVICE)


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
