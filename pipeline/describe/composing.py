"""Pictures of known content, made from a seed: flat shapes and text, or things cut out of photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from pipeline.describe.vocabulary import SHAPES

WIDTH, HEIGHT = 960, 720
#: sRGB of the shapes, by the name that people give them
PAINTS = {
    "red": (214, 39, 40), "green": (44, 140, 60), "blue": (31, 90, 190), "yellow": (245, 215, 40),
    "orange": (250, 130, 20), "purple": (130, 50, 150), "black": (20, 20, 20), "brown": (120, 72, 30),
}  # fmt: skip
GROUNDS = ((255, 255, 255), (238, 238, 232), (225, 235, 245), (245, 235, 225))
#: things are larger than a cell: four of them fit
CORNERS = ((0, 0), (2, 0), (0, 2), (2, 2))
CORNER_MIDDLES = (0.25, 0.5, 0.75)
PHRASES = (
    "EXIT", "NO ENTRY", "OPEN 24 HOURS", "WET FLOOR", "PLATFORM 7", "HELLO WORLD", "SALE 50%", "MIND THE GAP",
    "GATE B12", "FRESH BREAD", "QUIET PLEASE", "ROOM 204",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cutout:
    """A thing in one of the test pictures.

    file: under ``images``. box: x, y, width, height in its pixels. colour: None where people would not agree.
    """

    label: str
    file: str
    box: tuple[int, int, int, int]
    colour: str | None
    is_round: bool = False


CUTOUTS = (
    Cutout("truck", "scenes/truck.jpg", (10, 240, 1740, 660), "white"),
    Cutout("cat", "scenes/cat.png", (0, 0, 451, 300), None),
    Cutout("apple", "food/fruit.jpg", (172, 226, 138, 142), "red", True),
    Cutout("apple", "food/fruit.jpg", (418, 222, 122, 128), "red", True),
    Cutout("orange", "food/fruit.jpg", (396, 128, 136, 122), "orange", True),
    Cutout("cup", "food/coffee.png", (150, 0, 290, 250), None),
)


@dataclass(slots=True)
class Composed:
    """A picture, uint8 RGB, (h, w, 3), and what is in it. things: label, colour, cell (column, row of a 3 x 3 grid)."""

    image: NDArray[np.uint8]
    things: list[Mapping[str, Any]] = field(default_factory=list)
    text: str | None = None
    #: what may be asked about and is not there is chosen from these
    labels: Sequence[str] = ()


def shapes_picture(random: Generator) -> Composed:
    """Draw two to five flat shapes, each in a cell of its own, and a phrase in three pictures of four."""
    canvas = Image.new("RGB", (WIDTH, HEIGHT), GROUNDS[random.integers(len(GROUNDS))])
    draw = ImageDraw.Draw(canvas)
    cells = _cells(random, int(random.integers(3, 7)))
    made = Composed(np.asarray(canvas), labels=SHAPES)
    if random.random() < 0.75:
        _write(draw, made, random, cells.pop())
    kinds = random.choice(SHAPES, size=3, replace=False)
    paints = random.choice(list(PAINTS), size=3, replace=False)
    for cell in cells:
        label, colour = str(random.choice(kinds)), str(random.choice(paints))
        _draw_shape(draw, label, PAINTS[colour], _centre(random, cell), float(random.uniform(45, 85)))
        made.things.append({"label": label, "colour": colour, "cell": cell})
    made.image = np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.6)))
    return made


def things_picture(random: Generator, images: Path) -> Composed:
    """Put two to four things cut out of test pictures on a plain background, and a phrase in three pictures of four."""
    canvas = Image.new("RGB", (WIDTH, HEIGHT), GROUNDS[random.integers(len(GROUNDS))])
    draw = ImageDraw.Draw(canvas)
    cells = [CORNERS[place] for place in random.permutation(4)[: int(random.integers(2, 5))]]
    made = Composed(np.asarray(canvas), labels=tuple(sorted({one.label for one in CUTOUTS} | {"dog", "chair", "bus"})))
    if random.random() < 0.75:
        _write(draw, made, random, cells.pop())
    for cell in cells:
        one = CUTOUTS[random.integers(len(CUTOUTS))]
        _paste(canvas, one, images, _centre(random, cell, CORNER_MIDDLES))
        made.things.append({"label": one.label, "colour": one.colour, "cell": cell})
    made.image = np.asarray(canvas)
    return made


def _cells(random: Generator, count: int) -> list[tuple[int, int]]:
    """Return cells of the 3 x 3 grid, each once."""
    places = random.permutation(9)[:count]
    return [(int(place) % 3, int(place) // 3) for place in places]


def _centre(
    random: Generator, cell: tuple[int, int], middles: Sequence[float] = (1 / 6, 1 / 2, 5 / 6)
) -> tuple[float, float]:
    """Return a point near the middle of a cell, far enough from its borders that nobody would name another.

    middles: of the columns and rows, as shares of the picture's sides.
    """
    jitter = random.uniform(-12, 12, size=2)
    return middles[cell[0]] * WIDTH + float(jitter[0]), middles[cell[1]] * HEIGHT + float(jitter[1])


def _write(draw: ImageDraw.ImageDraw, made: Composed, random: Generator, cell: tuple[int, int]) -> None:
    made.text = PHRASES[random.integers(len(PHRASES))]
    font = ImageFont.load_default(float(random.integers(26, 36)))
    draw.text(_centre(random, cell), made.text, fill=(20, 20, 30), font=font, anchor="mm")


def _draw_shape(
    draw: ImageDraw.ImageDraw, label: str, paint: tuple[int, int, int], centre: tuple[float, float], radius: float
) -> None:
    x, y = centre
    if label == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=paint)
    elif label == "triangle":
        draw.polygon([(x, y - radius), (x - radius, y + radius * 0.8), (x + radius, y + radius * 0.8)], fill=paint)
    else:
        across, down = (radius, radius) if label == "square" else (1.6 * radius, 0.9 * radius)
        draw.rectangle((x - across, y - down, x + across, y + down), fill=paint)


def _paste(canvas: Image.Image, one: Cutout, images: Path, centre: tuple[float, float]) -> None:
    x, y, width, height = one.box
    with Image.open(images / one.file) as opened:
        part = opened.convert("RGB").crop((x, y, x + width, y + height))
    scale = min(430 / width, 320 / height)
    part = part.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    mask = Image.new("L", part.size, 0 if one.is_round else 255)
    if one.is_round:
        ImageDraw.Draw(mask).ellipse((0, 0, *part.size), fill=255)
    canvas.paste(part, (round(centre[0] - part.width / 2), round(centre[1] - part.height / 2)), mask)
