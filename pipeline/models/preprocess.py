"""From pictures to a model's input, and from its coordinates back to the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.models.card import Input


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the model's input: input = picture x scale + offset, in pixels.

    width and height are the picture's own.
    """

    scale_x: float
    scale_y: float
    left: float
    top: float
    width: int
    height: int

    def to_picture(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take points, float32, (..., 2), from input to picture pixels, kept inside the picture."""
        moved = (points - np.array([self.left, self.top])) / np.array([self.scale_x, self.scale_y])
        return np.asarray(np.clip(moved, 0, [self.width, self.height]), dtype=np.float32)


def prepare(images: Sequence[NDArray[np.uint8]], spec: Input) -> tuple[NDArray[np.float32], list[Placement]]:
    """Return the input of a batch, float32, (n, c, h, w) or (n, h, w, c) as the card says, and each one's place.

    images: uint8, (h, w, 3), RGB, sizes may differ.
    """
    placed = [place(image, spec) for image in images]
    pixels = np.stack([coloured(picture, spec.colour) for picture, _ in placed])
    channels = pixels.shape[3]
    values = pixels.astype(np.float32)
    values *= np.float32(spec.scale)
    values -= np.asarray(spec.mean[:channels], dtype=np.float32)
    values /= np.asarray(spec.std[:channels], dtype=np.float32)
    if spec.layout == "NCHW":
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(values), [placement for _, placement in placed]


def place(image: NDArray[np.uint8], spec: Input) -> tuple[NDArray[np.uint8], Placement]:
    """Return the picture at the model's size, uint8, (height, width, 3), and where it lies in it."""
    height, width = image.shape[:2]
    if spec.resize == "stretch":
        placement = Placement(spec.width / width, spec.height / height, 0.0, 0.0, width, height)
        return _resized(image, spec.width, spec.height), placement
    across, down = spec.width / width, spec.height / height
    scale = max(across, down) if spec.resize == "crop" else min(across, down)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    inner = _resized(image, inner_width, inner_height)
    left, top = spec.width - inner_width, spec.height - inner_height
    left, top = (0, 0) if spec.resize == "letterbox" else (left // 2, top // 2)
    canvas = np.full((spec.height, spec.width, 3), spec.pad, dtype=np.uint8)
    x, y = max(0, left), max(0, top)
    part = inner[max(0, -top) :, max(0, -left) :][: spec.height - y, : spec.width - x]
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    return canvas, Placement(inner_width / width, inner_height / height, float(left), float(top), width, height)


def coloured(picture: NDArray[np.uint8], colour: str) -> NDArray[np.uint8]:
    """Return the picture's channels in the order the model takes: uint8, (h, w, 3), or (h, w, 1) for GREY."""
    if colour == "BGR":
        return picture[:, :, ::-1]
    if colour == "GREY":
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[:, :, None]
    return picture


def _resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(
        cv2.resize(
            image, (width, height), interpolation=cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
        ),
        dtype=np.uint8,
    )
