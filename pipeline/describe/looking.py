"""One frame looked at: its text, its things with their colours, its flat shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.describe.colours import colours_of
from pipeline.describe.engine import Engine
from pipeline.describe.layout import lines_of
from pipeline.describe.measuring import covered
from pipeline.describe.reading import read_text
from pipeline.describe.shapes import shapes_of
from pipeline.frame import Frame


def read_frame(frame: Frame, engine: Engine, min_score: float) -> tuple[list[dict[str, Any]], int]:
    """Return a frame's lines of text, in reading order and source pixels, and the degrees the page was turned.

    Raises: DeviceOutOfMemory, ModelError.
    """
    text = read_text(frame.image, engine, min_score=min_score)
    return lines_of(text, frame.scale), text.turned


def things_of(
    frame: Frame, found: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what a frame shows, in source pixels: label, score, box, colour and source (detector or shape).

    found: the detector's findings, in the frame's pixels. lines: the frame's text, in source pixels. A flat shape in a
    detected thing is a part of it and left out.
    """
    colours = colours_of(frame.image, [one["box"] for one in found])
    things = [
        {"label": one["label"], "score": one["score"], "box": one["box"], "colour": colour, "source": "detector"}
        for one, colour in zip(found, colours, strict=True)
    ]
    texts = [[value * frame.scale for value in line["box"]] for line in lines]
    for shape in shapes_of(frame.image, texts):
        if not any(covered(shape["box"], thing["box"]) > 0.8 for thing in things if thing["source"] == "detector"):
            colour = {"name": shape["colour"], "share": 1.0}
            things.append({**shape, "colour": colour, "source": "shape"})
    return [{**thing, "box": [round(value / frame.scale, 2) for value in thing["box"]]} for thing in things]
