"""Pipeline steps over the whole route: file, plan, run, summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.errors import MediaError, ParamsError
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.catalog import load_pipelines
from pipeline.run import Work, plan_input, run_works
from pipeline.sensors.recording import Recording
from pipeline.steps.example import example, main
from pipeline.steps.synthetic import Part, make
from pipeline.steps.walks import cadence_of, per_minute, regularity_of, walks_of

TEST_SEED = 900_500


def written(path: Path, recording: Recording) -> Path:
    rows = np.column_stack([recording.seconds, recording.acceleration])
    np.savetxt(path, rows, delimiter=",", fmt="%.5f", header="t,ax,ay,az", comments="")
    return path


def told(path: Path, tmp_path: Path, **params: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return summary and rows of a file; no process is started to read it."""
    pipeline, cage, shelf = load_pipelines(["steps"])["steps"], Cage(), open_shelf(cache_dir=tmp_path / "cache")
    plan = plan_input(pipeline, path, params, cage, shelf)
    works = [Work("1", path, span, plan.media) for span in plan.ranges]
    [result] = run_works(pipeline, works, params, cage, shelf, checkpoint=lambda done, total: None)
    assert result.error is None
    assert cage.pid is None
    filled = {"method": "network", **params}
    return pipeline.summarize(result.rows, plan.media, filled), result.rows


def test_a_walk_gives_every_field_that_the_spec_explains(tmp_path: Path) -> None:
    made = make([Part("walk", 70, 2.0), Part("still", 10), Part("walk", 30, 1.5)], seed=TEST_SEED)
    summary, [row] = told(written(tmp_path / "walk.csv", made.recording), tmp_path)
    assert set(summary) == set(load_pipelines(["steps"])["steps"].spec.summary_fields)
    assert abs(summary["steps"] - len(made.steps)) <= 1
    assert [point["covers_seconds"] for point in summary["per_minute"]["points"]] == [60.0, pytest.approx(49.99)]
    assert sum(point["counts"]["steps"] for point in summary["per_minute"]["points"]) == summary["steps"]
    fast, slow = summary["walks"]
    assert (fast["cadence"], slow["cadence"]) == (pytest.approx(120, abs=2), pytest.approx(90, abs=2))
    assert summary["quality"]["regularity"] > 0.95
    assert summary["readings"] == len(made.recording)
    assert row["step_times"] == summary["step_times"]
    assert json.loads(json.dumps(summary)) == summary


def test_both_methods_count_and_the_network_is_named(tmp_path: Path) -> None:
    made = make([Part("still", 3), Part("walk", 30, 1.8), Part("still", 3)], seed=TEST_SEED)
    path = written(tmp_path / "walk.csv", made.recording)
    for method in ("signal", "network"):
        summary, _ = told(path, tmp_path, method=method)
        assert abs(summary["steps"] - len(made.steps)) <= 1
        assert summary["method"] == method
    pipeline, shelf = load_pipelines(["steps"])["steps"], open_shelf(cache_dir=tmp_path)
    by_network = {"method": "network", "network": "steps-net"}
    assert [model["name"] for model in pipeline.models_used(by_network, shelf)] == ["steps-net"]
    assert pipeline.models_used({**by_network, "method": "signal"}, shelf) == []
    with pytest.raises(ParamsError):
        pipeline.check({**by_network, "network": "yunet"}, shelf)
    with pytest.raises(ParamsError, match="no network of steps"):
        pipeline.check({**by_network, "network": "pose-box"}, shelf)


def test_a_gap_is_told_and_its_share_counts_against_the_coverage(tmp_path: Path) -> None:
    made = make([Part("walk", 40, 2.0)], seed=TEST_SEED).recording
    keep = (made.seconds < 10) | (made.seconds >= 20)
    recording = Recording(made.seconds[keep], made.acceleration[keep])
    summary, _ = told(written(tmp_path / "walk.csv", recording), tmp_path)
    assert summary["gaps"] == [{"from_seconds": 9.99, "to_seconds": 20.0}]
    assert summary["gap_seconds"] == pytest.approx(10.01)
    assert summary["quality"]["coverage"] == pytest.approx(0.75, abs=0.001)
    assert len(summary["walks"]) == 2
    assert [warning["code"] for warning in summary["warnings"]] == ["sensor.gaps"]


def test_stillness_gives_no_steps_and_invents_no_cadence(tmp_path: Path) -> None:
    summary, _ = told(written(tmp_path / "still.csv", make([Part("still", 5)], seed=1).recording), tmp_path)
    assert (summary["steps"], summary["cadence"], summary["walks"]) == (0, None, [])
    assert summary["quality"] == {"regularity": None, "coverage": 1.0}


def test_readings_are_no_input_of_other_pipelines(tmp_path: Path) -> None:
    path = written(tmp_path / "walk.csv", make([Part("still", 5)], seed=1).recording)
    motion, shelf = load_pipelines(["motion"])["motion"], open_shelf(cache_dir=tmp_path)
    with Cage() as cage, pytest.raises(MediaError) as caught:
        plan_input(motion, path, {}, cage, shelf)
    assert caught.value.code == "media.unsupported"


def test_walks_are_parted_by_pauses_and_a_single_step_is_none() -> None:
    walks = walks_of([0.0, 0.5, 1.0, 5.0, 9.0, 10.0], 1.5)
    assert walks == [
        {"from_seconds": 0.0, "to_seconds": 1.0, "steps": 3, "cadence": 120.0},
        {"from_seconds": 9.0, "to_seconds": 10.0, "steps": 2, "cadence": 60.0},
    ]
    assert cadence_of(walks) == 90.0
    assert walks_of([], 1.5) == []


def test_minutes_without_steps_are_told_too() -> None:
    points = per_minute([1.0, 130.0, 130.5], 150.0)["points"]
    assert [point["counts"]["steps"] for point in points] == [1, 0, 2]
    assert points[-1]["covers_seconds"] == 30.0


def test_uneven_steps_lower_the_regularity() -> None:
    even = [0.5 * n for n in range(30)]
    uneven = [time + (0.2 if n % 3 == 0 else 0.0) for n, time in enumerate(even)]
    assert regularity_of(even, 1.5) == 1.0
    lower = regularity_of(uneven, 1.5)
    assert lower is not None
    assert lower < 0.5
    assert regularity_of(even[:5], 1.5) is None


def test_the_example_is_what_its_script_writes_and_is_counted_right(tmp_path: Path) -> None:
    path = Path(__file__).parents[4] / "examples" / "walk.csv"
    assert main([str(tmp_path / "again.csv")]) == 0
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    for method in ("network", "signal"):
        summary, _ = told(path, tmp_path, method=method)
        assert abs(summary["steps"] - len(example().steps)) <= 1
