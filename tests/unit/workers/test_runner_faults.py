"""Who is charged for what, and what a worker leaves alone: on fakes of queue, store and cage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import CageUnavailable, DeviceOutOfMemory, ModelError, ModelUnavailable
from storage.errors import ObjectStoreUnavailable
from storage.job import JobState, SegmentState
from tests.fakes.fake_cage import FakeMedia
from tests.fakes.fake_pipeline import FakePipeline
from tests.unit.workers.runner_world import World
from workers.runner import Runner
from workers.scratch import ScratchUnavailable


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def runner_of(world: World, clock: Clock, **changes: Any) -> Runner:
    return Runner(replace(world.station, **changes), clock=clock)


def states(world: World, jobs: list[str]) -> set[JobState]:
    return {world.queue.job(one).state for one in jobs}


def bright(world: World) -> str:
    world.cage.media["bright"] = FakeMedia(
        frames=1, kind="image", picture=lambda _: np.full((36, 64, 3), 200, dtype=np.uint8)
    )
    return world.add("bright", max_attempts=1)


class FailsLast(FakePipeline):
    """Fails outside of any frame: while the rows of one job are put into words, or the whole batch together."""

    def summarize(self, rows: Any, media: Any, params: Any) -> Any:
        found = list(rows)
        if any(row["level"] == 200 for row in found):
            raise ZeroDivisionError("a summary of nothing")
        return {"frames": len(found)}


def test_an_error_in_the_summary_of_one_job_is_its_own(world: World) -> None:
    bad, fine = bright(world), [world.add("still", max_attempts=1) for _ in range(3)]
    world.work(pipelines={"fake": FailsLast()})
    assert world.queue.job(bad).state is JobState.DEAD
    assert states(world, fine) == {JobState.SUCCEEDED}


def test_after_an_error_of_the_whole_batch_the_culprit_is_found_by_halving_and_31_are_done_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers import halving, segments

    runs: list[int] = []

    def run(hand: Any, some: Any) -> None:
        runs.append(len(some))
        if any(one.job_id == bad for one in some):
            raise OSError("a socket of the model server")
        segments.run_infers(hand, some)

    monkeypatch.setattr(halving, "run_infers", run)
    fine = [world.add("still", max_attempts=1) for _ in range(20)]
    bad = world.add("still", max_attempts=1)
    fine += [world.add("still", max_attempts=1) for _ in range(11)]
    report = world.work_with(claim_size=32, batch_size=32)
    assert (report.pop(bad), set(report.values())) == ("retry", {"succeeded"})
    assert world.queue.job(bad).state is JobState.DEAD
    assert {world.queue.job(one).attempts for one in fine} == {0}
    assert not any(one.solo for job_id in fine for one in world.queue.segments(job_id))
    assert sorted(runs, reverse=True)[:3] == [32, 16, 16]
    assert len(runs) == 11


def test_a_claim_that_ran_too_long_together_is_run_again_one_by_one_uncharged(world: World) -> None:
    jobs = [world.add("still") for _ in range(3)]
    world.work_with(max_runtimes={"fake": 0.0}, claim_size=3, shift_seconds=0.0)
    assert {(one.solo, one.attempts) for job_id in jobs for one in world.queue.segments(job_id)} == {(True, 0)}


@pytest.mark.parametrize(
    ("pipeline_says", "operator_says", "state"),
    [(0.0, {}, JobState.DEAD), (60.0, {}, JobState.SUCCEEDED), (60.0, {"fake": 0.0}, JobState.DEAD)],
)
def test_a_pipeline_says_how_long_it_may_run_and_an_operator_may_say_otherwise(
    world: World, pipeline_says: float, operator_says: dict[str, float], state: JobState
) -> None:
    world.pipeline.spec = replace(world.pipeline.spec, max_runtime_seconds=pipeline_says)
    job_id = world.add("still", max_attempts=1)
    world.work_with(max_runtimes=operator_says)
    assert world.queue.job(job_id).state is state


def away(world: World, error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []

    def fails(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise error

    monkeypatch.setattr(world.store, "fetch", fails)
    return asked


@pytest.mark.parametrize("error", [ObjectStoreUnavailable("frozen"), ScratchUnavailable("no space")])
def test_while_a_worker_rests_it_claims_nothing(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    runner = runner_of(world, clock)
    for _ in range(3):
        world.add("still")
    asked = away(world, error, monkeypatch)
    runner.work()
    world.queue.pass_time(60.0)
    for _ in range(5):
        assert runner.work() == {}
    assert len(asked) == 1


def test_after_a_rest_the_store_is_asked_first_and_then_one_segment_is_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    runner = runner_of(world, clock)
    jobs = [world.add("still") for _ in range(6)]
    world.store.down = True
    runner.work()
    world.queue.pass_time(60.0)
    checks = []
    check = world.store.check
    monkeypatch.setattr(world.store, "check", lambda: (checks.append(clock.now), check())[1])
    for _ in range(4):
        clock.now += world.station.limits.rest_seconds
        assert runner.work() == {}, "nothing is claimed while the store says nothing"
    assert len(checks) == 4
    assert {one.holdups for job_id in jobs for one in world.queue.segments(job_id)} == {1}
    world.store.down = False
    clock.now += world.station.limits.rest_seconds
    assert runner.work() == dict.fromkeys(jobs, "succeeded")
    assert [len(batch) for batch in world.pipeline.batches] == [1, 5]


def test_a_decoder_that_does_not_start_charges_nobody_and_rests_the_worker(world: World) -> None:
    clock = Clock()
    world.cage.media["still"] = FakeMedia(frames=1, kind="image", breaks_at={0: CageUnavailable("no memory left")})
    jobs = [world.add("still", max_attempts=1) for _ in range(3)]
    runner = runner_of(world, clock)
    assert runner.work() == dict.fromkeys(jobs, "retry")
    assert {(one.state, one.attempts) for job_id in jobs for one in world.queue.segments(job_id)} == {
        (SegmentState.WAITING, 0)
    }
    assert runner.work() == {}


def modelled(world: World, loads: Callable[[], None]) -> dict[str, Any]:
    """Changes of a station whose pipeline has a model that loads as told."""
    world.pipeline.spec = replace(world.pipeline.spec, models={"model": ("detect",)})
    world.pipeline.models_used = lambda *_: [{"name": "m"}]  # type: ignore[method-assign,return-value]

    class Shelf:
        def load(self, name: str) -> None:
            loads()

    return {"shelf": Shelf()}


def test_a_pipeline_without_its_weights_is_left_alone_while_others_go_on(world: World) -> None:
    clock, tried, there = Clock(), [], []

    def loads() -> None:
        tried.append(clock.now)
        if not there:
            raise ModelUnavailable("no network")

    other = FakePipeline()
    other.spec = replace(other.spec, name="other")
    pipelines = {"fake": world.pipeline, "other": other}
    runner = runner_of(world, clock, pipelines=pipelines, **modelled(world, loads))
    jobs = [world.add("still") for _ in range(8)]
    assert runner.work() == dict.fromkeys(jobs, "retry")
    world.queue.pass_time(60.0)
    others = [world.add("still") for _ in range(2)]
    for job_id in others:
        world.queue.jobs[job_id].pipeline = "other"
    clock.now += 1.0
    runner.work()
    assert len(tried) == 1
    assert {one.attempts for job_id in jobs for one in world.queue.segments(job_id)} == {0}
    clock.now += 15.0
    there.append(1)
    assert {job_id: word for job_id, word in runner.work().items() if job_id in jobs} == dict.fromkeys(
        jobs, "succeeded"
    )
    assert len(world.pipeline.batches[0]) == 1, "one segment was the trial"


def test_what_comes_with_a_library_is_not_asked_of_the_shelf(world: World) -> None:
    loaded: list[bool] = []
    station = modelled(world, lambda: loaded.append(True))
    world.pipeline.models_used = lambda *_: [  # type: ignore[method-assign,return-value]
        {"name": "m"}, {"name": "reader", "bundled_with": "a library"},
    ]  # fmt: skip
    job = world.add("still")
    world.work(**station)
    assert world.queue.job(job).state == "succeeded"
    assert loaded == [True]


def test_a_device_without_room_for_the_model_charges_nobody(world: World) -> None:
    def loads() -> None:
        raise DeviceOutOfMemory("11 GiB wanted, 2 GiB free")

    job_id = world.add("still", max_attempts=1)
    world.work(**modelled(world, loads))
    (row,) = world.queue.segments(job_id)
    assert (row.state, row.attempts, row.errors[-1]["code"]) == (SegmentState.WAITING, 0, "device.out_of_memory")


def test_a_model_that_is_broken_is_loaded_once_for_a_claim_and_charged_to_each(world: World) -> None:
    tried: list[int] = []

    def loads() -> None:
        tried.append(1)
        raise ModelError("not a TorchScript archive")

    jobs = [world.add("still", max_attempts=1) for _ in range(4)]
    world.work(**modelled(world, loads))
    assert len(tried) == 1
    assert states(world, jobs) == {JobState.DEAD}


def test_planning_stops_midway_when_the_worker_is_told_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    index = world.cage.index

    def long_index(path: Path, tick: Callable[[], None], **named: Any) -> Any:
        world.station.flags.stop_here()
        return index(path, tick, **named)

    monkeypatch.setattr(world.cage, "index", long_index)
    job_id = world.add("clip", size_class="long")
    assert world.work() == {job_id: "given_back"}
    (row,) = world.queue.segments(job_id)
    assert (row.state, row.attempts) == (SegmentState.READY, 0)


def test_a_fetch_stops_midway_when_the_worker_is_told_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = world.store.fetch

    def slow_fetch(key: str, path: Path, *, tick: Callable[[], None]) -> Any:
        world.station.flags.stop_here()
        return fetch(key, path, tick=tick)

    monkeypatch.setattr(world.store, "fetch", slow_fetch)
    job_id = world.add("still")
    assert world.work() == {job_id: "given_back"}
    assert [path.name for path in world.station.scratch.folder.iterdir()] == ["lock"]


def test_without_a_bell_the_shift_goes_on_until_nothing_is_left(world: World) -> None:
    jobs = [world.add("still") for _ in range(3)]
    runner = Runner(replace(world.station, limits=replace(world.station.limits, claim_size=1, shift_seconds=0.0)))
    assert runner.work(until_empty=True) == dict.fromkeys(jobs, "succeeded")
    assert world.bells.rings == []
