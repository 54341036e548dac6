"""Rows under the adaptive sampler: one for each candidate, those passed over marked as another's."""

from __future__ import annotations

from itertools import chain

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.run import Work, plan_input, run_works
from tests.fakes.fake_cage import FakeCage, FakeMedia
from tests.fakes.fake_pipeline import FakePipeline

ADAPTIVE = {"policy": "adaptive", "stride": 1, "threshold": 0.5, "min_gap_seconds": 0.0, "max_gap_seconds": 100.0}


def scenes(length, first=0):
    """Flat pictures that change every ``length`` frames, by more than noise."""
    return lambda place: np.full((4, 6, 3), (first + 40 * (place // length)) % 240, dtype=np.uint8)


def run(folder, media, sampler, *, segment_seconds=1e9, batch=4, **options):
    cage = FakeCage(a=media)
    path = cage.files(folder)["a"]
    pipeline = FakePipeline(**options)
    params, told = {"sampler": sampler}, []
    plan = plan_input(pipeline, path, params, cage, None, segment_seconds=segment_seconds)
    works = [Work(str(number), path, span, plan.media) for number, span in enumerate(plan.ranges)]
    found = list(
        run_works(
            pipeline, works, params, cage, None, checkpoint=lambda done, total: told.append((done, total)),
            batch_size=batch,
        )
    )  # fmt: skip
    assert [result.error for result in found] == [None] * len(works)
    assert cage.open_requests == 0
    return plan, [row for result in found for row in result.rows], pipeline, told


def test_a_frame_passed_over_carries_the_last_kept_ones_result_and_says_whose_it_is(tmp_path):
    _, rows, pipeline, _ = run(tmp_path, FakeMedia(frames=10, gop=100, picture=scenes(4)), ADAPTIVE)
    assert [row["index"] for row in rows] == list(range(10))
    assert [row["carried_from"] for row in rows] == [None, 0, 0, 0, None, 4, 4, 4, None, 8]
    assert [row["level"] for row in rows] == [0] * 4 + [40] * 4 + [80] * 2
    assert rows[5] == {
        "index": 5, "pts": 5, "pts_seconds": 0.2, "sampler": "adaptive:0.5", "carried_from": 4, "level": 40,
        "before": [0],
    }  # fmt: skip
    assert list(chain(*pipeline.batches)) == [0, 40, 80]


def test_progress_counts_candidates_and_ends_at_the_total(tmp_path):
    plan, rows, _, told = run(tmp_path, FakeMedia(frames=200, gop=20, picture=scenes(7)), ADAPTIVE, batch=3)
    assert sum(span.frames for span in plan.ranges) == len(rows) == 200
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (200, 200)


def test_what_belongs_to_one_moment_is_not_carried(tmp_path):
    class Momentary(FakePipeline):
        not_carried = {"before": None}

    cage = FakeCage(a=FakeMedia(frames=3, gop=9, picture=scenes(9)))
    path, pipeline = cage.files(tmp_path)["a"], Momentary()
    plan = plan_input(pipeline, path, {"sampler": ADAPTIVE}, cage, None)
    works = [Work("a", path, plan.ranges[0], plan.media)]
    (result,) = run_works(pipeline, works, {"sampler": ADAPTIVE}, cage, None, checkpoint=lambda done, total: None)
    assert [row["before"] for row in result.rows] == [[], None, None]


def test_other_samplers_rows_say_nothing_of_carrying(tmp_path):
    _, rows, _, _ = run(tmp_path, FakeMedia(frames=4), {"policy": "stride", "stride": 1})
    assert all("carried_from" not in row for row in rows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.integers(1, 120),
    gop=st.integers(1, 30),
    scene=st.integers(1, 40),
    stride=st.integers(1, 5),
    longest=st.sampled_from([0.2, 1.0, 60.0]),
    seconds=st.floats(0.1, 10),
    lead=st.integers(0, 4),
)
def test_segments_give_the_rows_of_one_run(tmp_path, frames, gop, scene, stride, longest, seconds, lead):
    media = FakeMedia(frames=frames, gop=gop, rate=10, first_pts=7, picture=scenes(scene))
    sampler = {**ADAPTIVE, "stride": stride, "max_gap_seconds": longest}

    def rows(segment_seconds):
        found = run(tmp_path, media, sampler, segment_seconds=segment_seconds, lead_in_frames=lead)[1]
        return [{**row, "before": row["before"][-lead:] if lead else []} for row in found]

    assert rows(seconds) == rows(1e9)


def test_a_budget_picks_a_threshold_that_reaches_every_segment_and_stands_in_every_row(tmp_path):
    def drifting(place):
        picture = np.zeros((10, 10, 3), np.uint8)
        picture.reshape(-1, 3)[: place % 100] = 200
        return picture

    media = FakeMedia(frames=400, gop=50, rate=10, picture=drifting)
    sampler = {**ADAPTIVE, "budget": 0.1, "max_gap_seconds": 5.0}
    plan, rows, pipeline, _ = run(tmp_path, media, sampler, segment_seconds=1.0)
    assert len(plan.ranges) > 3
    threshold = plan.media.extra["sampler"]["threshold"]
    assert {row["sampler"] for row in rows} == {f"adaptive:{threshold:g}"}
    inferred = [row for row in rows if row["carried_from"] is None]
    assert len(rows) == 400
    assert 0.05 * 400 <= len(inferred) <= 0.1 * 400
    assert plan.media.extra["sampler"]["expected_share"] == len(inferred) / 400
    assert len(list(chain(*pipeline.batches))) == len(inferred)


def test_a_budget_that_the_gaps_break_is_told(tmp_path):
    sampler = {**ADAPTIVE, "budget": 0.01, "max_gap_seconds": 0.5}
    plan, rows, _, _ = run(tmp_path, FakeMedia(frames=400, rate=10, picture=scenes(400)), sampler)
    assert [warning["code"] for warning in plan.warnings] == ["sampler.over_budget"]
    assert sum(row["carried_from"] is None for row in rows) > 40


def test_times_beyond_the_end_are_told_with_the_plan(tmp_path):
    sampler = {"policy": "at", "at_seconds": [0.5, 99]}
    plan, rows, _, _ = run(tmp_path, FakeMedia(frames=50, rate=25), sampler)
    assert [row["index"] for row in rows] == [12]
    assert [warning["code"] for warning in plan.warnings] == ["sampler.beyond_end"]
