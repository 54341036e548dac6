"""The contract of a pipeline: infer on batches, observe in order, summarize from rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from pipeline.frame import Frame
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.spec import PipelineSpec

Params = Mapping[str, Any]
#: one JSON line of results; ``run`` adds index, pts, pts_seconds and sampler to what ``observe`` returns, under the
#: adaptive sampler also carried_from: null, or the index of the earlier frame whose result this row repeats
Row = dict[str, Any]


class Pipeline(Protocol):
    """One instance per worker process; all methods are deterministic.

    ``infer`` sees frames of several segments at once (a model batch) and keeps no state. ``observe`` sees one
    segment's frames in time order and may keep state in what ``start`` returned. ``summarize`` is a pure
    function of all rows of a job in time order, so that one worker and eight give identical summaries.
    """

    spec: PipelineSpec
    #: how long before a segment's start frames must be observed (not reported) until the state is right; a pipeline
    #: that counts in sampled frames may have ``lead_in_frames: int`` besides: at least so many come before
    #: What belongs to one moment may be kept from rows that repeat it: ``not_carried`` maps such fields to what stands
    #: there instead
    #: A pipeline that takes seconds for a frame may have ``max_batch: int``: it then shows life that often
    lead_in_seconds: float

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Raise ParamsError when the params name a model that is unknown or of another task."""

    def cost_seconds(self, params: Params, shelf: ModelShelf) -> float:
        """Return the declared cost of one sampled frame in seconds, for cutting segments."""

    def start(self, media: MediaInfo, params: Params) -> Any:
        """Return fresh state for one segment (None if there is none)."""

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[Any]:
        """Run the model on a batch; return one item per frame.

        Raises: DeviceOutOfMemory, ModelError, ModelUnavailable.
        """

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Turn one frame's inference and the state into the frame's result row (JSON data, boxes in source pixels)."""

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the job's summary from all rows in time order, in one pass and bounded memory."""

    def models_used(self, params: Params, shelf: ModelShelf) -> Sequence[Mapping[str, Any]]:
        """Return name, version and digest of each model that the params lead to.

        One that comes with a library and not from the shelf says ``bundled_with`` which.
        """
