"""The runner's ways through plan, infer and merge, on fakes of queue, store and cage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.decoder_choice import Verdict
from pipeline.errors import CageError, MediaError
from storage.claims import Plan, Planned
from storage.job import Claim, JobState
from tests.fakes.fake_cage import FakeCage, FakeMedia
from tests.unit.workers.runner_world import World
from workers import metrics


def test_a_short_input_is_one_claim_from_plan_to_summary(world: World) -> None:
    job_id = world.add("still")
    assert world.work() == {job_id: "succeeded"}
    job = world.queue.job(job_id)
    assert (job.state, job.summary, job.frames) == (JobState.SUCCEEDED, {"frames": 1}, 1)
    assert job.media is not None
    assert job.media["kind"] == "image"
    assert set(world.bells.told) == {job_id}
    assert world.bells.rings == []


def test_a_segment_canceled_while_its_batch_was_planned_leaves_the_others_alone(world: World) -> None:
    jobs = [world.add("still", tag=float(place)) for place in range(3)]
    carry_out = world.queue.plan_all

    def cancel_first(claim: Claim, plans: Mapping[str, Plan]) -> Planned:
        world.queue.cancel(jobs[0])
        return carry_out(claim, plans)

    world.queue.plan_all = cancel_first  # type: ignore[method-assign]
    assert list(world.work().values()) == ["refused", "succeeded", "succeeded"]
    assert [world.queue.job(job_id).state for job_id in jobs] == [
        JobState.CANCELED, JobState.SUCCEEDED, JobState.SUCCEEDED
    ]  # fmt: skip


def test_a_long_input_is_cut_rung_for_run_in_parts_and_merged(world: World) -> None:
    job_id = world.add("clip", size_class="long")
    report = world.work_with(segment_seconds=1.0)
    job = world.queue.job(job_id)
    assert (job.state, report[job_id]) == (JobState.SUCCEEDED, "succeeded")
    assert job.summary == {"frames": 50}
    assert job.segments_total > 1
    assert world.bells.rings == [("cpu", "long", job.segments_total)]


def test_what_decoded_a_segment_is_counted_by_kind_of_device(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted() -> float:
        return metrics.DECODED.labels("cuda", "quicker")._value.get()

    before = counted()
    monkeypatch.setattr(FakeCage, "decoder", Verdict("cuda:3", "quicker", 0.2, 0.5))
    job_id = world.add("clip")
    assert world.work() == {job_id: "succeeded"}
    assert counted() == before + 1


def test_like_stills_are_one_model_batch(world: World) -> None:
    jobs = [world.add("still") for _ in range(6)]
    assert world.work() == dict.fromkeys(jobs, "succeeded")
    assert [len(batch) for batch in world.pipeline.batches] == [6]


def test_no_more_are_claimed_together_than_the_setting_says(world: World) -> None:
    for _ in range(5):
        world.add("still")
    world.work_with(claim_size=2)
    assert [len(batch) for batch in world.pipeline.batches] == [2, 2, 1]


def test_an_empty_queue_reports_nothing_and_rings_nobody(world: World) -> None:
    assert world.work() == {}
    assert world.bells.rings == []


def test_a_shift_ends_with_one_ring_while_work_is_left(world: World) -> None:
    for _ in range(3):
        world.add("still")
    assert len(world.work_with(claim_size=1, shift_seconds=0.0)) == 1
    assert world.bells.rings == [("cpu", "short", 1)]


def test_a_shift_goes_on_while_nobody_hears_the_bell(world: World) -> None:
    jobs = [world.add("still") for _ in range(3)]
    world.bells.taken = False
    assert set(world.work_with(claim_size=1, shift_seconds=0.0)) == set(jobs)


def test_a_broken_file_fails_alone(world: World) -> None:
    world.cage.media["broken"] = FakeMedia(frames=1, kind="image", breaks_at={0: MediaError("no picture")})
    broken, fine = world.add("broken"), world.add("still")
    assert world.work() == {broken: "failed", fine: "succeeded"}
    assert world.queue.job(broken).state is JobState.FAILED


def test_a_file_that_breaks_the_decoder_is_tried_once_more_alone_and_then_failed(world: World) -> None:
    world.cage.media["hangs"] = FakeMedia(
        frames=1, kind="image", breaks_at={0: CageError("no answer", code="cage.hung")}
    )
    bad, fine = world.add("hangs"), world.add("still")
    world.work()
    job = world.queue.job(bad)
    assert (job.state, job.error and job.error["code"], job.attempts) == (JobState.FAILED, "cage.hung", 1)
    assert world.queue.job(fine).state is JobState.SUCCEEDED


def test_a_fault_that_is_no_ones_in_particular_is_charged_to_the_one_that_repeats_it_alone(world: World) -> None:
    world.cage.media["bright"] = FakeMedia(frames=8, kind="image", picture=lambda place: world_picture(200))

    def fails(levels: list[int]) -> None:
        if 200 in levels:
            raise SystemError("a fault of nobody in particular")

    world.pipeline.on_infer = fails
    bad, fine = world.add("bright", max_attempts=1), [world.add("still", max_attempts=1) for _ in range(3)]
    world.work()
    assert world.queue.job(bad).state is JobState.DEAD
    assert {world.queue.job(one).state for one in fine} == {JobState.SUCCEEDED}


def world_picture(level: int) -> Any:
    import numpy as np

    return np.full((36, 64, 3), level, dtype=np.uint8)


def test_a_store_that_is_down_holds_up_everyone_uncharged_and_rests_the_runner(world: World) -> None:
    jobs = [world.add("still") for _ in range(3)]
    world.store.down = True
    assert world.work() == dict.fromkeys(jobs, "retry")
    assert {world.queue.job(one).attempts for one in jobs} == {0}
    world.store.down = False
    world.queue.pass_time(60.0)
    assert world.work() == dict.fromkeys(jobs, "succeeded")


def test_a_stop_gives_back_what_is_open_and_keeps_what_is_done(world: World) -> None:
    job_id = world.add("clip", size_class="long")
    batches = []

    def stops(levels: list[int]) -> None:
        batches.append(levels)
        if len(batches) == 3:
            world.station.flags.stop_here()

    world.pipeline.on_infer = stops
    report = world.work_with(segment_seconds=1.0)
    assert report == {job_id: "given_back"}
    job = world.queue.job(job_id)
    assert job.attempts == 0
    assert 0 < job.segments_left < job.segments_total
    assert world.bells.rings[-1] == ("cpu", "short", 1)
    assert world.work_with(segment_seconds=1.0) == {}, "it stays stopped"


def test_a_job_canceled_in_the_middle_is_left_at_the_next_beat(world: World) -> None:
    job_id = world.add("clip", size_class="long")

    def canceled(levels: list[int]) -> None:
        world.queue.cancel(job_id)
        world.pulse.beat()

    world.pipeline.on_infer = canceled
    assert world.work() == {}
    assert world.queue.job(job_id).state is JobState.CANCELED
    assert len(world.pipeline.batches) == 1
    assert world.cage.open_requests == 0


def test_nothing_is_claimed_before_the_worker_is_registered(world: World) -> None:
    world.add("still")
    world.pulse.registered = False
    assert world.work() == {}


def test_progress_of_a_claim_reaches_the_queue(world: World) -> None:
    job_id = world.add("clip", size_class="long")
    seen = []

    def beats(levels: list[int]) -> None:
        world.pulse.beat()
        seen.append(world.queue.job(job_id).progress)

    world.pipeline.on_infer = beats
    world.work()
    assert seen == sorted(seen)
    assert 0.0 < seen[-1] < 1.0
