"""Every recording of the test data through pipeline steps as it is shipped, to what its manifest row tells.

The four walks were trained on; how they count unseen is in docs/evaluation/steps.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.cage import Cage
from pipeline.errors import MediaError
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.catalog import load_pipelines
from pipeline.run import Work, plan_input, run_works
from tests.services import shared_folder

SENSORS = shared_folder() / "data" / "sensors"
MANIFEST = shared_folder() / "data" / "manifest.csv"


def summary_of(path: Path, cache: Path, method: str) -> dict[str, Any]:
    pipeline, cage, shelf = load_pipelines(["steps"])["steps"], Cage(), open_shelf(cache_dir=cache)
    params = {"method": method, "network": "steps-net"}
    plan = plan_input(pipeline, path, params, cage, shelf)
    works = [Work("1", path, plan.ranges[0], plan.media)]
    [result] = run_works(pipeline, works, params, cage, shelf, checkpoint=lambda done, total: None)
    assert result.error is None
    return pipeline.summarize(result.rows, plan.media, params)


@pytest.mark.parametrize("method", ["network", "signal"])
@pytest.mark.parametrize("place", ["hand", "frontpocket", "armband", "bag"])
def test_a_recorded_walk_is_counted_within_three_percent(tmp_path: Path, place: str, method: str) -> None:
    row = next(line for line in MANIFEST.read_text().splitlines() if f"sensors/user1_{place}.csv" in line)
    told = re.search(r"(\d+) steps \(ground-truth", row)
    assert told is not None
    summary = summary_of(SENSORS / f"user1_{place}.csv", tmp_path, method)
    assert abs(summary["steps"] - int(told[1])) <= 0.03 * int(told[1])
    assert summary["quality"]["regularity"] > 0.9


@pytest.mark.parametrize("method", ["network", "signal"])
@pytest.mark.parametrize(
    ("name", "steps", "off"),
    [("own_walk_stop_walk", 67, 1), ("own_walk_dropped_rows", 51, 1), ("own_shake_no_steps", 0, 0)],
)
def test_a_made_recording_is_counted_to_the_step(tmp_path: Path, name: str, steps: int, off: int, method: str) -> None:
    assert abs(summary_of(SENSORS / f"{name}.csv", tmp_path, method)["steps"] - steps) <= off


def test_a_sensor_on_a_foot_is_read_with_its_repeated_rows_left_out(tmp_path: Path) -> None:
    summary = summary_of(SENSORS / "foot_short_walk.csv", tmp_path, "signal")
    assert summary["readings"] == 16_334
    assert [warning["code"] for warning in summary["warnings"]] == ["sensor.repeated"]


@pytest.mark.parametrize("name", ["bad_empty", "bad_nan", "bad_text"])
def test_a_bad_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaError) as caught:
        summary_of(SENSORS / f"{name}.csv", tmp_path, "signal")
    assert caught.value.code in ("media.empty", "sensor.malformed")
