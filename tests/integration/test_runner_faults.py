"""What faults cost, on PostgreSQL and with real media: whose job ends, and who is charged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import DeviceOutOfMemory, ModelError
from pipeline.pipelines.motion import Motion
from pipeline.rows import pack_rows
from storage.claims import Heartbeat
from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable
from storage.fleet import Fleet
from storage.job import Done, JobState, Rows
from storage.sql_claims import SqlClaims
from tests.integration.queue_bed import Bed, make_clip, make_still
from workers.runner import Runner
from workers.station import Station

SERVES = [("motion", Motion.spec.spec_version)]


def test_a_video_whose_segments_all_held_nothing_fails_as_undecodable(
    bed: Bed, station: Station, tmp_path: Path
) -> None:
    job_id = bed.submit(make_clip(tmp_path / "clip.mp4"), size_class="long")
    Runner(replace(station, limits=replace(station.limits, segment_seconds=0.02, shift_seconds=0.0001))).work()
    worker_id, packed = station.pulse.worker_id, pack_rows([])
    nothing = Rows(0, len(packed), hashlib.sha256(packed).hexdigest(), inline=packed)
    while bed.jobs.get(job_id).segments_left:
        claim = station.claims.claim(worker_id, lanes=["cpu"], size_classes=["long"], serves=SERVES, limit=1)
        assert claim is not None
        station.claims.finish(claim, [Done(segment.id, nothing) for segment in claim.segments])
    Runner(station).work()
    job = bed.jobs.get(job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "media.undecodable"


def test_a_file_that_is_no_picture_fails_its_own_job_alone(bed: Bed, station: Station) -> None:
    bad, good = bed.submit(b"this is no picture at all, whatever it is called"), bed.submit(make_still())
    report = Runner(station).work()
    assert bed.jobs.get(good).state == JobState.SUCCEEDED
    job = bed.jobs.get(bad)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert str(job.error["code"]).startswith("media.")
    assert report[bad] == "failed"


def test_an_input_that_is_gone_fails_with_advice(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still())
    bed.objects.delete([f"inputs/{job_id}/source"])
    Runner(station).work()
    job = bed.jobs.get(job_id)
    assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "input.gone")
    assert job.error
    assert job.error["advice"]


class Broken(Motion):
    """Motion whose inference fails with a given error, for pictures of a given level or for all."""

    def __init__(self, error: Callable[[], Exception], level: int | None = None) -> None:
        self.error = error
        self.level = level

    def infer(self, frames: Any, params: Any, shelf: Any) -> Any:
        if self.level is None or any(int(frame.image.mean()) == self.level for frame in frames):
            raise self.error()
        return super().infer(frames, params, shelf)


def test_a_fault_of_ours_is_charged_and_dead_after_the_last_attempt(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still(), max_attempts=1)
    Runner(replace(station, pipelines={"motion": Broken(lambda: RuntimeError("boom"))})).work()
    job = bed.jobs.get(job_id)
    assert job.state == JobState.DEAD
    assert job.error is not None
    assert "boom" in job.error["message"]
    assert job.error["worker"] == station.pulse.worker_id


def test_one_poisoned_picture_of_a_batch_is_charged_alone(bed: Bed, station: Station) -> None:
    poison = bed.submit(make_still(200), max_attempts=1)
    others = [bed.submit(make_still(level), max_attempts=1) for level in (10, 20, 30)]
    Runner(replace(station, pipelines={"motion": Broken(lambda: ModelError("cannot"), 200)})).work()
    assert bed.jobs.get(poison).state == JobState.DEAD
    assert {bed.jobs.get(one).state for one in others} == {JobState.SUCCEEDED}
    assert {bed.jobs.get(one).attempts for one in others} == {0}


def test_out_of_memory_at_batch_size_one_is_charged(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still(), max_attempts=1)
    Runner(replace(station, pipelines={"motion": Broken(lambda: DeviceOutOfMemory("full"))})).work()
    job = bed.jobs.get(job_id)
    assert (job.state, job.error and job.error["code"]) == (JobState.DEAD, "device.out_of_memory")


def test_a_store_that_is_away_charges_nobody_and_rests_the_worker(bed: Bed, station: Station, monkeypatch: Any) -> None:
    job_ids = [bed.submit(make_still(level)) for level in range(3)]
    asked = []

    def away(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise ObjectStoreUnavailable("no answer")

    monkeypatch.setattr(station.objects, "fetch", away)
    runner = Runner(station)
    runner.work()
    assert {bed.jobs.get(one).attempts for one in job_ids} == {0}
    assert {bed.jobs.get(one).terminal for one in job_ids} == {False}
    assert runner.work() == {}
    assert len(asked) == 1


def test_a_claim_that_runs_too_long_is_charged_as_timed_out(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still(), max_attempts=1)
    Runner(replace(station, limits=replace(station.limits, max_runtimes={"motion": 0.0}))).work()
    job = bed.jobs.get(job_id)
    assert (job.state, job.error and job.error["code"]) == (JobState.DEAD, "job.timed_out")


def test_a_finish_waits_for_postgresql(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still())

    class Shaky(SqlClaims):
        failures = 3

        def finish(self, claim: Any, outcomes: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise DatabaseUnavailable("starting up")
            return super().finish(claim, outcomes)

    claims = Shaky(bed.database)
    assert Runner(replace(station, claims=claims)).work() == {job_id: "succeeded"}
    assert claims.failures == 0


def test_a_worker_that_was_declared_lost_registers_again_and_its_late_result_is_accepted(
    bed: Bed, station: Station, tmp_path: Path
) -> None:
    job_id = bed.submit(make_clip(tmp_path / "clip.mp4"), size_class="long")
    answers: list[Heartbeat] = []

    class LostMidway(Motion):
        def infer(self, frames: Any, params: Any, shelf: Any) -> Any:
            if not answers:
                assert Fleet(bed.database).lose_silent(lease_seconds=0.0).segments == 1
                answers.append(station.claims.heartbeat(station.pulse.worker_id, {}))
                station.pulse.beat()
            return super().infer(frames, params, shelf)

    report = Runner(replace(station, pipelines={"motion": LostMidway()})).work()
    assert answers[0].lost
    assert report == {job_id: "succeeded"}
    assert not station.pulse.registered
    station.pulse.beat()
    assert station.pulse.registered
