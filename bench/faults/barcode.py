"""A pipeline that costs next to nothing and still proves that it ran: it reads the number drawn in each frame.

Named to a worker as ``bench.faults.barcode:Barcode``. A picture is an 8 x 8 grid of black and white squares: 32 bits of
the number, then the same bits turned over, so that a picture that was damaged is noticed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError
from pipeline.frame import Frame
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.schemas import number, params_schema
from pipeline.spec import PipelineSpec

GRID = 8
SIDE = 64
RATE = 10


class Barcode:
    """Reads numbers; may be told to take its time."""

    spec = PipelineSpec(
        name="barcode",
        description="Reads the number drawn in each frame.",
        accepts=("image", "video"),
        params_schema=params_schema(frame_seconds=number(0, 0, 600, "How long to sleep over each frame.")),
        summary_fields={"numbers": "The different numbers seen, at most 3.", "frames": "How many frames were read."},
    )
    lead_in_seconds = 0.0

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Accept: the schema says all there is to say."""

    def cost_seconds(self, params: Params, shelf: ModelShelf) -> float:
        """Return what was asked for, and a little."""
        return 0.001 + float(params["frame_seconds"])

    def start(self, media: MediaInfo, params: Params) -> Any:
        """Return nothing: no state."""

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[int]:
        """Read each frame. Raises: InputError for one that was not drawn here."""
        time.sleep(params["frame_seconds"] * len(frames))
        return [number_in(frame.image) for frame in frames]

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Return the number."""
        return {"number": inferred}

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the numbers seen and how many frames there were."""
        seen = [row["number"] for row in rows]
        return {"numbers": sorted(set(seen))[:3], "frames": len(seen)}

    def models_used(self, params: Params, shelf: ModelShelf) -> Sequence[Mapping[str, Any]]:
        """Return nothing: no model is used."""
        return []


def still(drawn: int) -> bytes:
    """A PNG of a number."""
    file = io.BytesIO()
    Image.fromarray(picture(drawn)).save(file, "PNG")
    return file.getvalue()


def clip(drawn: int, seconds: float) -> bytes:
    """An MP4 that shows a number for so long, ten frames and one keyframe a second."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "g": str(RATE), "bf": "0"}
        shown = np.repeat(picture(drawn)[:, :, None], 3, axis=2)
        for index in range(round(seconds * RATE)):
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def picture(drawn: int) -> NDArray[np.uint8]:
    """The grey picture of a number below 2^32."""
    bits = np.array([drawn >> place & 1 for place in range(GRID * GRID // 2)], dtype=np.uint8)
    grid = np.concatenate([bits, 1 - bits]).reshape(GRID, GRID)
    return np.kron(grid * 200 + 25, np.ones((SIDE // GRID, SIDE // GRID), dtype=np.uint8)).astype(np.uint8)


def number_in(image: NDArray[np.uint8]) -> int:
    """The number drawn in a picture of any size. Raises: InputError."""
    grey = image if image.ndim == 2 else image.mean(axis=2)
    height, width = grey.shape
    rows = (np.arange(GRID) * 2 + 1) * height // (2 * GRID)
    columns = (np.arange(GRID) * 2 + 1) * width // (2 * GRID)
    bits = (grey[np.ix_(rows, columns)] > 125).reshape(-1)
    half = GRID * GRID // 2
    if (bits[:half] == bits[half:]).any():
        raise InputError("there is no number in this picture", code="media.unreadable", advice="Send one drawn here.")
    return int(sum(1 << place for place in range(half) if bits[place]))
