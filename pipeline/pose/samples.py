"""Training crops, drawn from a seed and a number: the picture a network sees and what it should answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.pose.backdrop import random_backdrop
from pipeline.pose.box import Box
from pipeline.pose.camera import Camera
from pipeline.pose.pose import Pose
from pipeline.pose.render import paint, surface
from pipeline.pose.rotation import random_rotation
from pipeline.pose.scene import DISTANCES, develop, occlude, random_box, random_light

#: pixels across and down of what the network is trained on, and of one cell of its answer
CROP = 96
STEP = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """picture: uint8 RGB (CROP, CROP, 3). faces: int64 (CROP / STEP, CROP / STEP), 0 for nothing, else face + 1.

    coordinates: float32 (3, CROP / STEP, CROP / STEP), place on the box as share of its half sizes, -1 to 1.
    """

    picture: NDArray[np.uint8]
    faces: NDArray[np.int64]
    coordinates: NDArray[np.float32]


def draw_sample(box: Box, seed: int, number: int) -> Sample:
    """Return sample ``number`` of ``seed``; the same at every call, on whichever process.

    Seven of ten show the box filling the crop, as after it was found; two show it small, as while it is searched; one
    does not hold it. Every fourth holds another box too.
    """
    random = np.random.default_rng([seed, number])
    picture = random_backdrop(random, CROP, CROP)
    if random.random() < 0.25:
        _add_stranger(random, picture)
    kind = random.random()
    faces = np.zeros((CROP // STEP, CROP // STEP), np.int64)
    coordinates = np.zeros((3, CROP // STEP, CROP // STEP), np.float32)
    if kind < 0.9:
        reach = random.uniform(0.55, 0.95) if kind < 0.7 else random.uniform(0.15, 0.6)
        pose, camera = _placed(random, box, reach)
        cover = paint(picture, box, pose, camera, shades=random_light(random, pose)) > 0.5
        met = surface(box, pose, camera.rays(CROP, CROP, STEP))
        faces[:] = met.faces + 1
        if random.random() < 0.5:
            hidden = occlude(random, picture, cover, random.uniform(0.03, 0.4))
            faces[hidden[::STEP, ::STEP] & hidden[1::STEP, 1::STEP]] = 0
        coordinates[:] = (met.coordinates / box.half).transpose(2, 0, 1)
    return Sample(develop(random, picture), faces, coordinates)


def _placed(random: np.random.Generator, box: Box, reach: float) -> tuple[Pose, Camera]:
    """Return a pose, and the camera of a crop in which the box takes ``reach`` of the side, about in the middle."""
    focal = random.uniform(450, 950)
    place = np.array([random.uniform(-0.5, 0.5), random.uniform(-0.4, 0.4), 1.0])
    distance = random.uniform(DISTANCES[0] * 0.8, DISTANCES[1] * 1.2) * box.diameter
    pose = Pose(random_rotation(random), place / np.linalg.norm(place) * distance)
    camera = Camera(focal, focal, 0.0, 0.0)
    seen = camera.project(pose.apply(box.vertices))
    low, high = seen.min(0), seen.max(0)
    side = (high - low).max() / reach
    room = (1 - reach) * 0.6 if reach > 0.5 else (1 - reach) * 0.9
    left, top = (low + high) / 2 - side / 2 + random.uniform(-room, room, 2) * side / 2
    return pose, camera.cropped(left, top, CROP / side)


def _add_stranger(random: np.random.Generator, picture: NDArray[np.uint8]) -> None:
    stranger = random_box(random)
    pose, camera = _placed(random, stranger, random.uniform(0.2, 0.8))
    shift = random.uniform(-0.4, 0.4, 2) * CROP
    camera = camera.cropped(shift[0], shift[1], 1.0)
    paint(picture, stranger, pose, camera, shades=random_light(random, pose))
