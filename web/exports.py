"""Results in other people's formats, written as they are read.

Each writer takes a job document and a function that starts reading the rows anew, and yields pieces of text. Where
a format wants something first that only the rows can tell (columns, categories), they are read twice.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from web.documents import JobDocument

Row = Mapping[str, Any]
#: starts reading the rows from the first one
Rows = Callable[[], Iterable[Row]]

#: columns that come first, in this order, where rows have them
_FIRST = ("index", "pts", "pts_seconds", "sampler", "carried_from")
_BOX = ("x", "y", "width", "height")


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a result."""

    content_type: str
    extension: str
    write: Callable[[JobDocument, Rows], Iterator[str]]
    #: only for rows that hold ``objects``
    wants_objects: bool = False


def as_json(document: JobDocument, rows: Rows) -> Iterator[str]:
    """One object: what ran, the summary, and all frames."""
    wanted = {"id", "run", "state", "pipeline", "params", "models", "media", "summary", "warnings", "missing_ranges"}
    head = document.model_dump(mode="json", include=wanted)
    yield json.dumps(head)[:-1] + ', "frames": ['
    for number, row in enumerate(rows()):
        yield (",\n" if number else "\n") + json.dumps(row)
    yield "\n]}\n"


def as_jsonl(_: JobDocument, rows: Rows) -> Iterator[str]:
    """One row a line."""
    for row in rows():
        yield json.dumps(row) + "\n"


def as_csv(_: JobDocument, rows: Rows) -> Iterator[str]:
    """One line per object, one for a frame without any; nested values as JSON."""
    columns: dict[str, None] = {}
    for row in rows():
        for line in _flat(row):
            columns.update(dict.fromkeys(line))
    names = [name for name in _FIRST if name in columns] + [name for name in columns if name not in _FIRST]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\r\n")
    writer.writeheader()
    for row in rows():
        for line in _flat(row):
            writer.writerow({name: _cell(value) for name, value in line.items()})
        yield _taken(text)
    yield _taken(text)


def _taken(text: io.StringIO) -> str:
    """Return what was written and start anew."""
    value = text.getvalue()
    text.seek(0)
    text.truncate()
    return value


def _flat(row: Row) -> Iterator[dict[str, Any]]:
    """The CSV lines of a row: one for each object with its box spread out, or one without any."""
    shared = {name: value for name, value in row.items() if name != "objects"}
    found = row.get("objects")
    if not isinstance(found, list) or not found:
        yield shared
        return
    for one in found:
        box = dict(zip(_BOX, one.get("box") or [None] * 4, strict=False))
        yield {**shared, **{name: value for name, value in one.items() if name != "box"}, **box}


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value  # a spreadsheet would run it as a formula
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def as_coco(document: JobDocument, rows: Rows) -> Iterator[str]:
    """COCO detections: images are frames, boxes [x, y, width, height] in source pixels, counted from 1.

    Frames that carry another's result are images too, with annotations of their own; ``carried_from`` says so.
    """
    media = document.media or {}
    size = {"width": media.get("width"), "height": media.get("height")}
    name = document.input.filename or document.id
    yield '{"info": ' + json.dumps({"description": f"Framequeue job {document.id}", "version": str(document.run)})
    yield ', "licenses": [], "images": ['
    labels: dict[str, int] = {}
    for number, row in enumerate(rows()):
        image = {"id": row["index"], "file_name": f"{name}#t={row['pts_seconds']}", **size}
        image |= {"frame_index": row["index"], **{name: row[name] for name in _FIRST[1:] if name in row}}
        yield (",\n" if number else "\n") + json.dumps(image)
    yield '], "annotations": ['
    for number, annotation in enumerate(_annotations(rows, labels)):
        yield (",\n" if number else "\n") + json.dumps(annotation)
    categories = [{"id": number, "name": label} for label, number in labels.items()]
    yield '], "categories": ' + json.dumps(categories) + "}\n"


def _annotations(rows: Rows, labels: dict[str, int]) -> Iterator[dict[str, Any]]:
    number = 0
    for row in rows():
        for found in row["objects"]:
            number += 1
            box = found.get("box") or [0, 0, 0, 0]
            yield {
                "id": number,
                "image_id": row["index"],
                "category_id": labels.setdefault(str(found.get("label", "object")), len(labels) + 1),
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
                "score": found.get("score"),
            }


def as_mot(_: JobDocument, rows: Rows) -> Iterator[str]:
    """MOT challenge lines: frame (from 1), id (-1: not tracked), x, y, width, height, confidence, -1, -1, -1.

    Frames that carry another's result are left out: the format has no place to say that nobody looked at them.
    """
    for row in rows():
        if row.get("carried_from") is not None:
            continue
        for found in row["objects"]:
            x, y, width, height = found.get("box") or [0, 0, 0, 0]
            track = found.get("track", found.get("track_id", -1))
            score = found.get("score", 1)
            yield f"{row['index'] + 1},{track},{x},{y},{width},{height},{score},-1,-1,-1\n"


FORMATS: Mapping[str, Format] = {
    "json": Format("application/json", "json", as_json),
    "jsonl": Format("application/x-ndjson", "jsonl", as_jsonl),
    "csv": Format("text/csv; charset=utf-8", "csv", as_csv),
    "coco": Format("application/json", "coco.json", as_coco, wants_objects=True),
    "mot": Format("text/plain; charset=utf-8", "mot.txt", as_mot, wants_objects=True),
}


def formats_for(rows: Rows) -> list[str]:
    """Names of the formats that these rows can be written in."""
    first = next(iter(rows()), None)
    objects = first is not None and isinstance(first.get("objects"), list)
    return [name for name, way in FORMATS.items() if objects or not way.wants_objects]
