"""From a picture to the pieces of text in it, at whatever size and whichever way up."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.describe.engine import Engine, Picture
from pipeline.describe.measuring import covered
from pipeline.describe.pieces import Piece, Quad, Text, box_of
from pipeline.describe.spacing import spaced

#: the short side is enlarged to this, at most by ENLARGE: twice finds more on one receipt and loses a letter on a clean
#: page, see docs/pipelines/describe.md
SHORT_SIDE = 736
ENLARGE = 1.5
#: the longest side searched in one go, pixels; larger pages are searched shrunk to it and once more in bands
LONG_SIDE = 1600
#: a page shrunk no more than this is searched once
ENOUGH = 0.7
#: how far bands of a large page overlap: a line of text lower than this is whole in one of them
OVERLAP = 96
#: lines lower than this in the shrunk page are left to the bands
MIN_FOUND_HEIGHT = 14.0
#: crops recognised together
MAX_LINES = 1000
#: a page whose text is mostly taller than wide lies on its side
TALL = 1.5
#: sure enough that a line stands on its head; PP-OCR's own threshold
UPSIDE_DOWN = 0.9
#: lines that make up less than this share of a page's text do not stand otherwise than the rest
DISSENT = 0.3


def read_text(image: Picture, engine: Engine, *, min_score: float) -> Text:
    """Find and read all text of a picture.

    image: uint8, (h, w, 3), RGB. min_score: pieces under it are left out. Pieces come from the top; see
    ``layout`` for the order in which one reads. Raises: DeviceOutOfMemory, ModelError.
    """
    picture, pad = _padded(np.ascontiguousarray(image[:, :, ::-1]))
    quads, quarter = find_lines(picture, engine), 0
    if _on_its_side(quads):
        quarter = 1
        picture = np.ascontiguousarray(np.rot90(picture, -1))
        quads = find_lines(picture, engine)
    quads = sorted(quads, key=lambda quad: (quad[0, 1], quad[0, 0]))[:MAX_LINES]
    crops = [cut_out(picture, quad) for quad in quads]
    heads = _heads(engine.upside_down(crops), quads)
    overturned = _share(heads, quads) > 0.5
    turned = zip(crops, heads, strict=True)
    upright = [np.ascontiguousarray(crop[::-1, ::-1]) if head else crop for crop, head in turned]
    pieces = []
    for quad, crop, head, reading in zip(quads, upright, heads, engine.read(upright), strict=True):
        text = spaced(reading, crop).strip()
        if text and reading.score >= min_score:
            corners = np.roll(_first_corner(quad), 2, axis=0) if head else _first_corner(quad)
            pieces.append(Piece(text, round(reading.score, 4), _back(corners, quarter, picture.shape) - pad))
    return Text(tuple(pieces), (90 * quarter + 180 * overturned) % 360)


def find_lines(picture: Picture, engine: Engine) -> list[Quad]:
    """Return the corners of each line of text in picture pixels, float64, (4, 2); picture: uint8 BGR, sides >= 32.

    Small pictures are enlarged; of large ones the lines that are big enough are found on the whole, the others band by
    band at full size, so that memory does not grow with the page.
    """
    height, width = picture.shape[:2]
    scale = min(ENLARGE, max(1.0, SHORT_SIDE / min(height, width)), LONG_SIDE / max(height, width))
    coarse = [quad / scale for quad in engine.find(_resized(picture, scale))]
    if scale >= ENOUGH:
        return coarse
    found = [quad for quad in coarse if _height(quad) * scale >= MIN_FOUND_HEIGHT]
    fine = [quad for quad in _in_bands(picture, engine) if not _taken(quad, found)]
    found += fine
    return found + [quad for quad in coarse if not _taken(quad, found)]


def cut_out(picture: Picture, quad: Quad) -> Picture:
    """Return a line's crop, made straight; one much taller than wide is laid on its side (read upwards)."""
    corners = quad.astype(np.float32)
    width = max(1, int(max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3]))))
    height = max(1, int(max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    crop = cv2.warpPerspective(
        picture,
        cv2.getPerspectiveTransform(corners, target),
        (width, height),
        borderMode=cv2.BORDER_REPLICATE,
        flags=cv2.INTER_CUBIC,
    )
    return np.ascontiguousarray(np.rot90(crop)) if height >= TALL * width else np.asarray(crop)


def _in_bands(picture: Picture, engine: Engine) -> list[Quad]:
    """Search a large page at full size in bands; each line is taken from the band in whose own part its middle lies."""
    height, width = picture.shape[:2]
    band = max(2 * OVERLAP, LONG_SIDE * LONG_SIDE // width)
    found = []
    for top in range(0, height, band):
        first, last = max(0, top - OVERLAP), min(height, top + band + OVERLAP)
        if last - first < 32:
            continue
        for quad in engine.find(np.ascontiguousarray(picture[first:last])):
            middle = quad[:, 1].mean() + first
            low, high = quad[:, 1].min(), quad[:, 1].max()
            cut = (low <= 1 and first > 0) or (high >= last - first - 2 and last < height)
            if top <= middle < top + band and not cut:
                found.append(quad + np.array([0.0, first]))
    return found


def _padded(picture: Picture) -> tuple[Picture, NDArray[np.float64]]:
    """Return the picture with sides of at least 64 pixels, its edge repeated, and how far it moved (x, y)."""
    height, width = picture.shape[:2]
    down, across = max(0, 64 - height), max(0, 64 - width)
    if not down and not across:
        return picture, np.zeros(2)
    top, left = down // 2, across // 2
    grown = cv2.copyMakeBorder(picture, top, down - top, left, across - left, cv2.BORDER_REPLICATE)
    return np.asarray(grown), np.array([left, top], dtype=np.float64)


def _resized(picture: Picture, scale: float) -> Picture:
    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    size = (max(32, round(width * scale)), max(32, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA))


def _height(quad: Quad) -> float:
    return float(min(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[0] - quad[1])))


def _is_tall(quad: Quad) -> bool:
    return bool(np.linalg.norm(quad[0] - quad[3]) >= TALL * np.linalg.norm(quad[0] - quad[1]))


def _on_its_side(quads: Sequence[Quad]) -> bool:
    return _share([_is_tall(quad) for quad in quads], quads) > 0.5


def _heads(sure: Sequence[float], quads: Sequence[Quad]) -> list[bool]:
    """Say of each line whether it stands on its head; where nearly all of the page agrees, its lines all follow."""
    heads = [one > UPSIDE_DOWN for one in sure]
    share = _share(heads, quads)
    return [share > 0.5] * len(heads) if abs(share - 0.5) > 0.5 - DISSENT else heads


def _share(held: Sequence[bool], quads: Sequence[Quad]) -> float:
    """Return for how much of the text something holds, by length: 0 to 1."""
    lengths = [float(np.ptp(quad, axis=0).max()) for quad in quads]
    return sum(length for length, one in zip(lengths, held, strict=True) if one) / max(sum(lengths), 1.0)


def _taken(quad: Quad, found: Sequence[Quad]) -> bool:
    """Say whether more than 0.3 of a line's box is covered by one already found."""
    box = box_of(quad)
    return any(covered(box, box_of(other)) > 0.3 for other in found)


def _first_corner(quad: Quad) -> Quad:
    """Turn the corners of a tall line so that they begin where one begins to read: lower left, read upwards."""
    return np.roll(quad, 1, axis=0) if _is_tall(quad) else quad


def _back(quad: Quad, quarter: int, turned_shape: Sequence[int]) -> Quad:
    """Take corners from the page turned clockwise by a quarter (or not) to the page as it came."""
    if not quarter:
        return quad
    # turned: x' = h - 1 - y, y' = x with h the height before, which is the width now
    return np.stack([quad[:, 1], turned_shape[1] - 1 - quad[:, 0]], axis=1)
