"""Answers that stand on what was seen and read, each with its evidence; what cannot be grounded is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.describe.measuring import covered, fold
from pipeline.describe.questions import Phrase, Question, parse
from pipeline.describe.scene import Scene, evidence_of, is_beside, place_of, text_evidence
from pipeline.describe.vocabulary import coarser, labels_of, said

UNKNOWN = "unknown"
#: a colour that fewer of a thing's pixels have is not named
MIN_COLOUR_SHARE = 0.25
#: evidence that is told with an answer
MAX_EVIDENCE = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What one picture answers. confidence: 0 to 1, the least of the evidence it stands on; None where it stands on
    nothing having been found. number: what was counted. reason: why it is unknown."""

    text: str
    confidence: float | None = None
    evidence: Sequence[Mapping[str, Any]] = ()
    reason: str | None = None
    number: int | None = None

    @property
    def is_known(self) -> bool:
        """Say whether it is an answer at all."""
        return self.text != UNKNOWN


def unknown(reason: str) -> Answer:
    """Return that a question cannot be answered, and why."""
    return Answer(UNKNOWN, reason=reason)


def answer(question: Question | None, scene: Scene, known: Sequence[str]) -> Answer:
    """Answer a question about one picture; known: the labels of the detector that looked at it."""
    if question is None:
        return unknown("The question is not understood: ask how many, is there, what colour, where, or what it says.")
    return _ANSWERS[question.kind](question, _View(scene, known))


def understood(text: str) -> bool:
    """Say whether a question fits the grammar."""
    return parse(text) is not None


@dataclass(frozen=True, slots=True)
class _View:
    """A scene as one detector sees it."""

    scene: Scene
    known: Sequence[str]

    def find(self, phrase: Phrase) -> list[Mapping[str, Any]] | Answer:
        """Return the things that a phrase means, or why nobody can tell."""
        labels = labels_of(phrase.noun, self.known)
        if labels is None:
            return self._not_known(phrase.noun)
        found = [thing for thing in self.scene.things if thing["label"] in labels]
        return found if phrase.colour is None else [thing for thing in found if has_colour(thing, phrase.colour)]

    def _not_known(self, noun: str) -> list[Mapping[str, Any]] | Answer:
        label = coarser(noun, self.known)
        if label is None:
            return unknown(f"Nothing here can recognise {noun!r}.")
        if any(thing["label"] == label for thing in self.scene.things):
            return unknown(f"A {said(label)} is seen, but nothing here can tell whether it is a {noun!r}.")
        return []  # no person, so no child either


def has_colour(thing: Mapping[str, Any], colour: str) -> bool:
    """Say whether a colour is a thing's first, or its second where both are strong."""
    told = thing.get("colour")
    return told is not None and colour in (told["name"], told.get("also"))


def _count(question: Question, view: _View) -> Answer:
    assert question.subject is not None
    found = view.find(question.subject)
    if isinstance(found, Answer):
        return found
    return Answer(str(len(found)), _least(found), _things(found), number=len(found))


def _presence(question: Question, view: _View) -> Answer:
    assert question.subject is not None
    found = view.find(question.subject)
    if isinstance(found, Answer):
        return found
    wanted = question.subject.number or 1
    best = sorted(found, key=lambda thing: -thing["score"])[:wanted]
    return Answer("yes", _least(best), _things(found)) if len(found) >= wanted else Answer("no", None, _things(found))


def _colour(question: Question, view: _View) -> Answer:
    found = _some(question.subject, view)
    if isinstance(found, Answer):
        return found
    told = [thing for thing in found if thing.get("colour") and thing["colour"]["share"] >= MIN_COLOUR_SHARE]
    if not told:
        return unknown("No colour stands out on it.")
    names = list(dict.fromkeys(thing["colour"]["name"] for thing in told))
    sure = min(min(thing["score"], thing["colour"]["share"]) for thing in told)
    return Answer(" and ".join(names), round(sure, 4), _things(told))


