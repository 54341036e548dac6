"""Motion: what moves, how much, and where the picture cuts, stands still, is black or blurred. Needs no weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.frame import Frame
from pipeline.marks import Mark, Moment, box_mark
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.motion_picture import Look, background, changed_boxes, changed_share, cut_score, look_at
from pipeline.pipelines.motion_summary import SUMMARY_FIELDS, motion_moments, summarize_motion
from pipeline.pipelines.schemas import ARTIFACTS, integer, number, params_schema
from pipeline.spec import PipelineSpec

#: frames the background is the median of; also the lead-in, so that rows do not depend on where the input is cut
WINDOW_FRAMES = 8


PARAMS_SCHEMA = params_schema(
    threshold=integer(
        18, 1, 255, "Grey levels (of 255) by which a pixel must differ from the background to count as changed."
    ),
    min_area=number(0.002, 0.0, 1.0, "Smallest moving box that is reported, as a share of the picture."),
    max_boxes=integer(20, 0, 200, "At most this many moving boxes per frame, largest first."),
    cut_above=number(
        0.2, 0.01, 1.0, "Scene cut: share of pixels changed x (1 - likeness of the two pictures) above this."
    ),
    still_below=number(0.001, 0.0, 1.0, "Still: share of the picture that changed since the frame before, below this."),
    black_below=number(32.0, 0.0, 255.0, "Black: 98 % of the picture is darker than this grey level."),
    blur_below=number(20.0, 0.0, 1e6, "Blurred: variance of the Laplacian at 320 pixels below this."),
    artifacts=ARTIFACTS,
)


@dataclass(slots=True)
class _Seen:
    """The last frames of one segment: since the last cut for the background, and the one before."""

    window: deque[NDArray[np.uint8]] = field(default_factory=lambda: deque(maxlen=WINDOW_FRAMES))
    before: NDArray[np.uint8] | None = None


class Motion:
    """Compare each frame with the median of the frames before it (at most 8, since the last scene cut).

    A row is a function of its frame and the 8 sampled frames before it, nothing older: with 8 frames of lead-in a
    segment's rows equal those of an uncut run, byte for byte. Scene cuts need only the frame before. On the frame of a
    cut, motion is not measured: activity 0, no boxes.
    """

    spec = PipelineSpec(
        name="motion",
        description="Moving boxes, activity curve, scene cuts, still, black and blurred stretches. Needs no weights.",
        accepts=("image", "video"),
        params_schema=PARAMS_SCHEMA,
        lane="cpu",
        summary_fields=SUMMARY_FIELDS,
    )
    lead_in_seconds = 0.0
    lead_in_frames = WINDOW_FRAMES
    not_carried: ClassVar[Mapping[str, Any]] = {"is_cut": False}

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Accept: the schema says all there is to say."""

    def cost_seconds(self, params: Params, shelf: ModelShelf) -> float:
        """Return the cost at 640 pixels, growing with the area."""
        return float(0.003 * max(1.0, (params["width"] / 640) ** 2))

    def start(self, media: MediaInfo, params: Params) -> Any:
        """Return the empty memory of a segment."""
        return _Seen()

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[Look]:
        """Look at each frame alone: small grey picture, brightness, sharpness."""
        return [look_at(frame.image) for frame in frames]

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Compare the frame with those before it."""
        look: Look = inferred
        is_cut, is_still = False, False
        if state.before is not None:
            is_cut = cut_score(look.grey, state.before) > params["cut_above"]
            is_still = changed_share(look.grey, state.before) < params["still_below"]
        if is_cut:
            state.window.clear()
        activity = 0.0
        objects: list[dict[str, Any]] = []
        if state.window:
            activity, objects = changed_boxes(look.grey, background(state.window), frame, params)
        state.window.append(look.grey)
        state.before = look.grey
        is_black = bool(look.bright < params["black_below"])
        return {
            "objects": objects,
            "activity": round(activity, 5),
            "luma": round(look.luma, 2),
            "blur": round(look.blur, 2),
            "is_cut": is_cut,
            "is_still": is_still,
            "is_black": is_black,
            "is_blurred": bool(look.blur < params["blur_below"]) and not is_black,
        }

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the job's summary; see ``spec.summary_fields``."""
        return summarize_motion(rows, media)

    def marks(self, row: Row, params: Params) -> Sequence[Mark]:
        """Return the moving boxes, and in the corner how much moves and what kind of frame it is."""
        kinds = [kind for kind in ("cut", "still", "black", "blurred") if row[f"is_{kind}"]]
        told = ", ".join([f"activity {row['activity']:.1%}", *kinds])
        return [*(box_mark(one["box"], group="moving") for one in row["objects"]), Mark("text", ((0.0, 0.0),), told)]

    def moments(self, summary: Mapping[str, Any], params: Params) -> Sequence[Moment]:
        """Return the frame with the most motion, and the first frames after scene cuts."""
        return motion_moments(summary)

    def models_used(self, params: Params, shelf: ModelShelf) -> Sequence[Mapping[str, Any]]:
        """Return nothing: no model is used."""
        return []
