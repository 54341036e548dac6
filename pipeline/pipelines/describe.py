"""Describe: the text of a picture or video, a caption, or answers to questions about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.describe.answering import Answer, answer
from pipeline.describe.captioning import caption_of, kind_of
from pipeline.describe.engine import engine_facts, open_engine
from pipeline.describe.parameters import SUMMARY_FIELDS, describe_schema, questions_of
from pipeline.describe.questions import parse
from pipeline.describe.scene import Scene, evidence_of, text_evidence
from pipeline.describe.summary import summarize_description
from pipeline.device import bounded_threads
from pipeline.frame import Frame
from pipeline.marks import Mark, Moment, box_mark
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.modelled import Modelled, findings_of
from pipeline.spec import PipelineSpec

#: seconds to read a page of text on one core, and to look at a frame for colours and shapes; see docs/pipelines
READING_SECONDS, LOOKING_SECONDS = 2.0, 0.05
MAX_MOMENTS = 8


class Describe(Modelled):
    """Read, detect, and say only what was found; what spans a video is put together at the end."""

    spec = PipelineSpec(
        name="describe",
        description="Text in pictures and videos (OCR), captions, and answers to questions, each with its evidence.",
        accepts=("image", "video"),
        params_schema=describe_schema(),
        lane="cpu",
        summary_fields=SUMMARY_FIELDS,
        models={"detector": ("detect",), "model": ("text",)},
    )

    #: a page takes seconds to read, on a slow machine tens of them: life is shown after each
    max_batch = 1

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Raises: ParamsError with code ``model.unknown`` for no such model, ``params.invalid`` for another task."""
        super().check(_needed(params), shelf)

    def cost_seconds(self, params: Params, shelf: ModelShelf) -> float:
        """Return the declared cost of one picture: its models' and, where it reads, the reader's."""
        return super().cost_seconds(_needed(params), shelf) + LOOKING_SECONDS + READING_SECONDS * _reads(params)

    def models_used(self, params: Params, shelf: ModelShelf) -> Sequence[Mapping[str, Any]]:
        """Return name, version, digest and licence of each model, the reader's networks among them."""
        return [*super().models_used(_needed(params), shelf), *(engine_facts() if _reads(params) else ())]

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[dict[str, Any]]:
        """Return per frame what detector, reader and image-text model find: found, known, lines, turned, told.

        Raises: DeviceOutOfMemory, ModelError, ModelUnavailable.
        """
        needed = _needed(params)
        found, known = _detected(frames, needed, shelf)
        told = _told(frames, needed, shelf)
        return [
            {"found": one, "known": known, "told": said, **_read(frame, params, shelf)}
            for frame, one, said in zip(frames, found, told, strict=True)
        ]

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Return the frame's lines, objects, and its caption or answers, all in source pixels."""
        row: Row = {"lines": inferred["lines"], "turned": inferred["turned"]}
        if params["task"] == "ocr":
            return row
        from pipeline.describe.looking import look_at  # noqa: PLC0415 - loads OpenCV

        things, lines = look_at(frame, inferred["found"], inferred["lines"])
        height, width = frame.image.shape[:2]
        scene = Scene(things, lines, width / frame.scale, height / frame.scale)
        row.update(lines=lines, objects=things, scene=kind_of(scene))
        if params["task"] == "caption":
            said = inferred["told"]
            evidence = [*map(evidence_of, things), *map(text_evidence, lines)]
            row.update(text=said[0] if said else caption_of(scene), evidence=[] if said else evidence)
        elif inferred["told"]:
            row["answers"] = [_row_answer(Answer(text or "unknown")) for text in inferred["told"]]
        else:
            asked = [parse(text) for text in questions_of(params)]
            row["answers"] = [_row_answer(answer(one, scene, inferred["known"])) for one in asked]
        return row

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the job's summary; see ``spec.summary_fields``."""
        return summarize_description(rows, media, params)

    def marks(self, row: Row, params: Params) -> Sequence[Mark]:
        """Return each line's outline with its text and each object's box with its colour and label."""
        lines = [Mark("polygon", tuple((x, y) for x, y in line["quad"]), line["text"], "text") for line in row["lines"]]
        return [*lines, *(box_mark(one["box"], _said(one), one["label"]) for one in row.get("objects", []))]

    def moments(self, summary: Mapping[str, Any], params: Params) -> Sequence[Moment]:
        """Return where each answer stands, else where each kind of object and each line is seen best; at most 8."""
        found = [
            (one["index"], f"{one['question']} {one['answer']}", None)
            for one in summary["answers"]
            if one["index"] is not None
        ]
        found += [(one["index"], label, one["box"]) for label, one in summary["objects"].items()]
        found += [(one["index"], one["text"], one["box"]) for one in summary["lines"]]
        return [Moment(index, caption, tuple(box) if box else None) for index, caption, box in found[:MAX_MOMENTS]]


def _needed(params: Params) -> dict[str, Any]:
    """Return the params without the models that the task does not use."""
    return {**params, "detector": None, "model": None} if params["task"] == "ocr" else dict(params)


def _reads(params: Params) -> bool:
    return bool(params["task"] == "ocr" or params["read_text"])


def _detected(frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> tuple[list[Any], tuple[str, ...]]:
    """Return each frame's findings and the labels that the detector knows."""
    if params["detector"] is None:
        return [[] for _ in frames], ()
    found = findings_of(shelf, params["detector"], frames, params["min_score"])
    return found, tuple(shelf.card(params["detector"]).output.labels)


def _told(frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> list[list[str]]:
    """Return what an image-text model says of each frame: a caption, or an answer to each question; else nothing."""
    if params["model"] is None:
        return [[] for _ in frames]
    model: Any = shelf.load(params["model"])
    images = [frame.image for frame in frames]
    prompts: list[str | None] = [*questions_of(params)] or [None]
    by_prompt = [model.describe(images, prompt) for prompt in prompts]
    return [list(said) for said in zip(*by_prompt, strict=True)]


def _read(frame: Frame, params: Params, shelf: ModelShelf) -> dict[str, Any]:
    if not _reads(params):
        return {"lines": [], "turned": 0}
    from pipeline.describe.looking import read_frame  # noqa: PLC0415 - loads OpenCV

    engine = open_engine(bounded_threads(getattr(shelf, "threads", 0)))
    lines, turned = read_frame(frame, engine, params["min_text_score"])
    return {"lines": lines, "turned": turned}


def _row_answer(told: Answer) -> dict[str, Any]:
    """Return an answer as a row holds it."""
    return {
        "answer": told.text, "confidence": told.confidence, "evidence": list(told.evidence), "reason": told.reason,
        "number": told.number,
    }  # fmt: skip


def _said(thing: Mapping[str, Any]) -> str:
    colour = thing.get("colour")
    return f"{colour['name']} {thing['label']}" if colour else str(thing["label"])
