"""Faults stay with the work they belong to, and memory that runs out makes batches smaller."""

from __future__ import annotations

import pytest

from pipeline.errors import CageError, CageUnavailable, DeviceOutOfMemory, MediaError, ModelError, ModelUnavailable
from pipeline.run import Range
from tests.fakes.fake_cage import FakeMedia
from tests.fakes.fake_pipeline import FakePipeline
from tests.unit.pipeline.run.bed import levels, offset


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
