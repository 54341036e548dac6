"""Run a batch, and find out whose fault it is when it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import DeviceOutOfMemory, ModelError, ModelUnavailable, PipelineError
from pipeline.frame import Frame
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Pipeline


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands in the place of a frame's inference."""

    error: PipelineError


class BatchInference:
    """Calls ``infer`` with at most ``size`` frames; ``size`` falls when the device is full, and never rises."""

    def __init__(self, pipeline: Pipeline, params: Mapping[str, Any], shelf: ModelShelf, size: int) -> None:
        if size < 1:
            raise ValueError("the batch size must be at least 1")
        self._pipeline = pipeline
        self._params = params
        self._shelf = shelf
        self.size = size

    def infer(self, frames: Sequence[Frame]) -> list[Any]:
        """Return one item per frame: what the pipeline inferred, or Failed.

        Out of memory halves the batch and goes on; at size 1 the frame fails. After any other error both halves of the
        batch run again, until the frame that cannot be done is alone and fails.
        Raises: ModelUnavailable, which is no frame's fault.
        """
        return self._all(frames)

    def _all(self, frames: Sequence[Frame]) -> list[Any]:
        items: list[Any] = []
        while len(items) < len(frames):
            items.extend(self._attempt(frames[len(items) : len(items) + self.size]))
        return items

    def _attempt(self, frames: Sequence[Frame]) -> Sequence[Any]:
        """Return items for the frames, or nothing when they are to be tried again in smaller batches."""
        try:
            return self._call(frames)
        except ModelUnavailable:
            raise
        except (DeviceOutOfMemory, MemoryError) as error:
            if len(frames) == 1:
                return [Failed(_own(error, DeviceOutOfMemory))]
            self.size = len(frames) // 2
            return []
        except Exception as error:  # noqa: BLE001 - a model may raise anything; it is charged to its frame
            if len(frames) == 1:
                return [Failed(_own(error, ModelError))]
            middle = len(frames) // 2
            return [*self._all(frames[:middle]), *self._all(frames[middle:])]

    def _call(self, frames: Sequence[Frame]) -> Sequence[Any]:
        items = self._pipeline.infer(frames, self._params, self._shelf)
        if len(items) != len(frames):
            raise ModelError(f"{self._pipeline.spec.name} returned {len(items)} items for {len(frames)} frames")
        return items


def _own(error: BaseException, kind: type[PipelineError]) -> PipelineError:
    """Return the error itself, or wrapped in ``kind`` when it is not of our tree."""
    if isinstance(error, PipelineError):
        return error
    wrapped = kind(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
