"""What is known of a whole video: lines seen in many frames once, things as the most at once, answers by all frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.describe.answering import UNKNOWN
from pipeline.describe.measuring import covered, edit_distance, fold

MAX_LINES = 1000
#: a line is compared with those seen last, so many, and with at least twice as many as the frame holds
RECENT = 100
#: the same line where at most this share of its characters differs, and where it stands on the other by half
ALIKE = 0.25
MAX_LABELS = 100
MAX_COLOURS = 11


class Lines:
    """Lines of text over time: one that stays, or is read a little differently, is told once, as it was read best."""

    def __init__(self) -> None:
        self._kept: list[dict[str, Any]] = []
        self._recent: OrderedDict[int, str] = OrderedDict()
        self.truncated = False

    def add(self, lines: Sequence[Mapping[str, Any]], seconds: float, index: int) -> None:
        """Add one frame's lines, in reading order."""
        taken: set[int] = set()
        for line in lines:
            key = fold(line["text"])
            place = self._place(key, line["box"], taken)
            if place is None:
                place = self._keep(line, seconds, index)
                if place is None:
                    continue
            taken.add(place)
            self._note(place, line, seconds, index)
        while len(self._recent) > max(RECENT, 2 * len(lines)):
            self._recent.popitem(last=False)

    def told(self) -> list[dict[str, Any]]:
        """Return the lines in the order in which they came up, as ``parameters.SUMMARY_FIELDS`` explains."""
        return self._kept

    def _place(self, key: str, box: Sequence[float], taken: set[int]) -> int | None:
        for place, text in reversed(self._recent.items()):
            if place in taken:
                continue
            same_text = text == key
            stands = covered(box, self._kept[place]["box"]) > 0.5
            if same_text or (stands and edit_distance(text, key) <= ALIKE * max(len(text), len(key))):
                return place
        return None

    def _keep(self, line: Mapping[str, Any], seconds: float, index: int) -> int | None:
        if len(self._kept) >= MAX_LINES:
            self.truncated = True
            return None
        self._kept.append({**line, "index": index, "frames": 0, "first_seconds": round(seconds, 3)})
        return len(self._kept) - 1

    def _note(self, place: int, line: Mapping[str, Any], seconds: float, index: int) -> None:
        kept = self._kept[place]
        if line["score"] > kept["score"]:
            kept.update({**line, "index": index})
        kept["frames"] += 1
        kept["last_seconds"] = round(seconds, 3)
        self._recent[place] = fold(kept["text"])
        self._recent.move_to_end(place)


class Things:
    """Things over time by label: how many at once at most, their colours, when they were seen, and where best."""

    def __init__(self) -> None:
        self._labels: dict[str, dict[str, Any]] = {}
        self._colours: dict[str, dict[str, float]] = {}
        self.truncated = False

    def add(self, things: Sequence[Mapping[str, Any]], seconds: float, index: int) -> None:
        """Add one frame's things."""
        counts: dict[str, int] = {}
        for thing in things:
            label = thing["label"]
            if label not in self._labels and len(self._labels) >= MAX_LABELS:
                self.truncated = True
                continue
            counts[label] = counts.get(label, 0) + 1
            entry = self._labels.setdefault(
                label, {"max": 0, "frames": 0, "best_score": 0.0, "first_seconds": round(seconds, 3)}
            )
            if thing["score"] > entry["best_score"]:
                entry.update(best_score=thing["score"], box=thing["box"], index=index)
            entry["last_seconds"] = round(seconds, 3)
            colour = thing.get("colour")
            if colour:
                votes = self._colours.setdefault(label, {})
                votes[colour["name"]] = votes.get(colour["name"], 0.0) + colour["share"]
        for label, count in counts.items():
            entry = self._labels[label]
            entry["frames"] += 1
            entry["max"] = max(entry["max"], count)

    def told(self) -> dict[str, dict[str, Any]]:
        """Return by label: max (at once), frames, best_score and its box and frame index, colour, first_seconds,
        last_seconds."""
        return {label: {**self._labels[label], "colour": self._colour(label)} for label in sorted(self._labels)}

    def _colour(self, label: str) -> str | None:
        votes = self._colours.get(label, {})
        return min(votes, key=lambda name: (-votes[name], name)) if votes else None


class Answered:
    """One question over all frames: the most that was counted, yes before no, else the answer most frames agree on."""

    def __init__(self, question: str, kind: str | None) -> None:
        self._question = question
        self._kind = kind
        self._frames = 0
        self._votes: dict[str, float] = {}
        self._best: dict[str, dict[str, Any]] = {}
        self._reason: str | None = None

    def add(self, answer: Mapping[str, Any], seconds: float, index: int) -> None:
        """Add one frame's answer: answer, confidence, evidence, reason, number (of a count)."""
        self._frames += 1
        text = answer["answer"]
        if text == UNKNOWN:
            self._reason = self._reason or answer.get("reason")
            return
        if text not in self._votes and len(self._votes) >= RECENT:
            return
        sure = answer.get("confidence")
        self._votes[text] = self._votes.get(text, 0.0) + (0.5 if sure is None else sure)
        known = self._best.get(text)
        if known is None or (sure or 0.0) > (known["confidence"] or 0.0):
            self._best[text] = {**answer, "seconds": round(seconds, 3), "index": index}

    def told(self) -> dict[str, Any]:
        """Return the question with its answer, as ``parameters.SUMMARY_FIELDS`` explains."""
        asked = {"question": self._question, "kind": self._kind}
        if not self._votes:
            return {
                **asked, "answer": UNKNOWN, "confidence": None, "evidence": [], "reason": self._reason,
                "seconds": None, "index": None,
            }  # fmt: skip
        best = self._best[self._winner()]
        told = {name: best.get(name) for name in ("answer", "confidence", "evidence", "seconds", "index")}
        return {**asked, **told, "reason": None}

    def _winner(self) -> str:
        if self._kind == "count":
            return max(self._votes, key=lambda text: (self._best[text].get("number") or 0, text))
        if "yes" in self._votes and self._kind in ("presence", "says", "relation"):
            return "yes"
        return min(self._votes, key=lambda text: (-self._votes[text], text))
