"""Find the box in a whole picture and tell its pose: search small, crop, solve, align."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ParamsError
from pipeline.pose.align import align
from pipeline.pose.box import FACES, Box
from pipeline.pose.camera import Camera
from pipeline.pose.pose import Pose
from pipeline.pose.samples import CROP, STEP
from pipeline.pose.solve import correspondences, solve
from pipeline.pose.starts import Start, tried

Picture = NDArray[np.uint8]
#: longer side of the picture in which the box is searched: first the usual size, then small and large ones
SEARCH_SIDES = (192, 384, 96)
_MULTIPLE = 16
#: places looked at more closely, per search
_MAX_PLACES = 3
#: cells of the search that must see the box
_MIN_AREA = 4
#: share of a crop's side that the box should take
_REACH = 0.72
#: pixels across the box for the alignment, where the picture has so many
_ALIGN_SIDE = 176
#: samples across one pixel of a crop, at most
_MAX_AVERAGED = 32
#: under it nothing is said to be found; see docs/pipelines/pose.md for how it was chosen
MIN_CONFIDENCE = 0.3
#: a pose this sure ends the search
_SURE = 0.5


class Network(Protocol):
    """What is asked of the model: one call, and the object it was trained for."""

    constants: Mapping[str, NDArray[np.generic]]

    def run(self, batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return ``faces`` and ``coordinates`` of float32 (n, 3, h, w), pixels 0 to 255."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A square part of the picture: its centre and side in pixels from the picture's edge."""

    x: float
    y: float
    side: float


def object_of(network: Network) -> Box:
    """Return the object that a model was trained for.

    Raises: ParamsError with code ``model.object_invalid`` when its weights hold none: another network was named.
    """
    try:
        size = np.asarray(network.constants["object.size"], np.float64)
        textures = tuple(np.asarray(network.constants[f"object.texture.{face}"], np.uint8) for face in range(FACES))
    except KeyError as error:
        raise ParamsError(
            f"the model knows no object: its weights hold no {error.args[0]}",
            code="model.object_invalid",
            advice="Name pose-box, or a model that python -m pipeline.pose.train made.",
        ) from error
    return Box("object", size, textures)


def find_pose(network: Network, picture: Picture, camera: Camera, *, aligned: bool = True) -> Pose | None:
    """Return the pose of the object with its confidence, None where nothing like it is seen.

    picture: uint8 RGB (h, w, 3). camera: of this very picture. aligned: False leaves out the fine alignment, as the
    evaluation does to tell what the network alone gives.
    Raises: DeviceOutOfMemory, ModelError, ParamsError.
    """
    box = object_of(network)
    best: Pose | None = None
    for side in SEARCH_SIDES:
        for place in _search(network, picture, side):
            found = _look(network, picture, camera, box, place=place, aligned=aligned)
            if found is not None and (best is None or found.confidence > best.confidence):
                best = found
        if best is not None and best.confidence >= _SURE:
            break
    return best


def _search(network: Network, picture: Picture, longer: int) -> list[_Place]:
    """Return where the box may be, the surest first, from one look at the whole picture shrunk."""
    height, width = picture.shape[:2]
    scale = longer / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    right, below = -size[0] % _MULTIPLE, -size[1] % _MULTIPLE
    padded = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE)
    seen = 1 - network.run(_batch([np.asarray(padded, np.uint8)]))["faces"][0, 0]
    mask = cv2.dilate((seen > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    count, _, parts, _ = cv2.connectedComponentsWithStats(mask)
    places = []
    for left, top, across, down, area in parts[1:count].tolist():
        weight = float(seen[top : top + down, left : left + across].sum())
        if area >= _MIN_AREA:
            cell = STEP * max(height, width) / longer
            centre = (left + across / 2) * cell, (top + down / 2) * cell
            places.append((weight, _Place(*centre, max(across, down, 4) * cell / _REACH)))
    places.sort(key=lambda one: -one[0])
    return [place for _, place in places[:_MAX_PLACES]]


def _look(network: Network, picture: Picture, camera: Camera, box: Box, *, place: _Place, aligned: bool) -> Pose | None:
    """Return the best pose of one place; the second crop is cut around what the first one found."""
    starts: list[Start] = []
    for _ in range(2):
        crop, near = _cut(picture, camera, place, CROP)
        answer = network.run(_batch([crop]))
        solved = solve(correspondences(answer["faces"][0], answer["coordinates"][0], box), near)
        if not solved:
            break
        starts = tried(solved, answer["faces"][0], near, box)
        place = _around(solved[0].pose, camera, box)
    judged = [_judged(picture, camera, box, one, aligned=aligned) for one in starts[: None if aligned else 1]]
    return max(judged, key=lambda pose: pose.confidence) if judged else None


def _judged(picture: Picture, camera: Camera, box: Box, start: Start, *, aligned: bool) -> Pose:
    """Return the aligned pose; its confidence is agreement with the network's map times that with the textures."""
    place = _around(start.pose, camera, box)
    cut, near = _cut(picture, camera, place, int(min(_ALIGN_SIDE / _REACH, max(32.0, place.side))))
    found = align(cut, box, start.pose, near)
    pose = found.pose if aligned else start.pose
    confidence = start.map_agreement(pose) * float(np.clip(found.agreement, 0, 1))
    return Pose(pose.rotation_matrix, pose.translation, confidence)


def _around(pose: Pose, camera: Camera, box: Box) -> _Place:
    seen = camera.project(np.maximum(pose.apply(box.vertices), (-np.inf, -np.inf, 1e-3)))
    low, high = seen.min(0), seen.max(0)
    x, y = (low + high) / 2 + 0.5
    return _Place(float(x), float(y), max(4.0, float((high - low).max())) / _REACH)


def _cut(picture: Picture, camera: Camera, place: _Place, side: int) -> tuple[Picture, Camera]:
    """Return a square part at ``side`` pixels, and its camera; beyond the picture its rim goes on."""
    scale = side / place.side
    left, top = place.x - place.side / 2, place.y - place.side / 2
    # sampled at no less than the picture's own pixels, then averaged: fine texture does not turn to noise
    times = min(_MAX_AVERAGED, max(1, math.ceil(1 / scale)))
    fine = scale * times
    mapping = np.array([[fine, 0, (0.5 - left) * fine - 0.5], [0, fine, (0.5 - top) * fine - 0.5]])
    part = cv2.warpAffine(picture, mapping, (side * times, side * times), borderMode=cv2.BORDER_REPLICATE)
    if times > 1:
        part = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(part, np.uint8), camera.cropped(left, top, scale)


def _batch(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    return np.stack([picture.transpose(2, 0, 1) for picture in pictures]).astype(np.float32)
