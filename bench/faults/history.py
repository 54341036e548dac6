"""The whole history of a database: what the checker judges, read in one snapshot or from a file.

A run of 100,000 jobs leaves about a million events, so rows are named tuples and strings that come again are kept once.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

#: rows fetched at a time
CHUNK = 5000
#: how long a server that is only just coming back is waited for
CONNECT_SECONDS = 10


class JobRow(NamedTuple):
    """A row of ``jobs``, as far as it is judged."""

    id: str
    run: int
    state: str
    idempotency_key: str | None
    batch_id: str | None
    segments_total: int
    segments_left: int
    attempts: int
    frames: int
    progress: float
    #: whether the run has a summary
    summed_up: bool
    #: places of the segments named in missing_ranges
    missing: tuple[int, ...]
    #: retention has deleted its results
    results_deleted: bool


class SegmentRow(NamedTuple):
    """A row of ``segments``; of inline result rows only their digest."""

    id: str
    job_id: str
    run: int
    place: int
    kind: str
    state: str
    claim_id: str | None
    frames: int
    rows_count: int | None
    rows_sha256: str | None
    rows_key: str | None
    inline_sha256: str | None


class Event(NamedTuple):
    """A row of ``job_events``; ``at`` by the database's clock, seconds since the epoch."""

    id: int
    job_id: str
    run: int
    kind: str
    at: float
    segment_id: str | None = None
    claim_id: str | None = None
    worker_id: str | None = None
    data: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        names = (("segment", self.segment_id), ("claim", self.claim_id), ("by", self.worker_id), ("", self.data))
        told = " ".join(f"{name} {value}".strip() for name, value in names if value is not None)
        return f"#{self.id} {self.at:.3f} run {self.run} {self.kind} {told}".rstrip()


@dataclass(slots=True)
class History:
    """Jobs by id; segments and events by the id of their job, the events in the order in which they were recorded."""

    jobs: dict[str, JobRow] = field(default_factory=dict)
    segments: dict[str, list[SegmentRow]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, jobs: Iterable[JobRow], segments: Iterable[SegmentRow], events: Iterable[Event]) -> History:
        """Group rows; the events must come in the order of their ids."""
        history = cls({job.id: job for job in jobs})
        for segment in segments:
            history.segments[segment.job_id].append(segment)
        for event in events:
            history.events[event.job_id].append(event)
        return history

    def all_segments(self) -> Iterator[SegmentRow]:
        """Every segment, job by job."""
        return (segment for of_job in self.segments.values() for segment in of_job)

    def all_events(self) -> Iterator[Event]:
        """Every event, job by job."""
        return (event for of_job in self.events.values() for event in of_job)


_JOBS = """
    SELECT id::text, run, state, idempotency_key, batch_id::text, segments_total, segments_left, attempts, frames,
        progress, summary IS NOT NULL,
        ARRAY(SELECT (gap ->> 'segment')::int FROM jsonb_array_elements(missing_ranges) AS gap),
        results_deleted_at IS NOT NULL
    FROM jobs
"""
_SEGMENTS = """
    SELECT id::text, job_id::text, run, index, kind, state, claim_id::text, frames, rows_count, rows_sha256, rows_key,
        encode(sha256(rows_inline), 'hex')
    FROM segments
"""
_EVENTS = """
    SELECT id, job_id::text, run, kind, extract(epoch FROM at)::float8, segment_id::text, claim_id::text, worker_id,
        data
    FROM job_events ORDER BY id
"""


def read_history(database_url: str) -> History:
    """Read everything in one snapshot. Raises: psycopg2.Error."""
    with closing(psycopg2.connect(database_url, connect_timeout=CONNECT_SECONDS)) as connection:
        return read_snapshot(connection)


def read_snapshot(connection: Any) -> History:
    """The same over a psycopg2 connection that stands at the beginning of a transaction; it is rolled back."""
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    known = _Known()
    try:
        jobs = (known.job(row) for row in _stream(connection, _JOBS))
        segments = (known.segment(row) for row in _stream(connection, _SEGMENTS))
        events = (known.event(row) for row in _stream(connection, _EVENTS))
        return History.of(jobs, segments, events)
    finally:
        connection.rollback()


def write_history(history: History, path: Path) -> None:
    """Keep a history as gzipped JSON lines, for whoever wants to judge it again."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=6) as file:
        for letter, rows in (
            ("j", history.jobs.values()),
            ("s", history.all_segments()),
            ("e", sorted(history.all_events())),
        ):
            file.writelines(f"{json.dumps([letter, *row], separators=(',', ':'))}\n" for row in rows)


def load_history(path: Path) -> History:
    """Read what ``write_history`` wrote. Raises: ValueError for anything else."""
    known = _Known()
    jobs: list[JobRow] = []
    segments: list[SegmentRow] = []
    events: list[Event] = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            letter, *row = json.loads(line)
            if letter == "j":
                jobs.append(known.job(row))
            elif letter == "s":
                segments.append(known.segment(row))
            elif letter == "e":
                events.append(known.event(row))
            else:
                raise ValueError(f"{path} holds a line of kind {letter!r}")
    return History.of(jobs, segments, events)


class _Known:
    """Ids and words are in many rows; each is kept once."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def job(self, row: Sequence[Any]) -> JobRow:
        *same, missing, results_deleted = self._once(row)
        return JobRow._make([*same, tuple(missing), results_deleted])

    def segment(self, row: Sequence[Any]) -> SegmentRow:
        return SegmentRow._make(self._once(row))

    def event(self, row: Sequence[Any]) -> Event:
        return Event._make(self._once(row))

    def _once(self, row: Sequence[Any]) -> list[Any]:
        words = self._words
        return [words.setdefault(value, value) if type(value) is str else value for value in row]


def _stream(connection: Any, sql: str) -> Iterator[Sequence[Any]]:
    with connection.cursor(name=f"rows_{abs(hash(sql))}") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(sql)
        yield from cursor
