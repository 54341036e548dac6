"""The five systems through HTTP, each on an input of the test data whose truth is known, on one worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from bench.embedded import EmbeddedStack
from tests.e2e.embedded import finished, submitted
from tests.e2e.memory import MIB, Peak
from tests.services import shared_folder

GIB = 1024 * MIB
Summary = dict[str, Any]


def _fake(summary: Summary) -> bool:
    return summary["label"] == "fake" and summary["score"] > 0.5


def _nobody(summary: Summary) -> bool:
    return summary["label"] == "no_face" and summary["score"] is None


def _fruit(summary: Summary) -> bool:
    counts = {item["label"]: item["count"]["value"] for item in summary["items"]}
    return 3 <= counts["apple"] <= 4 and counts["orange"] == 1 and counts["banana"] >= 1


def _walked(summary: Summary) -> bool:
    return abs(int(summary["steps"]) - 67) <= 1


def _read(summary: Summary) -> bool:
    return len(summary["text"]) > 100


def _cat(summary: Summary) -> bool:
    return "cat" in summary["text"].lower()


def _yes(summary: Summary) -> bool:
    return str(summary["answer"]).lower().startswith("yes")


def _placed(summary: Summary) -> bool:
    return len(summary["rotation_6d"]) == 6 and len(summary["translation"]) == 3


CASES: list[tuple[str, str, dict[str, Any], Callable[[Summary], bool]]] = [
    ("deepfake", "images/faces/deepfake/fake_df00204.jpg", {}, _fake),
    ("deepfake", "images/scenes/cat.png", {}, _nobody),
    ("nutrition", "images/food/fruit.jpg", {}, _fruit),
    ("pose", "images/pose/box/box_00.jpg", {}, _placed),
    ("steps", "sensors/own_walk_stop_walk.csv", {}, _walked),
    ("describe", "images/ocr/plain_12pt.png", {"task": "ocr"}, _read),
    ("describe", "images/scenes/cat.png", {"task": "caption"}, _cat),
    ("describe", "images/scenes/truck.jpg", {"task": "vqa", "question": "Is there a truck?"}, _yes),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("pipeline", "name", "params", "right"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_a_system_tells_the_truth_of_an_input_over_http(
    client: httpx2.Client, pipeline: str, name: str, params: dict[str, Any], right: Callable[[Summary], bool]
) -> None:
    path = shared_folder() / "data" / name
    job = finished(client, submitted(client, path, pipeline, params=json.dumps(params)), 120)
    assert job["state"] == "succeeded", job["error"]
    assert right(job["summary"]), job["summary"]


@pytest.mark.timeout(300)
def test_all_systems_fit_one_worker_of_4_gib(client: httpx2.Client, stack: EmbeddedStack) -> None:
    before = stack.pid("worker")
    with Peak(before) as peak:
        jobs = [
            submitted(client, shared_folder() / "data" / name, pipeline, params=json.dumps(params))
            for pipeline, name, params, _ in CASES * 2
        ]
        states = {finished(client, job, 200)["state"] for job in jobs}
    print(f"peak of the worker's process tree: {peak.bytes / MIB:.0f} MiB")
    assert states == {"succeeded"}
    assert peak.bytes < 4 * GIB, f"{peak.bytes / MIB:.0f} MiB"
    assert stack.pid("worker") == before