def _is_colour(question: Question, view: _View) -> Answer:
    found = _some(question.subject, view)
    if isinstance(found, Answer):
        return found
    assert question.colour is not None
    verdict = all(has_colour(thing, question.colour) for thing in found)
    return Answer("yes" if verdict else "no", _least(found), _things(found))


def _where(question: Question, view: _View) -> Answer:
    found = _some(question.subject, view)
    if isinstance(found, Answer):
        return found
    places = Counter(place_of(thing["box"], view.scene.width, view.scene.height) for thing in found)
    return Answer(" and ".join(places), _least(found), _things(found))


def _relation(question: Question, view: _View) -> Answer:
    found, others = _some(question.subject, view), _some(question.other, view)
    if isinstance(found, Answer):
        return found
    if isinstance(others, Answer):
        return others
    assert question.side is not None
    verdict = any(is_beside(one["box"], question.side, other["box"]) for one in found for other in others)
    return Answer("yes" if verdict else "no", _least([*found, *others]), _things([*found, *others]))


def _beside(question: Question, view: _View) -> Answer:
    others = _some(question.other, view)
    if isinstance(others, Answer):
        return others
    assert question.side is not None
    side = question.side
    found = [one for one in view.scene.things if one not in others and is_beside(one["box"], side, others[0]["box"])]
    if not found:
        return unknown("Nothing that can be recognised is there.")
    return Answer(listed(found), _least(found), _things([*found, others[0]]))


def _text(question: Question, view: _View) -> Answer:
    lines = view.scene.lines
    if question.subject is not None and labels_of(question.subject.noun, view.known) is not None:
        found = _some(question.subject, view)
        if isinstance(found, Answer):
            return found
        lines = [line for line in lines if any(covered(line["box"], thing["box"]) > 0.5 for thing in found)]
    elif question.subject is not None:
        return unknown(f"Nothing here can recognise {question.subject.noun!r}.")
    if not lines:
        return unknown("No text was read there.")
    return Answer(" ".join(line["text"] for line in lines), _least(lines), _lines(lines))


def _says(question: Question, view: _View) -> Answer:
    assert question.words is not None
    lines = view.scene.lines
    wanted = fold(question.words)
    if wanted not in fold("".join(line["text"] for line in lines)):
        return Answer("no", None, _lines(lines)) if lines else unknown("No text was read.")
    holding = [line for line in lines if wanted in fold(line["text"])] or list(lines)
    return Answer("yes", _least(holding), _lines(holding))


def _identify(question: Question, view: _View) -> Answer:
    found: list[Mapping[str, Any]] | Answer = list(view.scene.things)
    if question.subject is not None:
        found = view.find(question.subject)
    if isinstance(found, Answer):
        return found
    if not found:
        return unknown("Nothing of the kind was found.")
    return Answer(listed(found), _least(found), _things(found))


def listed(things: Sequence[Mapping[str, Any]]) -> str:
    """Return what things are, counted: "2 apples and a banana" is told as "2 apples, banana"."""
    counts = Counter(thing["label"] for thing in things)
    return ", ".join(said(label) if count == 1 else f"{count} {said(label, count)}" for label, count in counts.items())


def _some(phrase: Phrase | None, view: _View) -> list[Mapping[str, Any]] | Answer:
    """Return the things a phrase means, at least one, or that it is unknown."""
    assert phrase is not None
    found = view.find(phrase)
    if isinstance(found, Answer) or found:
        return found
    return unknown(f"No {phrase.colour + ' ' if phrase.colour else ''}{phrase.noun} was found.")


def _least(found: Sequence[Mapping[str, Any]]) -> float | None:
    return min((float(one["score"]) for one in found), default=None)


def _things(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [evidence_of(thing) for thing in found[:MAX_EVIDENCE]]


def _lines(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [text_evidence(line) for line in found[:MAX_EVIDENCE]]


_ANSWERS: Mapping[str, Callable[[Question, _View], Answer]] = {
    "count": _count, "presence": _presence, "colour": _colour, "is_colour": _is_colour, "where": _where,
    "relation": _relation, "beside": _beside, "text": _text, "says": _says, "identify": _identify,
}  # fmt: skip
