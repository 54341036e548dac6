"""Marks drawn on a picture: boxes, outlines, lines, dots and labels, readable at any size, the same every time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.marks import Mark

Colour = tuple[int, int, int]
#: left, top, right, bottom in pixels of the picture, the last two exclusive
Area = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

#: of one frame; the first ones are drawn
MAX_MARKS = 1000
#: of one mark
MAX_POINTS = 5000
MAX_TEXT = 80
#: no label is written smaller than this, in pixels
MIN_FONT = 11
#: bright and dark enough to stand out from each other and from most pictures
COLOURS: tuple[Colour, ...] = (
    (255, 200, 0), (0, 190, 255), (255, 90, 95), (80, 220, 100), (200, 120, 255), (255, 140, 30),
    (0, 220, 200), (255, 110, 200), (170, 220, 40), (90, 130, 255), (255, 230, 120), (255, 70, 50),
)  # fmt: skip
_DARK, _LIGHT = (16, 16, 16), (255, 255, 255)
#: texts at one point stand below each other, at most so many
_LINES = 12
#: a mark of at most so many times the height of a letter is low; so many low ones are kept clear
_LOW, MAX_LOW = 4, 200
#: how much of a polygon's colour covers what lies inside it, of 255
_FILL = 70
#: points further outside than this many times the picture's longest side are brought nearer, so that no line is endless
_FAR = 8.0


def draw(image: NDArray[np.uint8], marks: Sequence[Mark], scale: tuple[float, float]) -> NDArray[np.uint8]:
    """Return a copy of the picture with the marks on it.

    image: uint8, (height, width, 3), RGB. scale: picture width / source width, and the same of the heights. Marks
    without points, and points that are not finite numbers, are left out; what lies outside is cut off. Labels
    are placed inside the picture, where they cover no other label if there is such a place.
    """
    picture = Image.fromarray(image)
    canvas = _Canvas(picture, scale)
    shown = [mark for mark in islice(marks, MAX_MARKS) if mark.points]
    for mark in shown:
        canvas.shape(mark)
    for mark in shown:  # afterwards, so that no line crosses a label
        canvas.label(mark)
    return np.asarray(picture, dtype=np.uint8)


def colour_of(group: str) -> Colour:
    """Return the colour of a group: the same on every frame, in every process and on every machine."""
    return COLOURS[zlib.crc32(group.encode()) % len(COLOURS)]


def plain_text(text: str) -> str:
    """Return text as one line of printable characters, at most 80."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text[: 4 * MAX_TEXT]).split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


