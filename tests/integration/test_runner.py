"""The runner on PostgreSQL, an object store and real media."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.pipelines.motion import Motion
from storage.fleet import Fleet
from storage.job import JobState
from tests.fakes.quiet_bell import QuietBell
from tests.integration.queue_bed import Bed, done_twice, make_clip, make_still, rows_of
from workers.flags import SharedFlags
from workers.runner import Runner
from workers.station import Station


def test_an_image_is_planned_run_and_summarized_under_one_claim(bed: Bed, station: Station, bell: QuietBell) -> None:
    job_id = bed.submit(make_still())
    report = Runner(station).work("cpu", "short")
    job = bed.jobs.get(job_id)
    assert (job.state, report) == (JobState.SUCCEEDED, {job_id: "succeeded"})
    assert job.summary
    assert job.frames == len(rows_of(bed, job_id)) == 1
    assert len({event["claim_id"] for event in bed.events(job_id, "claimed", "done")}) == 1
    assert job_id in bell.told


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


def test_many_segments_are_rung_for(bed: Bed, station: Station, bell: QuietBell, tmp_path: Path) -> None:
    bed.submit(make_clip(tmp_path / "clip.mp4", seconds=6.0), size_class="long")
    Runner(replace(station, limits=replace(station.limits, segment_seconds=0.02, shift_seconds=0.0001))).work(
        "cpu", "long"
    )
    (_, _, planned), again = bell.rung
    assert planned > 2
    assert again == ("cpu", "long", 1)


def test_large_results_become_an_object_under_the_claims_own_key(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still())
    Runner(replace(station, limits=replace(station.limits, inline_rows_bytes=0))).work()
    (part,) = bed.jobs.segment_results(job_id, 1)
    (event,) = bed.events(job_id, "done")
    assert part.rows is not None
    assert part.rows.key is not None
    assert str(event["claim_id"]) in part.rows.key
    assert len(rows_of(bed, job_id)) == 1


def test_shutdown_gives_back_uncharged(bed: Bed, station: Station, tmp_path: Path, bell: QuietBell) -> None:
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
    assert bell.rung[-1] == ("cpu", "long", 1)
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


def test_a_draining_worker_claims_nothing(bed: Bed, station: Station) -> None:
    job_id = bed.submit(make_still())
    assert Fleet(bed.database).drain(station.pulse.worker_id)
    station.pulse.beat()
    assert Runner(station).work() == {}
    assert bed.jobs.get(job_id).state == JobState.QUEUED
