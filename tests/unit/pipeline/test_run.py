"""The route: planning an input, and running works in shared batches without one touching another."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import (
    CageError,
    CageUnavailable,
    DeviceOutOfMemory,
    MediaError,
    ModelError,
    ModelUnavailable,
    ParamsError,
)
from pipeline.run import Range, Work, plan_input, run_works
from tests.fakes.fake_cage import FakeCage, FakeMedia
from tests.fakes.fake_pipeline import FakePipeline


def ignore(done, total):
    """A checkpoint that lets everything pass."""


def offset(first):
    return lambda place: np.full((4, 6, 3), first + place, dtype=np.uint8)


@pytest.fixture
def bed(tmp_path):
    return Bed(tmp_path)


class Bed:
    """Media by name, and works over them."""

    def __init__(self, folder):
        self.folder = folder

    def cage(self, **media):
        self.cage = FakeCage(**media)
        self.paths = self.cage.files(self.folder)
        return self.cage

    def works(self, *names):
        return [self.work(name) for name in names]

    def work(self, name, span=None):
        media = self.cage.media[name]
        return Work(name, self.paths[name], span or Range(frames=media.frames), media.info())

    def run(self, pipeline, works, params=None, checkpoint=ignore, batch_size=4):
        found = list(
            run_works(pipeline, works, params or {}, self.cage, None, checkpoint=checkpoint, batch_size=batch_size)
        )
        assert self.cage.open_requests == 0
        return found


def levels(result):
    return [row["level"] for row in result.rows]


# -- planning


def test_a_still_is_one_range_of_one_frame_and_is_not_indexed(bed):
    cage = bed.cage(a=FakeMedia(frames=1, kind="image"))
    plan = plan_input(FakePipeline(), bed.paths["a"], {}, cage, None)
    assert [span.frames for span in plan.ranges] == [1]
    assert cage.indexed == []


def test_an_animation_is_a_video_to_those_who_take_video_and_a_still_to_others(bed):
    cage = bed.cage(a=FakeMedia(frames=20, kind="animation"))
    video = plan_input(FakePipeline(), bed.paths["a"], {}, cage, None)
    still = plan_input(FakePipeline(accepts=("image",)), bed.paths["a"], {}, cage, None)
    assert [sum(span.frames for span in plan.ranges) for plan in (video, still)] == [20, 1]


@pytest.mark.parametrize(("kind", "accepts"), [("video", ("image",)), ("image", ("video",)), ("video", ("sensor",))])
def test_input_of_a_kind_the_pipeline_does_not_take_is_refused(bed, kind, accepts):
    cage = bed.cage(a=FakeMedia(kind=kind))
    bed.paths["a"].write_bytes(b"\0\0\0\x18ftypisom")  # no text: where readings are taken, that is asked first
    with pytest.raises(MediaError) as caught:
        plan_input(FakePipeline(accepts=accepts), bed.paths["a"], {}, cage, None)
    assert caught.value.code == "media.unsupported"


def test_an_index_without_frames_is_an_empty_input(bed):
    cage = bed.cage(a=FakeMedia(frames=0))
    with pytest.raises(MediaError) as caught:
        plan_input(FakePipeline(), bed.paths["a"], {}, cage, None)
    assert caught.value.code == "media.empty"


def test_wrong_params_are_refused_before_the_file_is_opened(bed):
    cage = bed.cage(a=FakeMedia(index_error=MediaError("opened")))
    with pytest.raises(ParamsError, match="shift"):
        plan_input(FakePipeline(), bed.paths["a"], {"shift": "x"}, cage, None)


def test_many_segments_of_one_unchanged_file_are_indexed_once(bed):
    cage = bed.cage(a=FakeMedia(frames=100))
    pipeline = FakePipeline()
    plan = plan_input(pipeline, bed.paths["a"], {}, cage, None, segment_seconds=1)
    assert len(plan.ranges) == 10
    bed.run(pipeline, [bed.work("a", span) for span in plan.ranges])
    assert cage.indexed == ["a"]


# -- rows


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


# -- faults stay with the work they belong to


def faults(found):
    return {result.id: (type(result.error).__name__ if result.error else None, len(result.rows)) for result in found}


@pytest.mark.parametrize("error", [MediaError("broken"), CageError("died", code="cage.memory")])
def test_a_work_that_cannot_be_decoded_does_not_touch_the_others(bed, error):
    bed.cage(a=FakeMedia(frames=6), b=FakeMedia(frames=6, breaks_at={2: error}), c=FakeMedia(frames=6))
    found = bed.run(FakePipeline(), bed.works("a", "b", "c"))
    assert faults(found) == {"a": (None, 6), "b": (type(error).__name__, 0), "c": (None, 6)}
    assert found[1].error is error


def test_a_work_whose_index_cannot_be_read_does_not_touch_the_others(bed):
    bed.cage(a=FakeMedia(frames=6, index_error=MediaError("no index")), b=FakeMedia(frames=6))
    assert faults(bed.run(FakePipeline(), bed.works("a", "b"))) == {"a": ("MediaError", 0), "b": (None, 6)}


def test_a_hole_in_one_range_of_a_long_input_is_a_warning(bed):
    bed.cage(a=FakeMedia(frames=30, gop=10, breaks_at={10: MediaError("no frame here")}))
    spans = [Range(None, 10, 10), Range(10, 20, 10), Range(20, None, 10)]
    found = bed.run(FakePipeline(), [bed.work("a", span) for span in spans])
    assert [len(result.rows) for result in found] == [10, 0, 10]
    assert [result.error for result in found] == [None] * 3
    assert [warning["code"] for warning in found[1].warnings] == ["media.damaged"]


def test_damage_told_while_decoding_goes_to_its_own_work(bed):
    warning = {"code": "media.damaged", "message": "three packets"}
    bed.cage(a=FakeMedia(frames=2), b=FakeMedia(frames=2, warnings=(warning,)), c=FakeMedia(frames=2))
    found = bed.run(FakePipeline(), bed.works("a", "b", "c"))
    assert [list(result.warnings) for result in found] == [[], [warning], []]


def raise_for(level, error):
    def on_infer(seen):
        if level in seen:
            raise error

    return on_infer


@pytest.mark.parametrize("error", [ModelError("no"), ValueError("odd shape"), ZeroDivisionError()])
def test_a_frame_the_model_cannot_take_fails_only_its_own_work(bed, error):
    bed.cage(
        a=FakeMedia(frames=3), b=FakeMedia(frames=90, picture=offset(10)), c=FakeMedia(frames=3, picture=offset(200))
    )
    pipeline = FakePipeline(on_infer=raise_for(11, error))
    found = bed.run(pipeline, bed.works("a", "b", "c"))
    assert faults(found) == {"a": (None, 3), "b": ("ModelError", 0), "c": (None, 3)}
    assert found[1].error.code == "model.failed"
    assert sum(name == "b" for name, _ in bed.cage.decoded) < 30  # a failed work is not decoded to its end


def test_a_slow_pipeline_shows_life_after_as_few_frames_as_it_asks_for(bed):
    bed.cage(a=FakeMedia(frames=7))
    pipeline, told = FakePipeline(), []
    pipeline.max_batch = 2
    bed.run(pipeline, bed.works("a"), checkpoint=lambda done, total: told.append(done), batch_size=8)
    assert [len(batch) for batch in pipeline.batches] == [2, 2, 2, 1]
    assert {2, 4, 6} <= set(told)


def test_the_culprit_of_a_batch_is_found_by_halving(bed):
    bed.cage(a=FakeMedia(frames=32))
    pipeline = FakePipeline(on_infer=raise_for(20, ModelError("no")))
    (result,) = bed.run(pipeline, bed.works("a"), batch_size=32)
    assert isinstance(result.error, ModelError)
    assert len(pipeline.batches) == 11
    assert [16, 17, 18, 19] in pipeline.batches
    assert [20] in pipeline.batches


def test_a_decoding_process_that_does_not_start_stops_the_run_since_no_work_is_to_blame(bed):
    bed.cage(a=FakeMedia(frames=6), b=FakeMedia(frames=6, breaks_at={2: CageUnavailable("no memory")}))
    with pytest.raises(CageUnavailable):
        bed.run(FakePipeline(), bed.works("a", "b"))


def test_an_inference_of_another_length_than_its_batch_is_a_model_error(bed):
    bed.cage(a=FakeMedia(frames=3))
    (result,) = bed.run(FakePipeline(on_infer=lambda seen: [1, 2, 3, 4, 5]), bed.works("a"))
    assert isinstance(result.error, ModelError)
    assert "5 items for 1 frames" in result.error.message


def test_an_error_while_observing_fails_only_its_own_work(bed):
    def on_observe(level):
        if level == 11:
            raise KeyError("box")

    bed.cage(a=FakeMedia(frames=3), b=FakeMedia(frames=3, picture=offset(10)))
    found = bed.run(FakePipeline(on_observe=on_observe), bed.works("a", "b"))
    assert faults(found) == {"a": (None, 3), "b": ("ModelError", 0)}
    assert "KeyError" in found[1].error.message


def test_weights_that_cannot_be_had_stop_the_run_since_no_work_is_to_blame(bed):
    bed.cage(a=FakeMedia(frames=30))
    with pytest.raises(ModelUnavailable):
        bed.run(FakePipeline(on_infer=raise_for(0, ModelUnavailable("no network"))), bed.works("a"))
    assert bed.cage.open_requests == 0


# -- out of memory


@pytest.mark.parametrize("error", [DeviceOutOfMemory("full"), MemoryError()])
def test_out_of_memory_halves_the_batch_and_it_stays_halved(bed, error):
    def on_infer(seen):
        if len(seen) > 2:
            raise error

    bed.cage(a=FakeMedia(frames=20))
    pipeline = FakePipeline(on_infer=on_infer)
    (result,) = bed.run(pipeline, bed.works("a"), batch_size=8)
    assert levels(result) == list(range(20))
    assert [len(batch) for batch in pipeline.batches] == [8, 4] + [2] * 10


def test_out_of_memory_with_a_single_frame_is_that_works_error(bed):
    def on_infer(seen):
        if 11 in seen:
            raise DeviceOutOfMemory("full")

    bed.cage(a=FakeMedia(frames=3), b=FakeMedia(frames=3, picture=offset(10)))
    found = bed.run(FakePipeline(on_infer=on_infer), bed.works("a", "b"))
    assert faults(found) == {"a": (None, 3), "b": ("DeviceOutOfMemory", 0)}
    assert found[1].error.code == "device.out_of_memory"


# -- checkpoint


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 19),
    st.sampled_from([3, 1000]),
)
def test_progress_never_falls_and_ends_at_the_total(tmp_path, sizes, batch, bad, planned):
    bed = Bed(tmp_path)
    media = {f"m{n}": FakeMedia(frames=size) for n, size in enumerate(sizes)}
    media["m0"].breaks_at = {bad: MediaError("broken")}
    bed.cage(**media)
    told = []
    works = [bed.work(name, Range(frames=min(planned, one.frames))) for name, one in media.items()]
    bed.run(FakePipeline(), works, checkpoint=lambda done, total: told.append((done, total)), batch_size=batch)
    total = sum(work.range.frames for work in works)
    assert {one for _, one in told} == {total}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (total, total)


def test_what_checkpoint_raises_passes_through_and_everything_is_closed(bed):
    class Canceled(BaseException):
        pass

    def checkpoint(done, total):
        if done >= 8:
            raise Canceled

    bed.cage(a=FakeMedia(frames=1000))
    with pytest.raises(Canceled):
        bed.run(FakePipeline(), bed.works("a"), checkpoint=checkpoint)
    assert bed.cage.open_requests == 0
    assert len(bed.cage.decoded) < 30
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_checkpoint_is_asked_while_the_decoder_searches_for_the_next_frame(bed):
    asked = threading.Event()

    class Searching(FakeCage):
        def frames(self, path, wanted, **options):
            assert asked.wait(30)
            yield from super().frames(path, wanted, **options)

    bed.cage = Searching(a=FakeMedia(frames=3))
    bed.paths = bed.cage.files(bed.folder)
    told = []

    def checkpoint(done, total):
        told.append((done, total))
        asked.set()

    assert levels(bed.run(FakePipeline(), bed.works("a"), checkpoint=checkpoint)[0]) == [0, 1, 2]
    assert told == [(0, 3), (3, 3)]


def test_a_work_that_was_whole_is_given_out_before_checkpoint_can_stop_the_run(bed):
    def checkpoint(done, total):
        raise InterruptedError

    bed.cage(a=FakeMedia(frames=2), b=FakeMedia(frames=50))
    results = run_works(FakePipeline(), bed.works("a", "b"), {}, bed.cage, None, checkpoint=checkpoint, batch_size=8)
    assert levels(next(results)) == [0, 1]
    with pytest.raises(InterruptedError):
        next(results)


def test_a_decoder_that_hangs_is_killed_when_the_run_is_stopped(bed):
    killed, hanging = threading.Event(), threading.Event()

    class Hanging(FakeCage):
        def frames(self, path, wanted, **options):
            yield from super().frames(path, wanted[:4], **options)
            hanging.set()
            assert killed.wait(30)
            raise CageError("killed")

        def kill(self):
            killed.set()

    bed.cage = Hanging(a=FakeMedia(frames=100))
    bed.paths = bed.cage.files(bed.folder)

    def checkpoint(done, total):
        assert hanging.wait(30)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        bed.run(FakePipeline(), bed.works("a"), checkpoint=checkpoint, batch_size=3)
    assert killed.is_set()
