"""From a network's answer to poses: correspondences between cells and places on the box, then PnP with RANSAC."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.pose.box import NORMALS, Box
from pipeline.pose.camera import Camera
from pipeline.pose.pose import Pose
from pipeline.pose.samples import STEP

Vector = NDArray[np.float64]
#: a cell counts when the network gives its face at least this probability
MIN_PROBABILITY = 0.6
MIN_CELLS = 12
#: pixels of the crop by which a correspondence may be off
INLIER_PIXELS = 2.5
_ITERATIONS = 200
_ROUNDS = 4
#: with so large a share of the cells on one face, both poses that a plane allows are tried
_PLANAR_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Correspondences:
    """Pixels (n, 2) of a crop, places on the box (n, 3) in metres, and the face of each (n,)."""

    pixels: NDArray[np.float64]
    places: NDArray[np.float64]
    faces: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pose, and the share of correspondences that agree with it."""

    pose: Pose
    inliers: float


def correspondences(faces: NDArray[np.float32], coordinates: NDArray[np.float32], box: Box) -> Correspondences:
    """Return what the network says of one crop. faces: (7, h, w). coordinates: (3, h, w), -1 to 1."""
    named = faces.argmax(0)
    rows, columns = np.nonzero((named > 0) & (faces.max(0) >= MIN_PROBABILITY))
    which = named[rows, columns] - 1
    places = np.clip(coordinates[:, rows, columns].T.astype(np.float64), -1, 1)
    # the face is known with more certainty than the place: put the place exactly on it
    normals = NORMALS[which]
    places = np.asarray(np.where(normals != 0, normals, places) * box.half, np.float64)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64) * STEP + (STEP - 1) / 2
    return Correspondences(pixels, places, which)


def solve(found: Correspondences, camera: Camera) -> list[Candidate]:
    """Return the poses that explain the correspondences, best first; none where too few agree."""
    if len(found.pixels) < MIN_CELLS:
        return []
    start = _robust(found, camera)
    if start is None:
        return []
    turn, shift, kept = start
    places, pixels = found.places[kept], found.pixels[kept]
    starts = [(turn, shift)]
    if np.bincount(found.faces[kept]).max() >= _PLANAR_SHARE * len(kept):
        starts += _plane_poses(places, pixels, found.faces[kept], camera)
    candidates = [_refined(*start, found, camera) for start in starts]
    return sorted((one for one in candidates if one is not None), key=lambda one: -one.inliers)


def _robust(found: Correspondences, camera: Camera) -> tuple[Vector, Vector, NDArray[np.int64]] | None:
    """Return rotation vector, translation and the correspondences that agree, None where too few do.

    Three points at a time (Ke and Roumeliotis 2017), which a single face cannot lead astray.
    """
    try:
        # OpenCV draws its samples from a generator of fixed seed: equal input, equal answer
        good, turn, shift, kept = cv2.solvePnPRansac(
            found.places,
            found.pixels,
            camera.matrix,
            None,
            iterationsCount=_ITERATIONS,
            reprojectionError=INLIER_PIXELS,
            confidence=0.9999,
            flags=cv2.SOLVEPNP_AP3P,
        )
    except cv2.error:  # it asserts on places that span too little, as all on one line
        return None
    if not good or kept is None or len(kept) < MIN_CELLS:
        return None
    return np.asarray(turn, np.float64), np.asarray(shift, np.float64), np.asarray(kept, np.int64).ravel()


def _refined(turn: Vector, shift: Vector, found: Correspondences, camera: Camera) -> Candidate | None:
    """Fit a pose to all that agree with it, a few times over: it began from three points, and more agree each time."""
    share = 0.0
    for _ in range(_ROUNDS):
        gaps = _gaps(turn, shift, found, camera)
        agreeing = gaps <= INLIER_PIXELS
        share = float(agreeing.mean())
        if agreeing.sum() < MIN_CELLS:
            return None
        turn, shift = (
            np.asarray(one, np.float64)
            for one in cv2.solvePnPRefineLM(
                found.places[agreeing], found.pixels[agreeing], camera.matrix, None, turn.copy(), shift.copy()
            )
        )
    matrix, _ = cv2.Rodrigues(turn)
    return Candidate(Pose(np.asarray(matrix, np.float64), shift.ravel()), share)


def _gaps(turn: Vector, shift: Vector, found: Correspondences, camera: Camera) -> Vector:
    """Return by how many pixels each correspondence is off, infinite where it would lie behind the camera."""
    matrix, _ = cv2.Rodrigues(turn)
    before = Pose(np.asarray(matrix, np.float64), shift.ravel()).apply(found.places)
    ahead = before[:, 2] > 1e-6
    gaps = np.full(len(before), np.inf)
    gaps[ahead] = np.linalg.norm(camera.project(before[ahead]) - found.pixels[ahead], axis=1)
    return gaps


def _plane_poses(
    places: NDArray[np.float64], pixels: NDArray[np.float64], faces: NDArray[np.int64], camera: Camera
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return both poses of the face that holds most points (Collins and Bartoli 2014, IPPE)."""
    on = faces == np.bincount(faces).argmax()
    count, turns, shifts, *_ = cv2.solvePnPGeneric(places[on], pixels[on], camera.matrix, None, flags=cv2.SOLVEPNP_IPPE)
    both = zip(turns, shifts, strict=True) if count else ()
    return [(np.asarray(turn, np.float64), np.asarray(shift, np.float64)) for turn, shift in both]
