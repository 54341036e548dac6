"""Captions put together from what was found: counts, colours, places and text; nothing else is said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.describe.scene import Scene, place_of
from pipeline.describe.vocabulary import KINDS, said

NOTHING = "Nothing that can be recognised."
#: text of this many lines makes a page of a picture in which nothing else is found
PAGE_LINES = 4
#: one thing that takes so much of the picture makes it a close-up
CLOSE_UP = 0.6
#: labels and words of text told
MAX_LABELS, MAX_WORDS = 6, 16
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def caption_of(scene: Scene) -> str:
    """Return one or two sentences about a picture."""
    groups = grouped(scene.things)
    sentences = []
    if groups:
        parts = [_group(label, things, scene) for label, things in list(groups.items())[:MAX_LABELS]]
        words = _enumerated(parts)
        if len(scene.things) == 1 and _share(scene.things[0], scene) >= CLOSE_UP:
            words = f"a close-up of {_group(scene.things[0]['label'], scene.things, None)}"
        sentences.append(f"{_capital(words)}.")
    if any(_is_word(line) for line in scene.lines):
        sentences.append(_reads(scene.lines, bool(groups)))
    return " ".join(sentences) or NOTHING


def caption_of_video(
    objects: Mapping[str, Mapping[str, Any]], lines: Sequence[Mapping[str, Any]], frames: int
) -> tuple[str, list[dict[str, Any]]]:
    """Return a caption of what stays in a video, and its evidence: what a tenth of the frames show.

    objects, lines: as ``over_time`` merges them. At least two frames must show it where
    there are three or more; what flickers up is in the timeline alone.
    """
    enough = 1 if frames < 3 else max(2, math.ceil(frames / 10))
    staying = [(label, one) for label, one in objects.items() if one["frames"] >= enough]
    staying.sort(key=lambda item: (-item[1]["frames"], item[0]))
    told = staying[:MAX_LABELS]
    read = [line for line in lines if line["frames"] >= enough and _is_word(line)]
    parts = [counted(label, one["max"], None if label == "person" else one["colour"]) for label, one in told]
    sentences = [f"{_capital(_enumerated(parts))}."] if parts else []
    if read:
        sentences.append(_reads(read, bool(parts)))
    evidence = [{"label": label, "score": one["best_score"], **_where(one)} for label, one in told]
    evidence += [{"text": line["text"], "score": line["score"], **_where(line)} for line in read]
    return " ".join(sentences) or NOTHING, evidence


def kind_of(scene: Scene) -> str:
    """Return what kind of picture it is: the kind of thing that takes most of it (animals, vehicles, food, people,
    furniture, things, shapes), ``text`` where text alone is found, ``unknown`` where nothing is."""
    areas: dict[str, float] = {}
    for thing in scene.things:
        kind = _kind(thing["label"])
        areas[kind] = areas.get(kind, 0.0) + thing["box"][2] * thing["box"][3]
    if areas:
        return max(areas, key=lambda kind: areas[kind])
    return "text" if scene.lines else "unknown"


def grouped(things: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return things by label, the label that takes most of the picture first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for thing in things:
        groups.setdefault(thing["label"], []).append(thing)
    size = {label: sum(one["box"][2] * one["box"][3] for one in found) for label, found in groups.items()}
    return {label: groups[label] for label in sorted(groups, key=lambda label: (-size[label], label))}


def counted(label: str, count: int, colour: str | None) -> str:
    """Return a count in words: "a white truck", "three red apples"."""
    name = said(label, count)
    words = f"{colour} {name}" if colour and colour != label else name
    if count == 1:
        return f"an {words}" if words[0] in "aeiou" else f"a {words}"
    return f"{_NUMBERS[count] if count < len(_NUMBERS) else count} {words}"


def _group(label: str, things: Sequence[Mapping[str, Any]], scene: Scene | None) -> str:
    names = {thing["colour"]["name"] if thing.get("colour") else None for thing in things}
    colour = names.pop() if len(names) == 1 else None
    # people's clothes are not their colour
    words = counted(label, len(things), None if label == "person" else colour)
    if scene is None or len(things) > 1:
        return words
    place = place_of(things[0]["box"], scene.width, scene.height)
    return f"{words} in the {place}" if place == "centre" or " " in place else f"{words} at the {place}"


def _reads(lines: Sequence[Mapping[str, Any]], has_things: bool) -> str:
    words = " ".join(line["text"] for line in lines if _is_word(line)).split()
    quoted = " ".join(words[:MAX_WORDS]) + (" ..." if len(words) > MAX_WORDS else "")
    if not has_things and len(lines) >= PAGE_LINES:
        return f"A page of text, {len(lines)} lines, that begins: “{quoted}”"
    return f"{'There is text' if has_things else 'Text'} that reads: “{quoted}”"


def _is_word(line: Mapping[str, Any]) -> bool:
    """Say whether a line is more than a single mark, which in a photograph is rarely text."""
    return sum(map(str.isalnum, line["text"])) > 1


def _where(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"box": one["box"], "index": one["index"]}


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _enumerated(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _share(thing: Mapping[str, Any], scene: Scene) -> float:
    return float(thing["box"][2] * thing["box"][3] / (scene.width * scene.height))


def _kind(label: str) -> str:
    if label == "person":
        return "people"
    for kind in ("animal", "vehicle", "food", "furniture", "shape"):
        if label in KINDS[kind]:
            return kind if kind in ("food", "furniture") else f"{kind}s"
    return "things"
