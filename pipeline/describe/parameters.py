"""What may be asked of the describe pipeline, and what its summary holds."""

from __future__ import annotations

from typing import Any

from pipeline.pipelines.schemas import ARTIFACTS, WIDTH, model_name, number, params_schema
from pipeline.pipelines.timeline import SAMPLED_FIELDS
from pipeline.spec import with_defaults

TASKS = ("caption", "ocr", "vqa")
MAX_QUESTIONS = 50

_QUESTION = {"type": "string", "minLength": 1, "maxLength": 500}

_SCHEMA = params_schema(
    task={
        "enum": list(TASKS),
        "default": "caption",
        "description": "caption: what is to be seen, in a sentence or two; ocr: the text; vqa: answers to questions.",
    },
    question={
        "anyOf": [
            {"type": "null"},
            _QUESTION,
            {"type": "array", "items": _QUESTION, "minItems": 1, "maxItems": MAX_QUESTIONS},
        ],
        "errorMessage": f"it takes a question of 1 to 500 characters, or 1 to {MAX_QUESTIONS} of them",
        "default": None,
        "description": "Task vqa: a question, or a list of them: how many, is there, what colour, where, what it says.",
    },
    detector=model_name(
        "fastestdet",
        "Detector whose findings captions and answers stand on; null: text and flat shapes alone.",
        nullable=True,
    ),
    model=model_name(None, "An image-text model of the shelf that captions and answers in place of the grounded ones."),
    min_score=number(None, 0.0, 1.0, "Objects under this score are left out; null: as the detector's card says."),
    min_text_score=number(0.5, 0.0, 1.0, "Text that the reader is less sure of is left out."),
    artifacts=ARTIFACTS,
    read_text={
        "type": "boolean",
        "default": True,
        "description": "Tasks caption and vqa: read text too; it takes most of the time. Task ocr always reads.",
    },
)


def describe_schema() -> dict[str, Any]:
    """Return the parameter schema: pictures stay large, for small print; videos are sampled thinly."""
    schema = with_defaults(_SCHEMA, {"sampler/policy": "every", "sampler/every_seconds": 2.0})
    width = {**WIDTH, "default": 2048}
    schema["properties"] = {**schema["properties"], "width": width}
    schema["if"] = {"properties": {"task": {"const": "vqa"}}, "required": ["task"]}
    asked = {"not": {"type": "null"}, "errorMessage": "task vqa answers a question: give one"}
    schema["then"] = {"properties": {"question": asked}, "required": ["question"]}
    unasked = {"type": "null", "errorMessage": "only task vqa answers questions: set task to vqa"}
    schema["else"] = {"properties": {"question": unasked}}
    return schema


SUMMARY_FIELDS = {
    "task": "The task that was done.",
    **SAMPLED_FIELDS,
    "text": "ocr: all text in reading order, an empty line between blocks. caption: the caption. vqa: null.",
    "answer": "vqa: the answer to the first question, ``unknown`` where nothing found supports one; else null.",
    "answers": "vqa: per question: question, kind (null: not understood), answer, confidence, evidence, reason (why "
    "it is unknown), seconds and index of the frame it stands on.",
    "evidence": "What the text or the first answer stands on: label or text, score and box in source pixels.",
    "lines": "Text: text, score, box, quad (corners in reading order), angle, block, frames, first_seconds, "
    "last_seconds, index of the frame where it was read best; at most 1,000.",
    "objects": "By label: max (at once), frames, best_score with its box and frame index, colour, first_seconds, "
    "last_seconds.",
    "scene": "What kind of picture most of it is: people, animals, vehicles, food, furniture, things, shapes, text, "
    "unknown.",
    "timeline": "Captions over time: from_seconds, to_seconds, text; at most 200.",
    "source": "detections (of detector, reader and shapes), reader, or the image-text model's name.",
    "grounded": "Whether every word stands on evidence with a place; false where an image-text model speaks.",
    "turned": "ocr of a still: degrees clockwise by which the page was turned to be read; else null.",
    "truncated": "Names of the lists above that hold only their first entries.",
}


def questions_of(params: Any) -> list[str]:
    """Return the questions of a job, none but for task vqa."""
    asked = params["question"] if params["task"] == "vqa" else None
    return [] if asked is None else [asked] if isinstance(asked, str) else list(asked)
