"""A worker with one segment of a long video fetches that segment's bytes, not the video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from storage.erasures import delete_objects
from storage.errors import ObjectStoreUnavailable
from storage.job import JobState
from storage.objects.port import ObjectStore, StoredObject
from tests.integration.queue_bed import Bed, rows_of
from tests.media import Clip, noisy, remux
from workers.runner import Runner
from workers.scratch import Scratch
from workers.sparse import BLOCK_BYTES
from workers.station import Station


class Metered:
    """An object store that counts what is read of inputs; ``refuses`` ends that with an error."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.whole: list[str] = []
        self.opened: list[str] = []
        self.ranged_bytes = 0
        self.refuses = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def fetch(self, key: str, path: Path, **named: Any) -> StoredObject:
        self.whole.append(key)
        return self._objects.fetch(key, path, **named)

    @contextmanager
    def open(self, key: str, start: int = 0, end: int | None = None) -> Iterator[BinaryIO]:
        self.opened.append(key)
        if end is not None:
            if self.refuses:
                raise ObjectStoreUnavailable("it does not answer")
            self.ranged_bytes += end - start
        with self._objects.open(key, start, end) as body:
            yield body


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"preset": "ultrafast", "g": "20", "qp": "2"}
    clip = Clip("film.mp4", 1400, width=96, height=96, options=options, picture=noisy)
    return clip.write(tmp_path_factory.mktemp("film"))


@pytest.fixture(params=["film.mp4", "film.ts"])
def either(request: pytest.FixtureRequest, film: Path) -> Path:
    """One that tells where its packets are, and one that does not."""
    path = film.with_name(request.param)
    return path if path.exists() else remux(film, path)


@contextmanager
def another(station: Station, folder: Path) -> Iterator[tuple[Station, Metered]]:
    """The same worker on another machine, whose disk is empty."""
    store: Any = Metered(station.objects)
    with Scratch(folder / "another", "two", store, max_bytes=10**8) as scratch:
        yield replace(station, objects=store, scratch=scratch), store


def planned(bed: Bed, station: Station, film: Path) -> tuple[Station, str]:
    """Submit the film and have it cut; return who does it that way, and the job."""
    limits = replace(station.limits, segment_seconds=0.05, parts_above_bytes=0, shift_seconds=0.0)
    planner = replace(station, limits=limits)
    job_id = bed.submit(film, params={"sampler": {"stride": 10}}, size_class="long")
    Runner(planner).work("cpu", "long")
    job = bed.jobs.get(job_id)
    assert job.segments_total >= 4
    assert job.input.sha256, "who planned it has seen all of it"
    return planner, job_id


def test_each_segment_costs_its_share_of_the_bytes_and_the_rows_are_the_same(
    bed: Bed, station: Station, either: Path, tmp_path: Path
) -> None:
    planner, job_id = planned(bed, station, either)
    size, segments = either.stat().st_size, bed.jobs.get(job_id).segments_total
    with another(planner, tmp_path) as (worker, store):
        assert Runner(worker).work("cpu", "long")
        assert store.whole == []
        assert store.ranged_bytes < size / segments + 5 * BLOCK_BYTES < size
        Runner(replace(worker, limits=replace(worker.limits, shift_seconds=60.0))).work("cpu", "long")
        assert store.whole == []
        assert store.ranged_bytes <= size, "what one segment fetched, the next one finds on the disk"
    assert bed.jobs.get(job_id).state == JobState.SUCCEEDED
    alone = bed.submit(either, params={"sampler": {"stride": 10}}, size_class="long")
    Runner(station).work()
    assert rows_of(bed, job_id) == rows_of(bed, alone)


def test_who_planned_the_video_has_it_and_asks_for_nothing(bed: Bed, station: Station, film: Path) -> None:
    planner, job_id = planned(bed, station, film)
    store: Any = Metered(station.objects)
    Runner(replace(planner, objects=store, limits=replace(planner.limits, shift_seconds=60.0))).work("cpu", "long")
    assert bed.jobs.get(job_id).state == JobState.SUCCEEDED
    assert not [key for key in store.opened if key.startswith("inputs/")]


def test_where_nothing_is_known_of_the_packets_the_whole_video_is_fetched(
    bed: Bed, station: Station, film: Path, tmp_path: Path
) -> None:
    planner, job_id = planned(bed, station, film)
    bed.objects.delete([item.key for item in bed.objects.list(f"inputs/{job_id}/packets-")])
    with another(planner, tmp_path) as (worker, store):
        Runner(replace(worker, limits=replace(worker.limits, shift_seconds=60.0))).work("cpu", "long")
        assert len(store.whole) == 1
    assert bed.jobs.get(job_id).state == JobState.SUCCEEDED


def test_a_store_that_fails_amid_a_segment_is_the_infrastructures_fault(
    bed: Bed, station: Station, film: Path, tmp_path: Path
) -> None:
    planner, job_id = planned(bed, station, film)
    with another(planner, tmp_path) as (worker, store):
        store.refuses = True
        Runner(worker).work("cpu", "long")
    job = bed.jobs.get(job_id)
    assert (job.attempts, job.terminal) == (0, False)
    assert len(bed.events(job_id, "held_up")) == 1


def test_an_erased_job_leaves_nothing_of_its_packets(bed: Bed, station: Station, film: Path) -> None:
    _, job_id = planned(bed, station, film)
    assert list(bed.objects.list(f"inputs/{job_id}/packets-"))
    delete_objects(bed.objects, job_id, bed.jobs.erase(job_id))
    assert list(bed.objects.list(f"inputs/{job_id}/")) == []
