"""Results in other people's formats."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from storage.job import InputRef, JobState
from tests.unit.web.test_situation import a_job
from web.documents import JobDocument
from web.exports import FORMATS, formats_for
from web.shapes import View, job_document
from web.situation import Scene

ROWS: list[dict[str, Any]] = [
    {"index": 0, "pts_seconds": 0.0, "activity": 0.1, "objects": []},
    {"index": 5, "pts_seconds": 0.2, "activity": 0.5, "objects": [
        {"label": "cup", "score": 0.5, "box": [1, 2, 3, 4], "track": 7}, {"label": "=1+1", "box": [0, 0, 1, 1]},
    ]},
]  # fmt: skip


def document() -> JobDocument:
    job = a_job(
        state=JobState.SUCCEEDED, progress=1.0, media={"width": 64, "height": 48}, input=InputRef(filename="clip.mp4")
    )
    return job_document(job, View("http://x", Scene({}, frozenset())))


def written(name: str, rows: list[dict[str, Any]]) -> str:
    return "".join(FORMATS[name].write(document(), lambda: rows))


def test_csv_has_a_line_per_object_and_one_for_a_frame_without_any() -> None:
    lines = list(csv.DictReader(io.StringIO(written("csv", ROWS))))
    assert [(line["index"], line["activity"], line["label"], line["x"]) for line in lines] == [
        ("0", "0.1", "", ""), ("5", "0.5", "cup", "1"), ("5", "0.5", "'=1+1", "0"),
    ]  # fmt: skip


def test_csv_of_plain_rows_keeps_nested_values_as_json() -> None:
    (line,) = csv.DictReader(io.StringIO(written("csv", [{"index": 0, "curve": [1, 2], "note": None}])))
    assert line == {"index": "0", "curve": "[1, 2]", "note": ""}


def test_coco_names_frames_boxes_and_labels() -> None:
    coco = json.loads(written("coco", ROWS))
    assert coco["images"][1] == {
        "id": 5, "file_name": "clip.mp4#t=0.2", "width": 64, "height": 48, "frame_index": 5, "pts_seconds": 0.2,
    }  # fmt: skip
    assert coco["annotations"][0] == {
        "id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0, "score": 0.5,
    }  # fmt: skip
    assert [one["name"] for one in coco["categories"]] == ["cup", "=1+1"]


def test_mot_counts_frames_from_one_and_keeps_tracks() -> None:
    assert written("mot", ROWS).splitlines()[0] == "6,7,1,2,3,4,0.5,-1,-1,-1"


CARRIED = {
    "index": 10, "pts": 40, "pts_seconds": 0.4, "sampler": "adaptive:0.03", "carried_from": 5, "objects": [
        {"label": "cup", "score": 0.5, "box": [1, 2, 3, 4]},
    ],
}  # fmt: skip


def test_a_frame_that_carries_anothers_result_is_marked_or_left_out_in_every_format() -> None:
    rows = [*({"sampler": "adaptive:0.03", "carried_from": None, **row} for row in ROWS), CARRIED]
    lines = list(csv.DictReader(io.StringIO(written("csv", rows))))
    assert [line["carried_from"] for line in lines] == ["", "", "", "5"]
    assert list(lines[0])[:5] == ["index", "pts", "pts_seconds", "sampler", "carried_from"]
    coco = json.loads(written("coco", rows))
    assert [image["carried_from"] for image in coco["images"]] == [None, None, 5]
    assert coco["images"][2] == {
        "id": 10, "file_name": "clip.mp4#t=0.4", "width": 64, "height": 48, "frame_index": 10, "pts": 40,
        "pts_seconds": 0.4, "sampler": "adaptive:0.03", "carried_from": 5,
    }  # fmt: skip
    assert coco["annotations"][-1]["image_id"] == 10
    assert [line.partition(",")[0] for line in written("mot", rows).splitlines()] == ["6", "6"]
    assert [json.loads(line) for line in written("jsonl", rows).splitlines()] == rows


def test_json_and_jsonl_hold_the_rows_as_they_are() -> None:
    assert json.loads(written("json", ROWS))["frames"] == ROWS
    assert [json.loads(line) for line in written("jsonl", ROWS).splitlines()] == ROWS
    assert json.loads(written("json", []))["frames"] == []


def test_formats_of_boxes_are_offered_for_rows_with_objects_alone() -> None:
    assert formats_for(lambda: ROWS) == list(FORMATS)
    assert formats_for(lambda: [{"index": 0}]) == formats_for(list) == ["json", "jsonl", "csv"]
