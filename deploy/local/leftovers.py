"""What a killed launcher left: found by pid and start time, or by the mark of its run; never by name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from deploy.local.child import Identity, identify, kill_group
from deploy.local.home import State

#: set in the environment of every process of a start
MARK = "FQ_LOCAL_RUN"
#: the same order as an end in order: those who take work first, the database last
STOP_ORDER = ("web", "worker", "dispatcher", "flower", "redis", "postgres")


def stop_place(name: str) -> int:
    """Where a part stands in the order of ends; replicas (``worker-2``) stand with the first of their kind."""
    kind = name.partition("-")[0]
    return STOP_ORDER.index(kind) if kind in STOP_ORDER else -1


def clean(state: State, *, timeout_seconds: float = 25.0) -> list[str]:
    """End every process that is left of a start; return the names of the parts that were."""
    found: list[tuple[str, Identity]] = []
    for name in sorted(state.parts, key=stop_place):
        part = state.parts[name].identity
        if part is not None and part.alive():
            found.append((name, part))
            _signal(part, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    for _, part in found:
        if not part.gone_within(timeout_seconds):
            kill_group(part.pid)
            part.gone_within(5.0)
    strays = _marked(state.run_id)
    for stray in strays:
        _signal(stray, signal.SIGKILL)
        stray.gone_within(5.0)
    return [name for name, _ in found] + ["a child process"] * len(strays)


def _signal(process: Identity, sig: signal.Signals) -> None:
    if process.alive():
        try:
            os.kill(process.pid, sig)
        except ProcessLookupError:
            return


def _marked(run_id: str) -> list[Identity]:
    """Processes with the mark of a run: children whose parent died before it could end them."""
    mark = f"{MARK}={run_id}".encode()
    found = []
    for entry in os.listdir("/proc"):
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes() if entry.isdigit() else b""
        except OSError:
            continue
        if mark in environment.split(b"\0"):
            process = identify(int(entry))
            if process is not None and process.pid != os.getpid():
                found.append(process)
    return found
