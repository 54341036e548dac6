"""Ground truth of a folder of pictures: COCO JSON for detectors and segmenters, a CSV of labels for classifiers."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ParamsError

MAX_TRUTH_BYTES = 512 * 1024**2

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TrueObject:
    """One object of a picture: box x, y, width, height in pixels; a ``crowd`` is not to be found, nor wrong to find."""

    label: str
    box: Box
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """File names of pictures with what is on them: objects, or labels."""

    objects: dict[str, list[TrueObject]]
    labels: dict[str, str]

    @property
    def pictures(self) -> list[str]:
        """File names, in order."""
        return sorted(self.objects or self.labels)


def read_truth(path: Path, task: str) -> Truth:
    """Read the ground truth for a model of this task.

    detect, segment: COCO (``images`` with id and file_name, ``annotations`` with image_id, category_id, bbox and
    iscrowd, ``categories`` with id and name). classify: CSV with the columns ``file`` and ``label``.
    Raises: ParamsError, with the line or the entry.
    """
    try:
        if path.stat().st_size > MAX_TRUTH_BYTES:
            raise ParamsError(f"{path} is larger than {MAX_TRUTH_BYTES} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read: {error}") from error
    if task == "classify":
        return Truth({}, _labels(path, text))
    if task in {"detect", "segment"}:
        return Truth(_objects(path, text), {})
    raise ParamsError(f"A {task} model tells neither objects nor labels.", advice="Evaluate the pipeline that uses it.")


def _labels(path: Path, text: str) -> dict[str, str]:
    try:
        rows = csv.DictReader(text.splitlines())
        if not {"file", "label"} <= set(rows.fieldnames or ()):
            raise ParamsError(f"{path}: the first line must name the columns file and label")
        return _pairs(path, rows)
    except csv.Error as error:
        raise ParamsError(f"{path} is no CSV: {error}") from error


def _pairs(path: Path, rows: csv.DictReader[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
        if not name or not label:
            raise ParamsError(f"{path}: line {rows.line_num} lacks a file or a label")
        if found.setdefault(name, label) != label:
            raise ParamsError(f"{path}: line {rows.line_num} gives {name} a second label")
    if not found:
        raise ParamsError(f"{path} names no picture")
    return found


def _objects(path: Path, text: str) -> dict[str, list[TrueObject]]:
    try:
        document = json.loads(text)
        names = {one["id"]: str(one["name"]) for one in document["categories"]}
        files = {one["id"]: str(one["file_name"]) for one in document["images"]}
        found: dict[str, list[TrueObject]] = {name: [] for name in files.values()}
        for one in document["annotations"]:
            x, y, width, height = (float(value) for value in one["bbox"])
            true = TrueObject(names[one["category_id"]], (x, y, width, height), bool(one.get("iscrowd")))
            found[files[one["image_id"]]].append(true)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ParamsError(f"{path} is not COCO JSON: {type(error).__name__} {error}") from error
    if not found:
        raise ParamsError(f"{path} names no picture")
    return found
