"""Pipelines for tests of workers in processes of their own; named as ``tests.fakes.slow_pipelines:Class``."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline.frame import Frame
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Params
from pipeline.pipelines.motion import Motion

#: of one batch, so that a test can act in the middle of a job
SLOW_SECONDS = 0.15


class Slow(Motion):
    """Motion that takes its time."""

    spec = replace(Motion.spec, name="slow")

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Any:
        time.sleep(SLOW_SECONDS)
        return super().infer(frames, params, shelf)


class HangsWhenBright(Motion):
    """Motion that, on a bright picture, stands still in C code with the GIL held."""

    spec = replace(Motion.spec, name="hangs_when_bright")

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Any:
        if any(frame.image.mean() > 200 for frame in frames):
            logging.getLogger(__name__).warning("test.hangs")
            while True:
                ctypes.PyDLL(None).sleep(600)
        return super().infer(frames, params, shelf)


class WedgedWhenBright(Motion):
    """Motion whose main thread, on a bright picture, waits for ever while every other thread lives."""

    spec = replace(Motion.spec, name="wedged_when_bright")

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Any:
        if any(frame.image.mean() > 200 for frame in frames):
            logging.getLogger(__name__).warning("test.hangs")
            self.wait_for_nobody()
        return super().infer(frames, params, shelf)

    def wait_for_nobody(self) -> None:
        while True:
            time.sleep(600)


class CrashesWhenBright(Motion):
    """Motion that, on a bright picture, reads memory that is not there."""

    spec = replace(Motion.spec, name="crashes_when_bright")

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Any:
        if any(frame.image.mean() > 200 for frame in frames):
            ctypes.string_at(0)
        return super().infer(frames, params, shelf)


class LoadsForever(Motion):
    """Motion with a model whose weights never come to an end."""

    spec = replace(Motion.spec, name="loads_forever", models={"model": ("detect",)})

    def models_used(self, params: Params, shelf: ModelShelf) -> Sequence[Any]:
        logging.getLogger(__name__).warning("test.loads")
        while True:
            time.sleep(600)


class DropsFromGpu(Motion):
    """Motion that leaves the shelf as if it had dropped a model whose runtime keeps the GPU's memory."""

    spec = replace(Motion.spec, name="drops_from_gpu")

    def infer(self, frames: Sequence[Frame], params: Params, shelf: Any) -> Any:
        shelf._shelf.holds_dead_memory = True
        return super().infer(frames, params, shelf)