class _Canvas:
    """One picture while it is drawn on; remembers where labels stand."""

    def __init__(self, picture: Image.Image, scale: tuple[float, float]) -> None:
        self._width, self._height = picture.size
        self._scale = scale
        longest = max(picture.size)
        self._far = _FAR * longest
        self._line = max(2, round(longest / 320))
        self._font_size = max(MIN_FONT, round(longest / 45))
        self._draw = ImageDraw.Draw(picture, "RGBA")
        self._taken: list[Area] = []
        #: marks no higher than two or three labels, lines of text mostly: a label on one would hide it
        self._low: list[Area] = []

    def shape(self, mark: Mark) -> None:
        """Draw everything of a mark but its text; a dark line under the bright one keeps it apart from the picture."""
        points, colour = self._points(mark), colour_of(mark.group)
        if not points or mark.kind == "text":
            return
        if mark.kind == "points":
            radius = max(2, round(1.5 * self._line))
            for x, y in points:
                self._dot(x, y, radius + 1, _DARK)
                self._dot(x, y, radius, colour)
            return
        left, top, right, bottom = _around(points)
        if bottom - top <= _LOW * self._font_size and len(self._low) < MAX_LOW:
            self._low.append((round(left), round(top), round(right), round(bottom)))
        if mark.kind == "box":
            points = _corners(points)
        closed = mark.kind != "line"
        if mark.kind == "polygon" and len(points) > 2:
            self._draw.polygon(points, fill=(*colour, _FILL))
        path = [*points, points[0]] if closed else points
        for width, ink in ((self._line + 2, _DARK), (self._line, colour)):
            self._draw.line(path, fill=(*ink, 255), width=width, joint="curve")

    def label(self, mark: Mark) -> None:
        """Write a mark's text beside it, on its colour; nothing where the picture is too small to read it."""
        points, text = self._points(mark), plain_text(mark.text)
        if not points or not text or self._outside(points):
            return
        font, pad = _font(self._font_size), max(1, self._line)
        text = self._fitting(text, font, 2 * pad)
        left, top, right, bottom = self._draw.textbbox((0, 0), text, font=font)
        width, height = math.ceil(right - left) + 2 * pad, math.ceil(bottom - top) + 2 * pad
        if not text or width > self._width or height > self._height / 2:
            return
        area = self._place(mark, points, width, height)
        self._taken.append(area)
        colour = colour_of(mark.group)
        self._draw.rectangle((area[0], area[1], area[2] - 1, area[3] - 1), fill=(*colour, 255))
        ink = _DARK if _brightness(colour) > 110 else _LIGHT
        self._draw.text((area[0] + pad - left, area[1] + pad - top), text, font=font, fill=(*ink, 255))

    def _points(self, mark: Mark) -> list[tuple[float, float]]:
        found = []
        for x, y in islice(mark.points, MAX_POINTS):
            across, down = x * self._scale[0], y * self._scale[1]
            if math.isfinite(across) and math.isfinite(down):
                found.append((self._near(across), self._near(down)))
        return found

    def _near(self, value: float) -> float:
        return max(-self._far, min(value, self._far))

    def _outside(self, points: Sequence[tuple[float, float]]) -> bool:
        """Whether nothing of a mark is in the picture; its label would stand beside nothing."""
        left, top, right, bottom = _around(points)
        return right < 0 or bottom < 0 or left >= self._width or top >= self._height

    def _dot(self, x: float, y: float, radius: int, colour: Colour) -> None:
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, 255))

    def _fitting(self, text: str, font: Font, room: int) -> str:
        """Return the text, shortened where it is wider than the picture."""
        width = self._width - room
        if self._draw.textlength(text, font=font) <= width:
            return text
        while text and self._draw.textlength(text + "…", font=font) > width:
            text = text[:-1]
        return text + "…" if text else ""

    def _place(self, mark: Mark, points: Sequence[tuple[float, float]], width: int, height: int) -> Area:
        """Return where a label stands: above its mark, else inside it, below, at its lower edge, or right of it."""
        left, top, right, bottom = _around(points)
        if mark.kind == "text":
            places = [(left, top + line * height) for line in range(_LINES)]
        else:
            places = [(left, top - height), (left, top), (left, bottom), (left, bottom - height), (right + 2, top)]
        areas = [self._inside(round(across), round(down), width, height) for across, down in places]
        free = [area for area in areas if not any(_overlap(area, other) for other in self._taken)]
        clear = (area for area in free if not any(_overlap(area, other) for other in self._low))
        return next(clear, free[0] if free else areas[0])

    def _inside(self, left: int, top: int, width: int, height: int) -> Area:
        left = max(0, min(left, self._width - width))
        top = max(0, min(top, self._height - height))
        return left, top, left + width, top + height


def _corners(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    left, top, right, bottom = _around(points)
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _around(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    across, down = [point[0] for point in points], [point[1] for point in points]
    return min(across), min(down), max(across), max(down)


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _brightness(colour: Colour) -> float:
    """Return 0 to 255, weighted as ITU-R BT.601 does."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


@lru_cache(maxsize=16)
def _font(size: int) -> Font:
    """Return the font that comes with Pillow: the same letters on every machine."""
    return ImageFont.load_default(size=size)
