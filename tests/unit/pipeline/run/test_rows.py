"""Rows and results come in order, and the same however an input was cut and batched."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.run import Range, plan_input, run_works
from tests.fakes.fake_cage import FakeMedia
from tests.fakes.fake_pipeline import FakePipeline
from tests.unit.pipeline.run.bed import Bed, ignore, levels, offset


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 120), st.integers(1, 30), st.floats(0.1, 20), st.integers(1, 9), st.integers(1, 7), st.integers(0, 4)
)
def test_segments_give_the_rows_of_one_run(tmp_path, frames, gop, length, batch, stride, lead):
    bed = Bed(tmp_path)
    cage = bed.cage(a=FakeMedia(frames=frames, gop=gop, first_pts=77))
    pipeline = FakePipeline(lead_in_frames=lead)
    params = {"sampler": {"policy": "stride", "stride": stride}}

    def rows(segment_seconds):
        plan = plan_input(pipeline, bed.paths["a"], params, cage, None, segment_seconds=segment_seconds)
        found = bed.run(pipeline, [bed.work("a", span) for span in plan.ranges], params, batch_size=batch)
        assert [result.error for result in found] == [None] * len(plan.ranges)
        cut = [{**row, "before": row["before"][-lead:] if lead else []} for result in found for row in result.rows]
        assert sum(span.frames for span in plan.ranges) == len(cut)
        return cut

    whole = rows(1e9)
    assert [row["index"] for row in whole] == list(range(0, frames, stride))
    assert rows(length) == whole


def test_a_row_tells_where_its_frame_stands(bed):
    bed.cage(a=FakeMedia(frames=3, first_pts=50, rate=25))
    (result,) = bed.run(FakePipeline(), bed.works("a"), {"sampler": {"policy": "stride", "stride": 2}})
    assert result.rows[1] == {
        "index": 2, "pts": 52, "pts_seconds": 2.08, "sampler": "stride:2", "level": 2, "before": [0],
    }  # fmt: skip


def test_a_still_has_nothing_to_sample(bed):
    bed.cage(a=FakeMedia(frames=1, kind="image"))
    (result,) = bed.run(FakePipeline(), bed.works("a"))
    assert [row["sampler"] for row in result.rows] == ["still"]


def test_lead_in_frames_warm_up_the_state_and_give_no_rows(bed):
    bed.cage(a=FakeMedia(frames=40, gop=10))
    (result,) = bed.run(FakePipeline(lead_in_frames=3), [bed.work("a", Range(20, 30, 10))])
    assert levels(result) == list(range(20, 30))
    assert result.rows[0]["before"] == [17, 18, 19]


def test_a_lead_in_of_seconds_reaches_back_in_time_and_holds_at_least_one_frame(bed):
    bed.cage(a=FakeMedia(frames=40, gop=10, rate=10))
    (half,) = bed.run(FakePipeline(lead_in_seconds=0.5), [bed.work("a", Range(20, 30, 10))])
    assert half.rows[0]["before"] == [15, 16, 17, 18, 19]
    params = {"sampler": {"policy": "stride", "stride": 10}}
    (sparse,) = bed.run(FakePipeline(lead_in_seconds=0.5), [bed.work("a", Range(20, 30, 1))], params)
    assert sparse.rows[0]["before"] == [10]


def test_batches_cross_works_and_results_come_in_order(bed):
    bed.cage(
        a=FakeMedia(frames=3, picture=offset(0)),
        b=FakeMedia(frames=2, picture=offset(10)),
        c=FakeMedia(frames=3, picture=offset(20)),
    )
    pipeline = FakePipeline()
    found = bed.run(pipeline, bed.works("a", "b", "c"))
    assert pipeline.batches == [[0, 1, 2, 10], [11, 20, 21, 22]]
    assert [(result.id, levels(result)) for result in found] == [("a", [0, 1, 2]), ("b", [10, 11]), ("c", [20, 21, 22])]
    assert [row["before"] for row in found[1].rows] == [[], [10]]


def test_a_result_is_given_out_before_the_next_work_is_done(bed):
    bed.cage(a=FakeMedia(frames=4), b=FakeMedia(frames=400))
    results = run_works(FakePipeline(), bed.works("a", "b"), {}, bed.cage, None, checkpoint=ignore, batch_size=4)
    assert next(results).id == "a"
    assert len(bed.cage.decoded) < 40
    results.close()
    assert bed.cage.open_requests == 0


def test_stages_are_timed(bed):
    bed.cage(a=FakeMedia(frames=5))
    (result,) = bed.run(FakePipeline(), bed.works("a"))
    assert set(result.timings) == {"decode", "infer", "observe"}
    assert all(seconds > 0 for seconds in result.timings.values())


def test_no_works_give_no_results(bed):
    bed.cage()
    assert bed.run(FakePipeline(), []) == []
