"""From a found face to the square picture that a face classifier takes, and how much that picture can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: MesoNet's crop: 2.2 x 1.3 times the larger of the distances eye to eye and eyes to mouth (``find_coordinates`` and
#: ``get_aligned_face`` in pipeline.py of its repository)
MESONET_CROP = 2.86
#: the crop's centre, as a share of the way from the nose tip up to the eyes. MesoNet takes the mean of bridge and base
#: of the nose; on the mean face of 300-W (68 landmarks) that is 0.11 of the way
CENTRE_ABOVE_TIP = 0.11
#: landmark distance as a share of a box's longer side, where a detector gives no landmarks: the median of the seven
#: faces of the shared pictures under YuNet (0.345 to 0.402)
DISTANCE_IN_BOX = 0.36
#: a nearly square picture: longer side at most so many times the shorter
SQUARE = 1.25
#: largest side of the grey picture on which sharpness is measured, and the variance of its Laplacian from which a crop
#: counts in full: below it pipeline ``motion`` calls a picture blurred
SHARPNESS_SIDE, SHARP = 256, 20.0
#: the least weight: a face that tells next to nothing is still a face
MIN_WEIGHT = 0.01

Image = NDArray[np.uint8]
Finding = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Crop:
    """image: uint8 RGB, (side, side, 3). pixels: side of the square that it shows, in pixels of the frame."""

    image: Image
    pixels: float

    @property
    def sharpness(self) -> float:
        """Variance of the Laplacian of the grey crop, levels 0 to 255; of larger crops at 256 x 256 pixels."""
        grey = cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY)
        if grey.shape[0] > SHARPNESS_SIDE:
            grey = cv2.resize(grey, (SHARPNESS_SIDE, SHARPNESS_SIDE), interpolation=cv2.INTER_AREA)
        return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def weigh(crop: Crop, sharpness: float) -> float:
    """Return how much a crop's score counts, 0.01 to 1.

    A crop enlarged from fewer pixels than the classifier takes holds that share of the detail it looks for (by area);
    a blurred one has lost its finest detail. Above what is needed nothing is gained: a large sharp face counts 1.
    """
    detail: float = min(1.0, crop.pixels / crop.image.shape[0]) ** 2
    return max(MIN_WEIGHT, detail * min(1.0, sharpness / SHARP))


def crop_face(image: Image, face: Finding, side: int, scale: float) -> Crop:
    """Return the face upright and centred on the nose, ``scale`` landmark distances wide.

    image: uint8 RGB, (h, w, 3). face: a detector's finding, ``box`` and where there are any ``keypoints`` in the order
    eye, eye, nose tip, mouth corner, mouth corner (YuNet's), in pixels of the image. side: of the crop in pixels.
    One similarity transform, bicubic; what lies outside the image is mirrored at its edge, both as MesoNet was trained.
    """
    centre, down, distance = _pose(face)
    pixels = distance * scale
    right = np.array([down[1], -down[0]])
    turn = np.stack([right, down]) * (side / pixels)
    shift = side / 2 - turn @ centre
    matrix = np.column_stack([turn, shift]).astype(np.float64)
    cut = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return Crop(np.asarray(cut, dtype=np.uint8), pixels)


def whole(image: Image, side: int) -> Crop:
    """Return a picture that is a face crop already at the classifier's size."""
    height, width = image.shape[:2]
    shrink = min(height, width) > side
    cut = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    return Crop(np.asarray(cut, dtype=np.uint8), float(min(height, width)))


def is_crop(image: Image, faces: Sequence[Finding], below: float) -> bool:
    """Say whether a picture is itself the crop of one face: nearly square, and hardly larger than its only face.

    below: how many times the longer side of the face's box the picture's longer side may be. Published sets of crops
    enlarge the face's box 1.1 to 1.6 times (FaceForensics++ 1.3); such a picture is judged as its maker cut it.
    """
    height, width = image.shape[:2]
    if len(faces) != 1 or max(height, width) > SQUARE * min(height, width):
        return False
    return bool(max(height, width) <= below * max(faces[0]["box"][2:]))


def _pose(face: Finding) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return centre, direction from eyes to mouth (length 1) and landmark distance of a face, in pixels."""
    x, y, width, height = face["box"]
    points = np.asarray(face.get("keypoints", ()), dtype=np.float64)
    upright = np.array([x + width / 2, y + height / 2]), np.array([0.0, 1.0]), DISTANCE_IN_BOX * max(width, height)
    if points.shape != (5, 2):
        return upright
    eyes, mouth, tip = points[:2].mean(axis=0), points[3:].mean(axis=0), points[2]
    height_of_face = float(np.linalg.norm(mouth - eyes))
    if height_of_face < 0.1 * upright[2]:
        return upright  # landmarks on one spot tell no direction
    distance = max(height_of_face, float(np.linalg.norm(points[0] - points[1])))
    return tip + CENTRE_ABOVE_TIP * (eyes - tip), (mouth - eyes) / height_of_face, distance
