"""Spaces that the recogniser leaves out, put back where the picture shows a gap between two characters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.describe.engine import Reading

#: a gap this wide, as a share of the median distance between characters, may be a space
GAP_SHARE = 0.4
#: and must be so wide as a share of the gaps where the recogniser saw a space itself, in a line that has some
OWN_SHARE = 0.75
_NEVER_BEFORE = set(".,:;!?)]}%'\"")
_NEVER_AFTER = set("([{#$.:'\"-/@")


def spaced(reading: Reading, crop: NDArray[np.uint8]) -> str:
    """Return the text with a space at each gap; Chinese, Japanese and Korean text is left as it is.

    crop: uint8, (h, w, 3), what was read.
    """
    text, columns = reading.text, reading.columns
    if len(text) < 3 or len(columns) != len(text):
        return text
    places = np.asarray(columns) * crop.shape[1]
    ink = _ink(crop)
    if not ink.any():
        return text  # no contrast: nothing tells letters from gaps
    floor = _floor(text, places, ink)
    told = [text[0]]
    for place in range(1, len(text)):
        pair = text[place - 1], text[place]
        if _may_part(*pair) and _gap(ink, places[place - 1], places[place]) >= floor:
            told.append(" ")
        told.append(pair[1])
    return "".join(told)


def _may_part(left: str, right: str) -> bool:
    """Say whether a space may stand between: not beside another, not in scripts without them, not within a number."""
    if any(one.isspace() or ord(one) >= 0x2E80 for one in (left, right)):
        return False
    if left.isdigit() and right.isdigit():
        return False
    return right not in _NEVER_BEFORE and left not in _NEVER_AFTER


def _floor(text: str, places: NDArray[np.float64], ink: NDArray[np.bool_]) -> float:
    """Return how many pixels wide a gap of this line must be to be a space."""
    floor = GAP_SHARE * float(np.median(np.diff(places)))
    inner = [place for place in range(1, len(text) - 1) if text[place] == " "]
    own = [_gap(ink, places[place - 1], places[place + 1]) for place in inner]
    return max(floor, OWN_SHARE * float(np.median(own))) if own else floor


def _ink(crop: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which columns of a crop hold ink: bool, (w,). The background is what most of its border shows."""
    import cv2  # noqa: PLC0415 - see the package

    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    _, dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    if dark.mean() > 0.5:
        dark = 1 - dark
    trim = max(1, len(dark) // 8)  # neighbours above and below reach into the crop
    return np.asarray(dark[trim:-trim].sum(axis=0) > 0)


def _gap(ink: NDArray[np.bool_], start: float, end: float) -> int:
    """Return the longest run of columns without ink that touches what lies between two characters' middles."""
    inside = ink[max(0, int(start)) : int(end) + 1]
    edges = np.flatnonzero(np.diff(np.concatenate([[True], inside, [True]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
