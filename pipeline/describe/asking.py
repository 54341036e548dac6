"""Questions about composed pictures, with their true answers; some cannot be answered by anybody who only looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.describe.answering import UNKNOWN
from pipeline.describe.composing import Composed, shapes_picture, things_picture
from pipeline.describe.measuring import edit_distance, fold
from pipeline.describe.vocabulary import said

#: how often each kind is asked in a round of ten pictures with four questions each
KINDS = ("count", "presence", "colour", "where", "text", "unanswerable")
QUESTIONS_PER_PICTURE = 4

_COLUMNS, _ROWS = ("left", "", "right"), ("top", "", "bottom")
_COUNT = ("How many {many} are there?", "How many {many} can you see in the picture?", "What is the number of {many}?")
_PRESENCE = ("Is there {a} {one}?", "Do you see {a} {one}?", "Are there any {many} in the picture?")
_COLOUR = ("What colour is the {one}?", "What color is the {one} in the picture?", "What is the colour of the {one}?")
_WHERE = ("Where is the {one}?", "Where is the {one} in the image?")
_TEXT = ("What does it say?", "What is written on the sign?", "What's the text in the picture?")
_UNANSWERABLE = (
    "How many dragons are there?", "What colour is the piano?", "Who made this picture?", "Why is it there?",
    "Where is the lighthouse?", "Is there a unicorn?", "What is the weather like tomorrow?", "What does the piano say?",
    "What colour is the giraffe?", "Where is the bus?", "Is the zebra left of the giraffe?",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about one picture and its true answer (``unknown`` where nobody could tell)."""

    kind: str
    question: str
    truth: str


@dataclass(frozen=True, slots=True)
class Exam:
    """A picture, uint8 RGB, (h, w, 3), and the questions about it."""

    image: NDArray[np.uint8]
    asked: Sequence[Asked]


def exams(seed: int, pictures: int, images: Path) -> list[Exam]:
    """Return pictures, shapes and photographed things by turns, with four questions each; the same for the same seed.

    images: the folder of test pictures that things are cut out of.
    """
    made = []
    turn = 0
    for place in range(pictures):
        random = np.random.default_rng([seed, place])
        picture = shapes_picture(random) if place % 2 == 0 else things_picture(random, images)
        asked: list[Asked] = []
        while len(asked) < QUESTIONS_PER_PICTURE:
            one = _MAKERS[KINDS[turn % len(KINDS)]](picture, random)
            turn += 1
            if one is not None:
                asked.append(one)
        made.append(Exam(picture.image, asked))
    return made


def is_right(asked: Asked, answer: str) -> bool:
    """Say whether an answer is the true one; text may differ in case, spaces and 5 % of its characters."""
    if asked.kind == "text" and asked.truth != UNKNOWN:
        return edit_distance(fold(asked.truth), fold(answer)) <= 0.05 * len(fold(asked.truth))
    return answer == asked.truth


def _count(picture: Composed, random: Generator) -> Asked:
    here = sorted({thing["label"] for thing in picture.things})
    label = str(random.choice(here if here and random.random() < 0.75 else picture.labels))
    count = sum(thing["label"] == label for thing in picture.things)
    return Asked("count", _of(random, _COUNT).format(many=said(label, 2)), str(count))


def _presence(picture: Composed, random: Generator) -> Asked:
    here = sorted({thing["label"] for thing in picture.things})
    away = [label for label in picture.labels if label not in here]
    label = str(random.choice(here if here and (random.random() < 0.5 or not away) else away))
    article = "an" if label[0] in "aeiou" else "a"
    question = _of(random, _PRESENCE).format(one=said(label), many=said(label, 2), a=article)
    return Asked("presence", question, "yes" if label in here else "no")


def _colour(picture: Composed, random: Generator) -> Asked | None:
    told = [thing for thing in _single(picture) if thing["colour"]]
    if not told:
        return None
    thing = told[random.integers(len(told))]
    return Asked("colour", _of(random, _COLOUR).format(one=said(thing["label"])), thing["colour"])


def _where(picture: Composed, random: Generator) -> Asked | None:
    told = _single(picture)
    if not told:
        return None
    thing = told[random.integers(len(told))]
    column, row = thing["cell"]
    place = " ".join(word for word in (_ROWS[row], _COLUMNS[column]) if word) or "centre"
    return Asked("where", _of(random, _WHERE).format(one=said(thing["label"])), place)


def _text(picture: Composed, random: Generator) -> Asked:
    return Asked("text", _of(random, _TEXT), picture.text or UNKNOWN)


def _unanswerable(picture: Composed, random: Generator) -> Asked:
    return Asked("unanswerable", _of(random, _UNANSWERABLE), UNKNOWN)


def _single(picture: Composed) -> list[Mapping[str, Any]]:
    """Return the things whose label nothing else in the picture has."""
    counts = Counter(thing["label"] for thing in picture.things)
    return [thing for thing in picture.things if counts[thing["label"]] == 1]


def _of(random: Generator, wordings: Sequence[str]) -> str:
    return wordings[int(random.integers(len(wordings)))]


_MAKERS: Mapping[str, Callable[[Composed, Generator], Asked | None]] = {
    "count": _count, "presence": _presence, "colour": _colour, "where": _where, "text": _text,
    "unanswerable": _unanswerable,
}  # fmt: skip
