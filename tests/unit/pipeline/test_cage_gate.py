"""The adaptive rule in the cage: what is passed over is told and not handed over, and no cut changes what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.adaptive import Rule
from pipeline.cage import Cage
from pipeline.frame import Frame, Skipped
from pipeline.run import Work, plan_input, run_works
from tests.fakes.fake_pipeline import FakePipeline
from tests.media import Clip, barcode, read_barcode

SCENE = 8
RULE = Rule(threshold=0.02, min_gap_seconds=0.0, max_gap_seconds=2.0)


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


def scenes(name: str = "scenes.mp4", **options: str) -> Clip:
    """200 frames at 25 a second, another picture every eighth; a keyframe each 12."""
    keys = {"preset": "veryfast", "g": "12", "keyint_min": "12", "sc_threshold": "0", **options}
    return Clip(
        name, frames=200, options=keys, picture=lambda number, width, height: barcode(number // SCENE, width, height)
    )


def test_frames_passed_over_are_told_in_order_and_the_kept_ones_are_those_that_changed(
    cage: Cage, tmp_path: Path
) -> None:
    path = scenes().write(tmp_path)
    found = list(cage.frames(path, np.arange(200), width=80, report_from=20, gate=RULE.as_json()))
    frames = [one for one in found if isinstance(one, Frame)]
    assert [frame.index for frame in frames if frame.index % SCENE == 0] == list(range(0, 200, SCENE))
    # anchors: keyframes 2 s and more apart are kept though nothing has changed
    assert [frame.index for frame in frames if frame.index % SCENE] == [60, 180]
    assert all(read_barcode(frame.image) == frame.index // SCENE for frame in frames)
    assert [frame.report for frame in frames] == [frame.index >= 20 for frame in frames]
    told = [one for piece in found if isinstance(piece, Skipped) for one in piece.frames]
    assert sorted([frame.index for frame in frames if frame.report] + [place for place, _, _ in told]) == list(
        range(20, 200)
    )
    index = cage.index(path)
    assert all(pts == index.pts[place] for place, pts, _ in told)
    assert [seconds for _, _, seconds in told] == pytest.approx([place / 25 for place, _, _ in told])


def test_a_long_stretch_passed_over_comes_in_pieces(cage: Cage, tmp_path: Path) -> None:
    clip = Clip("still.mp4", frames=200, picture=lambda number, width, height: barcode(5, width, height))
    gate = Rule(0.02, 0.0, 100.0).as_json()
    found = list(cage.frames(clip.write(tmp_path), np.arange(200), gate=gate))
    assert [type(one) for one in found] == [Frame, Skipped, Skipped, Skipped, Skipped]
    assert [len(one.frames) for one in found if isinstance(one, Skipped)] == [64, 64, 64, 7]


@pytest.mark.parametrize(
    "clip",
    [scenes(), scenes("open.mp4", **{"x264-params": "open-gop=1:bframes=3"}), scenes("intra.mp4", g="1")],
    ids=lambda clip: clip.name,
)
@pytest.mark.parametrize("lead", [0, 3])
def test_a_real_video_cut_into_segments_gives_the_rows_of_the_whole(
    cage: Cage, tmp_path: Path, clip: Clip, lead: int
) -> None:
    path = clip.write(tmp_path)
    sampler = {**RULE.as_json(), "policy": "adaptive", "stride": 3, "max_gap_seconds": 0.5}

    def rows(segment_seconds: float) -> tuple[int, list[dict[str, object]]]:
        pipeline, params = FakePipeline(lead_in_frames=lead), {"sampler": sampler}
        plan = plan_input(pipeline, path, params, cage, None, segment_seconds=segment_seconds)
        works = [Work(str(number), path, span, plan.media) for number, span in enumerate(plan.ranges)]
        found = list(run_works(pipeline, works, params, cage, None, checkpoint=lambda done, total: None))
        assert [result.error for result in found] == [None] * len(works)
        cut = [{**row, "before": row["before"][-lead:] if lead else []} for result in found for row in result.rows]
        return len(works), cut

    (_, whole), (pieces, cut) = rows(1e9), rows(1.0)
    assert pieces > 4
    assert cut == whole
    assert {row["carried_from"] is None for row in whole} == {True, False}


def test_the_threshold_of_a_budget_is_picked_from_real_pictures(cage: Cage, tmp_path: Path) -> None:
    path = scenes().write(tmp_path)
    threshold, kept = cage.pick_threshold(path, np.arange(200), Rule(0.5, 0.0, 100.0).as_json(), 25)
    assert kept == 25
    assert 0 < threshold < 0.5
    assert cage.pick_threshold(path, np.arange(200), Rule(0.5, 0.0, 100.0).as_json(), 0) == (0.9, 1)


def test_a_plan_that_is_stopped_while_it_looks_leaves_the_cage_free(cage: Cage, tmp_path: Path) -> None:
    path = Clip("long.mp4", frames=1500, options={"preset": "ultrafast"}).write(tmp_path)

    class Stopped(BaseException):
        pass

    def tick() -> None:
        raise Stopped

    def look() -> None:
        for _ in range(200):  # one look may be over before the first sign of life
            cage.pick_threshold(path, np.arange(1500), RULE.as_json(), 10, tick)

    with pytest.raises(Stopped):
        look()
    assert len(list(cage.frames(path, np.array([3])))) == 1
