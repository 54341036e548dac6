"""An input is planned into ranges, or refused before it is decoded."""

from __future__ import annotations

import pytest

from pipeline.errors import MediaError, ParamsError
from pipeline.run import plan_input
from tests.fakes.fake_cage import FakeMedia
from tests.fakes.fake_pipeline import FakePipeline


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
