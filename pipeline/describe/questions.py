"""What is asked: a small grammar of questions about pictures. What does not fit it is said not to be understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.describe.vocabulary import COLOUR_WORDS

_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}
_SIDES = {
    "left of": "left", "to the left of": "left", "on the left of": "left", "right of": "right",
    "to the right of": "right", "on the right of": "right", "above": "above", "over": "above", "on top of": "above",
    "below": "below", "under": "below", "beneath": "below", "underneath": "below",
}  # fmt: skip
_SIDE = "|".join(sorted(_SIDES, key=len, reverse=True))
_COLOUR = "|".join(COLOUR_WORDS)
#: what may stand at the end of a question and says only that the picture is meant
_ENDING = re.compile(
    r"\s+(?:(?:in|on|of) (?:the|this) (?:picture|image|photo|photograph|video|frame|scene|clip)|are there|is there|"
    r"(?:do|can) you see|can be seen|are (?:visible|shown|seen)|is (?:visible|shown|seen)|visible|here|there|present)$"
)
_NOUNS_OF_TEXT = {
    "it", "this", "that", "text", "sign", "page", "label", "picture", "image", "photo", "board", "receipt", "document",
    "poster", "screen", "note", "billboard", "banner", "video", "writing", "paper", "card",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phrase:
    """A thing that is asked about: ``noun`` in singular or plural as it was said, and a colour where one was said."""

    noun: str
    colour: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was understood.

    kind: count, presence, colour, is_colour, where, relation (is a thing on a side of another), beside (what is on a
    side of it), text, says (is this text there), identify. side: left, right, above, below. words: the text asked for.
    """

    kind: str
    subject: Phrase | None = None
    other: Phrase | None = None
    side: str | None = None
    colour: str | None = None
    words: str | None = None


def parse(text: str) -> Question | None:
    """Return what a question asks, None where it does not fit the grammar."""
    asked = " ".join(re.sub(r"[?!.]+\s*$", "", text.strip()).split())
    plain = asked.lower().replace("what's", "what is").replace("where's", "where is").replace("color", "colour")
    for pattern, make in _GRAMMAR:
        match = pattern.fullmatch(plain)
        if match:
            return make({name: value for name, value in match.groupdict().items() if value is not None}, asked)
    return None


def phrase(text: str) -> Phrase:
    """Take a noun phrase apart: article, number, colour, noun."""
    before, words = "", text.strip()
    while before != words:
        before, words = words, _ENDING.sub("", words)
    parts = [part for part in words.split() if part not in ("a", "an", "the", "any", "some", "this", "that", "of")]
    number = colour = None
    while len(parts) > 1:
        if number is None and (parts[0] in _NUMBERS or parts[0].isdecimal()):
            number = _NUMBERS.get(parts[0]) or int(parts[0])
        elif colour is None and parts[0] in COLOUR_WORDS:
            colour = COLOUR_WORDS[parts[0]]
        else:
            break
        parts = parts[1:]
    return Phrase(" ".join(parts), colour, number)


#: from the named parts of a match and the question as it was typed
Make = Callable[[Mapping[str, str], str], Question]


def _of(kind: str) -> Make:
    def make(found: Mapping[str, str], asked: str) -> Question:
        return Question(
            kind,
            phrase(found["np"]) if "np" in found else None,
            phrase(found["other"]) if "other" in found else None,
            side=_SIDES.get(found.get("side", "")),
            colour=COLOUR_WORDS.get(found.get("colour", "")),
        )

    return make


def _text(found: Mapping[str, str], asked: str) -> Question:
    subject = phrase(found["np"]) if "np" in found else None
    if subject is None or subject.colour is not None or subject.noun == "stop sign":
        return Question("text", subject)
    bears_text = set(subject.noun.split()[-1:]) <= _NOUNS_OF_TEXT
    return Question("text", None if bears_text else subject)


_SAYS = r"does (?:it|the .+?) (?:say|read) (?P<words>.+)"


def _says(found: Mapping[str, str], asked: str) -> Question:
    typed = re.fullmatch(_SAYS, asked, re.IGNORECASE)  # not in lower case, and in the asker's own spelling
    words = typed["words"] if typed else found["words"]
    return Question("says", words=words.strip(" '\"\u2018\u2019\u201c\u201d"))


_THERE = r"(?:is|are) there"
_SEE = r"(?:(?:do|can) you see|does (?:the|this) (?:picture|image|photo|video|scene) (?:show|contain|have)|can one see)"
_GRAMMAR: list[tuple[re.Pattern[str], Make]] = [
    (re.compile(pattern), make)
    for pattern, make in (
        (r"how many (?P<np>.+)", _of("count")),
        (r"(?:what is )?(?:the )?number of (?P<np>.+)", _of("count")),
        (r"count (?P<np>.+)", _of("count")),
        (rf"(?:is|are) (?P<np>.+?) (?P<side>{_SIDE}) (?P<other>.+)", _of("relation")),
        (rf"what is (?P<side>{_SIDE}) (?P<other>.+)", _of("beside")),
        (rf"(?:{_THERE}|{_SEE}) (?P<np>.+)", _of("presence")),
        (r"(?:what|which) colour (?:is|are|has|have|does) (?P<np>.+?)(?: have)?", _of("colour")),
        (r"what is the colour of (?P<np>.+)", _of("colour")),
        (rf"(?:is|are) (?P<np>(?:the|this|that|all) .+?) (?P<colour>{_COLOUR})", _of("is_colour")),
        (r"where (?:is|are|can i find) (?P<np>.+)", _of("where")),
        (_SAYS, _says),
        (r"what (?:does|do) (?P<np>.+?) (?:say|read)", _text),
        (r"what (?:is|text is) (?:written|printed)(?: (?:on|in|at) (?P<np>.+))?(?: (?:here|there))?", _text),
        (r"what is the text(?: (?:on|in|of) (?P<np>.+))?", _text),
        (r"(?:read|what text is (?:in|on)) (?P<np>.+)", _text),
        (r"(?:what|which) (?P<np>\w+) (?:is|are|do you see|can you see)(?: (?:this|it|that|there|here|shown|in .+))?",
         _of("identify")),
        (r"what (?:is|are) (?:this|that|it|there|shown|(?:there )?in (?:the|this) (?:picture|image|photo|video))",
         _of("identify")),
        (r"what (?:do you see|can you see|does (?:the|this) (?:picture|image|photo|video) show)", _of("identify")),
    )
]  # fmt: skip
