"""The summary of a description: one pass over all rows in time order, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.describe.answering import MAX_EVIDENCE
from pipeline.describe.captioning import caption_of_video
from pipeline.describe.layout import joined
from pipeline.describe.over_time import Answered, Lines, Things
from pipeline.describe.parameters import questions_of
from pipeline.describe.questions import parse
from pipeline.describe.scene import text_evidence
from pipeline.media import MediaInfo
from pipeline.pipelines.timeline import Sampled, Stretches

MAX_STRETCHES = 200


class Summary:
    """What rows add up to."""

    def __init__(self, media: MediaInfo, params: Mapping[str, Any]) -> None:
        self._media, self._params = media, params
        self._sampled, self._captions = Sampled(), Stretches(max_entries=MAX_STRETCHES)
        self._lines, self._things = Lines(), Things()
        kinds = [(text, parse(text)) for text in questions_of(params)]
        self._asked = [Answered(text, asked.kind if asked else None) for text, asked in kinds]
        self._scenes: dict[str, int] = {}
        self._turned: int | None = None
        self._first_caption: tuple[str, list[dict[str, Any]]] | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Add the next row."""
        seconds, index = row["pts_seconds"], row["index"]
        self._sampled.add(row)
        self._lines.add(row["lines"], seconds, index)
        self._turned = row["turned"]
        things = row.get("objects", [])
        self._things.add(things, seconds, index)
        if "scene" in row:
            self._scenes[row["scene"]] = self._scenes.get(row["scene"], 0) + 1
        if row.get("text") is not None:
            self._captions.add(seconds, row["text"])
            self._first_caption = self._first_caption or (row["text"], row["evidence"])
        for asked, answer in zip(self._asked, row.get("answers", []), strict=False):
            asked.add(answer, seconds, index)

    def told(self) -> dict[str, Any]:
        """Return the summary; see ``SUMMARY_FIELDS``."""
        answers = [one.told() for one in self._asked]
        lines = self._lines.told()
        text, evidence = self._text(lines)
        if answers:
            evidence = answers[0]["evidence"] or []
        cut = {"lines": self._lines.truncated, "objects": self._things.truncated}
        timeline = self._captions.finish(self._sampled.end_within(self._media.duration_seconds))
        cut["timeline"] = self._captions.truncated
        return {
            "task": self._params["task"],
            **self._sampled.told(self._media),
            "text": text,
            "answer": answers[0]["answer"] if answers else None,
            "answers": answers,
            "evidence": evidence[:MAX_EVIDENCE],
            "lines": lines,
            "objects": self._things.told(),
            "scene": min(self._scenes, key=lambda kind: (-self._scenes[kind], kind)) if self._scenes else None,
            "timeline": [{**_span(one), "text": one["value"]} for one in timeline],
            **self._source(),
            "turned": self._turned if self._params["task"] == "ocr" and self._sampled.frames == 1 else None,
            "truncated": sorted(name for name, is_cut in cut.items() if is_cut),
        }

    def _text(self, lines: list[dict[str, Any]]) -> tuple[str | None, list[dict[str, Any]]]:
        """Return the text and what it stands on.

        The caption of a video is of what stays in it, or, where a model speaks, what it said for longest.
        """
        if self._params["task"] == "ocr":
            return joined(lines), [text_evidence(line) for line in lines[:MAX_EVIDENCE]]
        if self._params["task"] != "caption" or self._first_caption is None:
            return None, []
        if self._params["model"] is not None and self._captions.seconds:
            longest = self._captions.seconds
            return min(longest, key=lambda text: (-longest[text], text)), []
        if self._sampled.frames > 1:
            return caption_of_video(self._things.told(), lines, self._sampled.frames)
        return self._first_caption

    def _source(self) -> dict[str, Any]:
        if self._params["task"] == "ocr":
            return {"source": "reader", "grounded": True}
        if self._params["model"] is not None:
            return {"source": self._params["model"], "grounded": False}
        return {"source": "detections", "grounded": True}


def summarize_description(
    rows: Iterable[Mapping[str, Any]], media: MediaInfo, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the job's summary from all rows in time order."""
    summary = Summary(media, params)
    for row in rows:
        summary.add(row)
    return summary.told()


def _span(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"from_seconds": entry["from_seconds"], "to_seconds": entry["to_seconds"]}
