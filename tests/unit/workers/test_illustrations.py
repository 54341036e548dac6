"""Pictures of a result in the runner's hand: they come with the result, and never cost it."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import CageUnavailable, MediaError
from pipeline.marks import Mark, Moment, box_mark
from storage.errors import ObjectStoreUnavailable
from storage.job import JobState
from storage.objects.keys import artifact_key
from tests.fakes.fake_cage import FakeMedia
from tests.fakes.fake_pipeline import FakePipeline
from tests.unit.workers.runner_world import World

BOTH = {"shift": 0, "artifacts": ["annotated", "thumbnails"]}


class Seeing(FakePipeline):
    """Marks a box on every frame; ``on_marks`` may raise."""

    def __init__(self) -> None:
        super().__init__()
        self.spec.params_schema["properties"]["artifacts"] = {"type": "array", "default": []}
        self.on_marks: Any = lambda row: None

    def marks(self, row: Any, params: Any) -> list[Mark]:
        self.on_marks(row)
        return [box_mark((5, 5, 20, 20), group="thing")]

    def moments(self, summary: Any, params: Any) -> list[Moment]:
        return [Moment(0, "the first", (5.0, 5.0, 20.0, 20.0))]


@pytest.fixture
def world(tmp_path: Path) -> Any:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        world.pipeline = Seeing()
        world.station.pipelines["fake"] = world.pipeline  # type: ignore[index]
        yield world


def names(world: World, job_id: str) -> list[str]:
    return [one["name"] for one in world.queue.job(job_id).artifacts]


def codes(world: World, job_id: str) -> list[str]:
    return [warning["code"] for warning in world.queue.job(job_id).warnings]


def body(world: World, key: str) -> bytes:
    with world.store.open(key) as opened:
        return opened.read()


def test_a_stills_pictures_lie_in_the_store_under_the_claim_that_made_them(world: World) -> None:
    job_id = world.add("still", params=BOTH)
    assert world.work() == {job_id: "succeeded"}
    job = world.queue.job(job_id)
    assert names(world, job_id) == ["annotated.jpg", "thumbnail-01.jpg"]
    first = job.artifacts[0]
    (segment,) = world.queue.segments(job_id)
    assert first["key"] == artifact_key(job_id, 1, segment.id, str(segment.claim_id), "annotated.jpg")
    data = body(world, first["key"])
    assert len(data) == first["size_bytes"]
    assert np.asarray(Image.open(BytesIO(data))).max() > 100
    assert job.artifacts[1]["caption"] == "the first"
    assert "artifacts" in job.timings


def test_nobody_who_did_not_ask_waits_for_a_picture(world: World) -> None:
    job_id = world.add("still")
    world.work()
    assert (names(world, job_id), codes(world, job_id)) == ([], [])
    assert "artifacts" not in world.queue.job(job_id).timings


def test_a_film_is_made_once_all_segments_of_a_video_are_merged(world: World) -> None:
    job_id = world.add("clip", size_class="long", params=BOTH)
    world.work_with(segment_seconds=1.0)
    job = world.queue.job(job_id)
    assert (job.state, job.segments_total > 1) == (JobState.SUCCEEDED, True)
    assert names(world, job_id) == ["annotated.mp4", "thumbnail-01.jpg"]
    assert job.artifacts[0]["caption"].startswith("50 of 50 sampled frames")


def test_like_stills_are_still_one_batch_and_each_has_its_own_picture(world: World) -> None:
    jobs = [world.add("still", params=BOTH) for _ in range(3)]
    assert world.work() == dict.fromkeys(jobs, "succeeded")
    assert [len(batch) for batch in world.pipeline.batches] == [3]
    assert len({world.queue.job(job_id).artifacts[0]["key"] for job_id in jobs}) == 3


@pytest.mark.parametrize("fault", [MediaError("no picture"), ZeroDivisionError("a fault of ours")])
def test_a_fault_while_drawing_is_a_warning_and_the_result_is_there(world: World, fault: Exception) -> None:
    def fails(row: Any) -> None:
        raise fault

    world.pipeline.on_marks = fails
    job_id = world.add("still", params=BOTH)
    assert world.work() == {job_id: "succeeded"}
    job = world.queue.job(job_id)
    assert (job.summary, job.attempts, names(world, job_id)) == ({"frames": 1}, 0, ["thumbnail-01.jpg"])
    assert codes(world, job_id) == ["artifacts.failed"]


def test_an_input_that_can_no_longer_be_read_costs_the_pictures_alone(world: World) -> None:
    world.cage.media["still"] = FakeMedia(frames=1, kind="image")
    job_id = world.add("still", params=BOTH)
    frames, calls = world.cage.frames, []

    def breaks_later(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise MediaError("gone bad")
        return frames(*arguments, **named)

    world.cage.frames = breaks_later  # type: ignore[method-assign]
    assert world.work() == {job_id: "succeeded"}
    assert (names(world, job_id), codes(world, job_id)) == ([], ["artifacts.failed", "artifacts.failed"])


def test_a_canceled_job_stops_at_the_next_picture_and_names_none(world: World) -> None:
    job_id = world.add("clip", params=BOTH)
    seen = []

    def cancel(row: Any) -> None:
        seen.append(row["index"])
        if len(seen) == 3:
            world.queue.cancel(job_id)
            world.pulse.beat()

    world.pipeline.on_marks = cancel
    assert world.work() == {}
    assert world.queue.job(job_id).state is JobState.CANCELED
    assert len(seen) <= 4
    assert (names(world, job_id), world.queue.job(job_id).summary) == ([], None)


def test_a_worker_told_to_stop_gives_the_claim_back_in_the_middle_of_a_film(world: World) -> None:
    job_id = world.add("clip", params=BOTH)

    def stop(row: Any) -> None:
        world.station.flags.stop()

    world.pipeline.on_marks = stop
    assert world.work() == {job_id: "given_back"}
    assert (world.queue.job(job_id).attempts, names(world, job_id)) == (0, [])


def test_a_store_that_is_away_is_waited_out_and_after_three_times_the_result_comes_without_pictures(
    world: World,
) -> None:
    job_id = world.add("still", params=BOTH)
    put = world.store.put

    def no_pictures(key: str, *arguments: Any, **named: Any) -> Any:
        if "/artifacts/" in key:
            raise ObjectStoreUnavailable("away")
        return put(key, *arguments, **named)

    world.store.put = no_pictures  # type: ignore[method-assign]
    outcomes = []
    for _ in range(4):
        outcomes.append(world.work_with(rest_seconds=0.0)[job_id])
        world.queue.pass_time(60)
    assert outcomes == ["retry", "retry", "retry", "succeeded"]
    assert (world.queue.job(job_id).attempts, codes(world, job_id)) == (0, ["artifacts.failed"])


def test_the_last_attempt_draws_nothing(world: World) -> None:
    job_id = world.add("still", params=BOTH, max_attempts=2)
    (segment,) = world.queue.segments(job_id)
    segment.attempts = 1
    assert world.work() == {job_id: "succeeded"}
    assert (names(world, job_id), codes(world, job_id)) == ([], ["artifacts.failed"])


def test_a_decoder_that_does_not_start_is_no_picture_s_fault(world: World) -> None:
    def broken(row: Any) -> None:
        raise CageUnavailable("no memory")

    world.pipeline.on_marks = broken
    job_id = world.add("still", params=BOTH)
    assert world.work_with(rest_seconds=0.0)[job_id] == "retry"
    assert world.queue.job(job_id).attempts == 0
