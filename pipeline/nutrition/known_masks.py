"""A segmenter for evaluations: it knows some photos and their masks, finds which photo a frame shows, and lays the mask on.

Task ``segment``, runtime ``python``, entry ``pipeline.nutrition.known_masks:open_network``; input RGB 0 to 1, NCHW. The
weights are an npz of ``photos`` and ``masks``, both uint8, (k, h, w): grey photos and class numbers.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.models.decoders import Outputs

#: corners compared, and how many must agree on one similarity transform before a frame is said to show a photo
FEATURES = 3000
MIN_AGREEING = 25
#: how far a corner may be from where the transform puts it, in pixels of the input
TOLERANCE = 3.0


class KnownMasks:
    """The Forward over photos and masks; a frame of none of the photos gets class 0 everywhere."""

    fixed_batch = None

    def __init__(self, photos: NDArray[np.uint8], masks: NDArray[np.uint8]) -> None:
        self._orb = cv2.ORB_create(nfeatures=FEATURES)
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)
        self._masks = masks
        self._known = [self._orb.detectAndCompute(photo, None) for photo in photos]

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Return ``classes``: class of each pixel as whole numbers in float32, (n, h, w)."""
        return {"classes": np.stack([self._classes(picture) for picture in batch]).astype(np.float32)}

    def close(self) -> None:
        """Free nothing: there is only memory of this process."""

    def _classes(self, picture: NDArray[np.float32]) -> NDArray[np.uint8]:
        height, width = picture.shape[1:]
        colours = np.ascontiguousarray((picture.transpose(1, 2, 0) * 255).round().astype(np.uint8))
        points, marks = self._orb.detectAndCompute(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), None)
        fits = [self._fit(known, (points, marks)) for known in self._known]
        best = max(range(len(fits)), key=lambda place: fits[place][0])
        agreeing, move = fits[best]
        if agreeing < MIN_AGREEING or move is None:
            return np.zeros((height, width), dtype=np.uint8)
        laid = cv2.warpAffine(self._masks[best], move, (width, height), flags=cv2.INTER_NEAREST)
        return np.asarray(laid, dtype=np.uint8)

    def _fit(self, known: tuple[object, ...], seen: tuple[object, ...]) -> tuple[int, NDArray[np.float64] | None]:
        """Return how many corners agree on one move from a photo to the frame, and the move, float64, (2, 3)."""
        if known[1] is None or seen[1] is None:
            return 0, None
        pairs = self._matcher.match(known[1], seen[1])
        if len(pairs) < MIN_AGREEING:
            return 0, None
        there = np.array([known[0][pair.queryIdx].pt for pair in pairs])  # type: ignore[index]  # OpenCV has no types
        here = np.array([seen[0][pair.trainIdx].pt for pair in pairs])  # type: ignore[index]
        move, agrees = cv2.estimateAffinePartial2D(there, here, ransacReprojThreshold=TOLERANCE)
        return (0, None) if move is None else (int(agrees.sum()), move)


def open_network(weights: Path, device: str, threads: int) -> KnownMasks:
    """Return the network of an npz file; device and threads do not matter to it. Raises: OSError, KeyError."""
    with np.load(weights, allow_pickle=False) as stored:
        return KnownMasks(stored["photos"], stored["masks"])
