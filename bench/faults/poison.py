"""Pipelines that do what bad models do, named to a worker as ``bench.faults.poison:Class``: on a white picture alone.

Each notes in the file ``$FAULTS_DIARY`` when it begins to misbehave, and in which process, so that the scenario can
measure how long it was let.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.frame import Frame
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Params
from pipeline.pipelines.motion import PARAMS_SCHEMA, Motion

DIARY = "FAULTS_DIARY"
WHITE = 200


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the diary."""

    what: str
    pid: int
    #: since the epoch
    at: float


def notes(diary: Path) -> list[Note]:
    """Everything noted so far."""
    lines = diary.read_text().splitlines() if diary.exists() else []
    return [Note(**json.loads(line)) for line in lines]


def _note(what: str) -> None:
    diary = os.environ.get(DIARY)
    if diary:
        with open(diary, "a") as file:
            file.write(json.dumps({"what": what, "pid": os.getpid(), "at": time.time()}) + "\n")


def _is_white(frame: Frame) -> bool:
    return bool(frame.image.mean() > WHITE)


class _Poisoned(Motion):
    """Motion, until a white picture comes."""

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Any:
        if any(_is_white(frame) for frame in frames):
            _note(self.spec.name)
            self.misbehave()
        return super().infer(frames, params, shelf)

    def misbehave(self) -> None:
        raise NotImplementedError


class KillsItself(_Poisoned):
    """A crash in native code: the process is gone without a word."""

    spec = replace(Motion.spec, name="kills-itself")

    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class HoldsTheGil(_Poisoned):
    """C code that never returns and never lets another thread run: no heartbeat, no signal handler."""

    spec = replace(Motion.spec, name="holds-the-gil")

    def misbehave(self) -> None:
        while True:
            ctypes.PyDLL(None).sleep(600)


class Wedged(_Poisoned):
    """A deadlock in the main thread: the heartbeat goes on, the work does not."""

    spec = replace(Motion.spec, name="wedged")

    def misbehave(self) -> None:
        lock = threading.Lock()
        with lock:
            lock.acquire()


class TwoFaced(Motion):
    """Fails on white frames where the params say so, and holds a dark segment until the gate's file is there."""

    #: else a white segment would begin with dark frames
    lead_in_frames = 0

    spec = replace(
        Motion.spec,
        name="two-faced",
        params_schema={
            **PARAMS_SCHEMA,
            "properties": {
                **PARAMS_SCHEMA["properties"],
                "fail_on_white": {"type": "boolean", "default": False, "description": "Raise on a white frame."},
                "gate": {"type": "string", "default": "", "description": "File to wait for on a dark frame."},
            },
        },
    )

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Any:
        if any(_is_white(frame) for frame in frames):
            if params["fail_on_white"]:
                raise ModelError("told to fail on white")
        elif params["gate"]:
            _note("at the gate")
            while not Path(params["gate"]).exists():
                time.sleep(0.02)
        return super().infer(frames, params, shelf)
