"""What tests of the queue share: media made on the fly, jobs put into store and database, waiting for an end."""

from __future__ import annotations

import gzip
import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.pipelines.catalog import load_pipelines
from pipeline.spec import batch_key, canonical_params
from storage.database import Database
from storage.ids import new_id
from storage.job import InputRef, Job, Rows
from storage.jobs import JobStore
from storage.new_job import NewJob
from storage.objects.keys import input_key
from storage.objects.open_store import open_store
from storage.objects.port import ObjectStore
from storage.objects.settings import ObjectStoreSettings


def make_clip(
    path: Path, *, seconds: float = 4.0, rate: int = 25, gop: int = 25, size: tuple[int, int] = (160, 120)
) -> Path:
    """A bright square that walks over a dark ground, with a keyframe every ``gop`` frames."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"g": str(gop), "sc_threshold": "0", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, rate)
        for place in range(int(seconds * rate)):
            picture = np.full((height, width, 3), 30, dtype=np.uint8)
            left = (place * 3) % (width - 30)
            picture[40:70, left : left + 30] = 220
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def make_still(level: int = 120, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """A small PNG, one for each level."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), level % 256, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


class Bed:
    """Submits jobs as web does, without HTTP."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self.database = database
        self.objects = objects
        self.jobs = JobStore(database)

    def submit(
        self, body: bytes | Path, *, pipeline: str = "motion", params: dict[str, Any] | None = None,
        size_class: str = "short", max_attempts: int = 3,
    ) -> str:  # fmt: skip
        """Object first, then the row."""
        job_id = new_id()
        data = body.read_bytes() if isinstance(body, Path) else body
        stored = self.objects.put(input_key(job_id), data)
        (one,) = load_pipelines([pipeline]).values()
        filled = canonical_params(one.spec.params_schema, params or {})
        version = one.spec.spec_version
        source = InputRef(key=stored.key, size_bytes=stored.size_bytes, etag=stored.etag, sha256=stored.sha256)
        self.jobs.create(
            NewJob(
                id=job_id, tenant="test", pipeline=one.spec.name, spec_version=version, params=filled,
                batch_key=batch_key(one.spec.name, version, filled), lane="cpu", size_class=size_class, input=source,
                fingerprint=job_id, max_attempts=max_attempts,
            )
        )  # fmt: skip
        return job_id

    def wait_for(self, job_id: str, until: Callable[[Job], bool] = lambda job: job.terminal, *, seconds: float) -> Job:
        """Look at the row until it is as wanted; fails with what it is instead."""
        return wait_until(lambda: self.jobs.get(job_id), until, seconds=seconds)

    def events(self, job_id: str, *kinds: str) -> list[dict[str, Any]]:
        """The job's history, only these kinds."""
        return [dict(event) for event in self.jobs.events(job_id) if not kinds or event["kind"] in kinds]


def wait_until(look: Callable[[], Any], good: Callable[[Any], bool], *, seconds: float) -> Any:
    """Look again and again until the thing is good; fails with what it is instead."""
    deadline = time.monotonic() + seconds
    while True:
        thing = look()
        if good(thing):
            return thing
        assert time.monotonic() < deadline, f"still {thing!r} after {seconds} s"
        time.sleep(0.05)


def seconds_of(call: Callable[[], object]) -> float:
    """The median of a hundred calls: what one takes where nothing else runs, however busy the machine is."""
    spent = []
    for _ in range(100):
        started = time.perf_counter()
        call()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def rows_of(bed: Bed, job_id: str) -> list[dict[str, Any]]:
    """Rows of the results of a job's first run, from row or store, in order."""
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


def done_twice(events: Sequence[dict[str, Any]]) -> list[str]:
    """Segments that were done more than once."""
    ids = [str(event["segment_id"]) for event in events if event["kind"] == "done"]
    return sorted({one for one in ids if ids.count(one) > 1})


def local_settings(folder: Path) -> dict[str, str]:
    """Settings of an object store in a folder."""
    return {"FQ_STORE": f"file://{folder}", "FQ_STORE_SECRET": "a secret of at least thirty-two bytes"}


def open_objects(folder: Path) -> ObjectStore:
    """The store that a process with ``local_settings`` opens."""
    settings = {name.removeprefix("FQ_").lower(): value for name, value in local_settings(folder).items()}
    return open_store(ObjectStoreSettings(**settings))
