"""A segmenter for evaluations: it finds which of the photos it knows a frame shows, and lays that photo's mask on it.

Task ``segment``, runtime ``python``, entry ``pipeline.nutrition.known_masks:open_network``; input RGB 0 to 1, NCHW. The
weights are an npz of ``photos`` and ``masks``, both uint8, (k, h, w): grey photos and class numbers.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.models.outputs import Outputs

#: corners compared, and how many must agree on one similarity transform before a frame is said to show a photo
FEATURES = 1200
MIN_AGREEING = 25
#: how far a corner may be from where the transform puts it, in pixels of the input
TOLERANCE = 3.0

#: places, float64, (k, 2), and descriptors, uint8, (k, 32), of a picture's corners
Corners = tuple[NDArray[np.float64], NDArray[np.uint8]]


class KnownMasks:
    """The Forward over photos and masks; a frame of none of the photos gets class 0 everywhere."""

    fixed_batch = None

    def __init__(self, photos: NDArray[np.uint8], masks: NDArray[np.uint8]) -> None:
        self._orb = cv2.ORB.create(nfeatures=FEATURES)
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)
        self._masks = masks
        self._known = [self._corners(photo) for photo in photos]

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Return ``classes``: class of each pixel as whole numbers in float32, (n, h, w)."""
        return {"classes": np.stack([self._classes(picture) for picture in batch]).astype(np.float32)}

    def close(self) -> None:
        """Free nothing: there is only memory of this process."""

    def _classes(self, picture: NDArray[np.float32]) -> NDArray[np.uint8]:
        height, width = picture.shape[1:]
        colours = np.ascontiguousarray((picture.transpose(1, 2, 0) * 255).round().astype(np.uint8))
        seen = self._corners(np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), dtype=np.uint8))
        fits = [self._fit(known, seen) for known in self._known]
        best = max(range(len(fits)), key=lambda place: fits[place][0])
        agreeing, move = fits[best]
        if agreeing < MIN_AGREEING or move is None:
            return np.zeros((height, width), dtype=np.uint8)
        laid = cv2.warpAffine(self._masks[best], move, (width, height), flags=cv2.INTER_NEAREST)
        return np.asarray(laid, dtype=np.uint8)

    def _corners(self, grey: NDArray[np.uint8]) -> Corners:
        points, marks = self._orb.detectAndCompute(grey, None)
        places = np.array([point.pt for point in points], dtype=np.float64).reshape(-1, 2)
        return places, np.zeros((0, 32), dtype=np.uint8) if marks is None else np.asarray(marks, dtype=np.uint8)

    def _fit(self, known: Corners, seen: Corners) -> tuple[int, NDArray[np.float64] | None]:
        """Return how many corners agree on one move from a photo to the frame, and the move, float64, (2, 3)."""
        pairs = self._matcher.match(known[1], seen[1]) if len(known[1]) and len(seen[1]) else []
        if len(pairs) < MIN_AGREEING:
            return 0, None
        there = known[0][[pair.queryIdx for pair in pairs]]
        here = seen[0][[pair.trainIdx for pair in pairs]]
        move, agrees = cv2.estimateAffinePartial2D(there, here, ransacReprojThreshold=TOLERANCE)
        return (0, None) if move is None else (int(agrees.sum()), np.asarray(move, dtype=np.float64))


def open_network(weights: Path, device: str, threads: int) -> KnownMasks:
    """Return the network of an npz file; device and threads do not matter to it. Raises: OSError, KeyError."""
    with np.load(weights, allow_pickle=False) as stored:
        return KnownMasks(stored["photos"], stored["masks"])
