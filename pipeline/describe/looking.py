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


def look_at(
    frame: Frame, found: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[Mapping[str, Any]]]:
    """Return what a frame shows, in source pixels, and the lines that are text rather than shapes.

    A thing has label, score, box, colour and source (detector or shape). found: the detector's findings, in the frame's
    pixels. lines: the frame's text, in source pixels. Where findings contradict each other, what can be measured wins:
    a flat shape is no photographed thing, a line of text neither, and a lone mark that fills a shape is that shape.
    """
    texts = [[value * frame.scale for value in line["box"]] for line in lines]
    shapes = shapes_of(frame.image)
    marks = {place for place, line in enumerate(lines) if _is_mark(line["text"]) and _stands_on(texts[place], shapes)}
    texts = [box for place, box in enumerate(texts) if place not in marks]
    shapes = [one for one in shapes if not any(covered(one["box"], box) > 0.7 for box in texts)]
    kept = [one for one in found if not _alike_any(one["box"], shapes) and not any(_fills(box, one) for box in texts)]
    colours = colours_of(frame.image, [one["box"] for one in kept])
    things: list[dict[str, Any]] = [
        {"label": one["label"], "score": one["score"], "box": one["box"], "colour": colour, "source": "detector"}
        for one, colour in zip(kept, colours, strict=True)
    ]
    for shape in shapes:
        if not any(covered(shape["box"], one["box"]) > 0.8 for one in kept):  # else it is a part of a thing
            things.append({**shape, "colour": {"name": shape["colour"], "share": 1.0}, "source": "shape"})
    told = [{**thing, "box": [round(value / frame.scale, 2) for value in thing["box"]]} for thing in things]
    return told, [line for place, line in enumerate(lines) if place not in marks]


def _is_mark(text: str) -> bool:
    """Say whether a text is a lone mark or has no letter or digit: what a reader makes of shapes, as O of a disc."""
    return len(text) == 1 or not any(map(str.isalnum, text))


def _alike_any(box: Sequence[float], shapes: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether a box and some shape's cover each other by half or more."""
    return any(covered(box, one["box"]) > 0.5 and covered(one["box"], box) > 0.5 for one in shapes)


def _stands_on(line: Sequence[float], shapes: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether a line lies on a shape or around it."""
    return any(covered(line, one["box"]) > 0.7 or covered(one["box"], line) > 0.7 for one in shapes)


def _fills(line: Sequence[float], thing: Mapping[str, Any]) -> bool:
    """Say whether a thing is no more than a line of text."""
    return covered(thing["box"], line) > 0.6 and covered(line, thing["box"]) > 0.6
