"""Readings of a sensor in over HTTP, steps out; what is no such input is refused with its place and reason."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from deploy.local.demo import SAMPLE
from tests.e2e.embedded import finished, frames_of, submit, submitted


def test_a_walk_sent_as_csv_gives_its_steps(client: httpx2.Client, shared: Path) -> None:
    job = finished(client, submitted(client, shared / "data/sensors/own_walk_stop_walk.csv", "steps"))
    assert job["state"] == "succeeded", job["error"]
    summary = job["summary"]
    assert abs(summary["steps"] - 67) <= 1
    assert len(summary["step_times"]) == summary["steps"]
    first, second = summary["walks"]
    assert (first["cadence"], second["cadence"]) == pytest.approx((108, 126), abs=2)
    assert sum(point["counts"]["steps"] for point in summary["per_minute"]["points"]) == summary["steps"]
    assert summary["duration_seconds"] == pytest.approx(44.98)
    [row] = frames_of(client, job["id"])
    assert row["step_times"] == summary["step_times"]


def test_the_same_walk_sent_as_json_gives_the_same_steps(client: httpx2.Client, shared: Path, tmp_path: Path) -> None:
    csv = shared / "data/sensors/own_walk_dropped_rows.csv"
    names, *rows = [line.split(",") for line in csv.read_text().splitlines()]
    columns = {name: [float(row[n]) for row in rows] for n, name in enumerate(names)}
    path = tmp_path / "walk.json"
    path.write_text(json.dumps({"units": {"acceleration": "m/s^2"}, "columns": columns}))
    one, other = (finished(client, submitted(client, file, "steps"))["summary"] for file in (csv, path))
    assert abs(one["steps"] - 51) <= 1
    assert one["step_times"] == other["step_times"]


@pytest.mark.parametrize(
    ("name", "code", "place"),
    [("bad_nan.csv", "sensor.malformed", "line 2: ax is nan"), ("bad_text.csv", "sensor.malformed", "line 3: ax is")],
)
def test_a_bad_file_fails_with_the_line_and_the_reason(
    client: httpx2.Client, shared: Path, name: str, code: str, place: str
) -> None:
    job = finished(client, submitted(client, shared / "data/sensors" / name, "steps"))
    assert job["state"] == "failed"
    assert job["error"]["code"] == code
    assert place in job["error"]["message"]
    assert job["error"]["advice"]


def test_what_is_no_input_of_a_pipeline_is_refused_before_it_is_stored(client: httpx2.Client, shared: Path) -> None:
    walk = shared / "data/sensors/own_walk_stop_walk.csv"
    for answer, words in (
        (submit(client, SAMPLE, "steps"), "takes sensor, this looks like video"),
        (submit(client, walk, "motion"), "this looks like sensor"),
        (submit(client, shared / "data/sensors/bad_empty.csv", "steps"), "no bytes"),
    ):
        assert answer.status_code in (400, 415, 422)
        assert answer.json()["code"] in ("media.unsupported", "media.empty")
        assert words in answer.json()["detail"]
