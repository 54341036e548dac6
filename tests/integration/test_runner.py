"""The runner on real parts: PostgreSQL, a folder of objects, the cage and the motion pipeline; no Celery, no Redis."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.cage import Cage
from pipeline.errors import DeviceOutOfMemory, ModelError
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.motion import Motion
from pipeline.rows import pack_rows
from storage.claims import Heartbeat
from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable
from storage.fleet import Fleet
from storage.ids import new_id
from storage.job import Done, JobState, Rows
from storage.sql_claims import SqlClaims
from tests.integration.queue_bed import Bed, done_twice, make_clip, make_still, open_objects
from workers.flags import SharedFlags
from workers.heartbeat import Pulse
from workers.runner import Runner
from workers.scratch import Scratch
from workers.station import Limits, Station
from workers.watchdog import Watchdog

SERVES = [("motion", Motion.spec.spec_version)]


class Rung:
    """Keeps what was rung and told."""

    def __init__(self) -> None:
        self.rings: list[tuple[str, str, int]] = []
        self.told: list[str] = []

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        self.rings.append((lane, size_class, count))

    def heard(self, timeout_seconds: float) -> bool:
        return True

    def tell(self, job_id: str) -> None:
        self.told.append(job_id)


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage(answer_seconds=8.0) as opened:
        yield opened


@pytest.fixture
def bed(database: Any, tmp_path: Path) -> Bed:
    return Bed(database, open_objects(tmp_path / "objects"))


@pytest.fixture
def rung() -> Rung:
    return Rung()


@pytest.fixture
def station(bed: Bed, cage: Cage, rung: Rung, tmp_path: Path) -> Iterator[Station]:
    worker_id = new_id()
    fleet, claims = Fleet(bed.database), SqlClaims(bed.database)

    def enroll() -> None:
        fleet.register(
            worker_id, host="here", pid=1, lanes=["cpu"], size_classes=["short", "long"], pipelines=[], device={}
        )  # fmt: skip

    with ExitStack() as stack:
        scratch = stack.enter_context(Scratch(tmp_path / "scratch", "one", bed.objects, max_bytes=10**8))
        pulse = stack.enter_context(Pulse(worker_id, claims, enroll, interval_seconds=60.0))
        stacks = stack.enter_context(tempfile.TemporaryFile("w"))
        yield Station(
            claims=claims, parts=bed.jobs, objects=bed.objects, scratch=scratch, pipelines={"motion": Motion()},
            cage=cage, shelf=open_shelf(), doorbell=rung, hints=rung, pulse=pulse, watchdog=Watchdog(stacks),
            flags=SharedFlags(), limits=Limits(shift_seconds=30.0),
        )  # fmt: skip


def rows_of(bed: Bed, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in bed.jobs.segment_results(job_id, 1):
        assert isinstance(part.rows, Rows)
        if part.rows.inline is not None:
            data = part.rows.inline
        else:
            assert part.rows.key is not None
            with bed.objects.open(part.rows.key) as body:
                data = body.read()
        found += [json.loads(line) for line in gzip.decompress(data).splitlines()]
    return found


def test_an_image_is_planned_run_and_summarized_under_one_claim(bed: Bed, station: Station, rung: Rung) -> None:
    job_id = bed.submit(make_still())
    report = Runner(station).work("cpu", "short")
    job = bed.jobs.get(job_id)
    assert (job.state, report) == (JobState.SUCCEEDED, {job_id: "succeeded"})
    assert job.summary
    assert job.frames == len(rows_of(bed, job_id)) == 1
    assert len({event["claim_id"] for event in bed.events(job_id, "claimed", "done")}) == 1
    assert job_id in rung.told


def test_like_images_share_one_claim(bed: Bed, station: Station) -> None:
    job_ids = [bed.submit(make_still(level)) for level in range(5)]
    report = Runner(station).work()
    assert report == dict.fromkeys(job_ids, "succeeded")
    assert len({event["claim_id"] for one in job_ids for event in bed.events(one, "claimed")}) == 1


def test_a_long_video_gives_the_same_rows_in_many_segments_as_in_one(
    bed: Bed, station: Station, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=6.0)
    whole = bed.submit(clip, size_class="long")
    Runner(station).work()
    cut = bed.submit(clip, size_class="long")
    Runner(replace(station, limits=replace(station.limits, segment_seconds=0.02))).work()
    one, many = bed.jobs.get(whole), bed.jobs.get(cut)
    assert (one.state, many.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    assert one.segments_total == 1
    assert many.segments_total > 2
    assert rows_of(bed, cut) == rows_of(bed, whole)
    assert many.summary == one.summary
    assert not done_twice(bed.events(cut))


def test_a_budgets_threshold_reaches_every_segment_and_stands_in_the_result(
    bed: Bed, station: Station, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=6.0)
    params = {"sampler": {"policy": "adaptive", "stride": 1, "budget": 0.2, "max_gap_seconds": 1.0}}
    whole = bed.submit(clip, size_class="long", params=params)
    Runner(station).work()
    cut = bed.submit(clip, size_class="long", params=params)
    Runner(replace(station, limits=replace(station.limits, segment_seconds=0.02))).work()
    one, many, rows = bed.jobs.get(whole), bed.jobs.get(cut), rows_of(bed, cut)
    assert many.segments_total > 2
    assert rows == rows_of(bed, whole)
    assert many.summary == one.summary
    assert many.media is not None
    assert many.summary is not None
    assert {row["sampler"] for row in rows} == {f"adaptive:{many.media['extra']['sampler']['threshold']:g}"}
    inferred = sum(row["carried_from"] is None for row in rows)
    assert (many.frames, many.summary["frames"], many.summary["inferred"]) == (150, 150, inferred)
    assert 0.1 * 150 < inferred < 0.25 * 150


def test_many_segments_are_rung_for(bed: Bed, station: Station, rung: Rung, tmp_path: Path) -> None:
    bed.submit(make_clip(tmp_path / "clip.mp4", seconds=6.0), size_class="long")
    Runner(replace(station, limits=replace(station.limits, segment_seconds=0.02, shift_seconds=0.0001))).work(
        "cpu", "long"
    )
    (_, _, planned), again = rung.rings
    assert planned > 2
    assert again == ("cpu", "long", 1)


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


def test_large_results_become_an_object_under_the_claims_own_key(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still())
    Runner(replace(station, limits=replace(station.limits, inline_rows_bytes=0))).work()
    (part,) = bed.jobs.segment_results(job_id, 1)
    (event,) = bed.events(job_id, "done")
    assert part.rows is not None
    assert part.rows.key is not None
    assert str(event["claim_id"]) in part.rows.key
    assert len(rows_of(bed, job_id)) == 1


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


def test_shutdown_gives_back_uncharged(bed: Bed, station: Station, tmp_path: Path, rung: Rung) -> None:
    job_id = bed.submit(make_clip(tmp_path / "clip.mp4"), size_class="long")
    station.flags.stop_here()
    stopping = Runner(station)
    assert stopping.work("cpu", "long") == {}

    class StopsMidway(Motion):
        def infer(self, frames: Any, params: Any, shelf: Any) -> Any:
            flags.stop_here()
            return super().infer(frames, params, shelf)

    flags = SharedFlags()
    runner = Runner(replace(station, flags=flags, pipelines={"motion": StopsMidway()}))
    assert runner.work("cpu", "long") == {job_id: "given_back"}
    job = bed.jobs.get(job_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert rung.rings[-1] == ("cpu", "long", 1)
    assert Runner(replace(station, flags=SharedFlags())).work() == {job_id: "succeeded"}


def test_a_canceled_job_stops_at_the_next_checkpoint_and_writes_nothing(
    bed: Bed, station: Station, tmp_path: Path
) -> None:
    job_id = bed.submit(make_clip(tmp_path / "clip.mp4"), size_class="long")
    seen = []

    class CanceledMidway(Motion):
        def infer(self, frames: Any, params: Any, shelf: Any) -> Any:
            seen.append(len(frames))
            bed.jobs.cancel(job_id)
            station.pulse.beat()
            return super().infer(frames, params, shelf)

    report = Runner(replace(station, pipelines={"motion": CanceledMidway()})).work()
    assert report == {}
    assert bed.jobs.get(job_id).state == JobState.CANCELED
    assert len(seen) == 1
    assert not bed.events(job_id, "done")


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


def test_a_draining_worker_claims_nothing(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still())
    assert Fleet(bed.database).drain(station.pulse.worker_id)
    station.pulse.beat()
    assert Runner(station).work() == {}
    assert bed.jobs.get(job_id).state == JobState.QUEUED


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
