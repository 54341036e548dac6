"""Result rows, read segment by segment from the row or the store; never more than a piece of them in memory."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from storage.job import Job, Rows, SegmentState
from storage.jobs import JobStore, SegmentResult
from storage.objects.port import ObjectStore
from web.errors import Problem

#: a row's text may be this long; a longer one is a fault of ours
LINE_BYTES_MAX = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading stands: so many rows of a segment have been given."""

    run: int
    segment: int = 0
    row: int = 0

    def cursor(self) -> str:
        """Return it as the opaque text clients carry."""
        return base64.urlsafe_b64encode(f"{self.run}.{self.segment}.{self.row}".encode()).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str) -> Place:
        """Read a cursor. Raises: Problem with code cursor.invalid."""
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
            run, segment, row = (int(part) for part in text.split("."))
        except (ValueError, binascii.Error):
            raise Problem("cursor.invalid", "use next_cursor as it was given") from None
        if min(run, segment, row) < 0:
            raise Problem("cursor.invalid", "use next_cursor as it was given")
        return cls(run, segment, row)


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """One row as its JSON text, and the place behind it."""

    text: bytes
    after: Place

    def data(self) -> dict[str, Any]:
        """Return the parsed row."""
        return cast(dict[str, Any], json.loads(self.text))


class RowReader:
    """Rows of one run of a job in order of time."""

    def __init__(self, jobs: JobStore, objects: ObjectStore, job: Job) -> None:
        self._objects = objects
        self._job = job
        self.segments: Sequence[SegmentResult] = sorted(
            jobs.segment_results(job.id, job.run), key=lambda segment: segment.index
        )

    @property
    def complete(self) -> bool:
        """Whether every segment of an ended run has its rows."""
        return self._job.terminal and all(segment.state is SegmentState.DONE for segment in self.segments)

    def lines(self) -> Iterator[bytes]:
        """Yield the JSON text of every row there is, without line ends. Raises: ObjectStoreUnavailable, NotFound."""
        for placed in self.placed(Place(self._job.run)):
            yield placed.text

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every row there is. Raises: as ``lines``."""
        for text in self.lines():
            yield json.loads(text)

    def placed(self, start: Place) -> Iterator[PlacedRow]:
        """Yield rows from a place on.

        While the job runs they end at the first segment that may yet be done, so that a cursor never jumps over rows
        that come later; segments that never will be are left out.
        """
        for segment in self.segments:
            if segment.index < start.segment:
                continue
            if segment.state is not SegmentState.DONE or segment.rows is None:
                if self._job.terminal or segment.state in {SegmentState.DONE, SegmentState.DEAD}:
                    continue
                return
            skip = start.row if segment.index == start.segment else 0
            for number, text in enumerate(self._segment_lines(segment.rows), start=1):
                if number > skip:
                    yield PlacedRow(text, Place(self._job.run, segment.index, number))

    def _segment_lines(self, rows: Rows) -> Iterator[bytes]:
        if rows.inline is not None:
            yield from _lines(io.BytesIO(rows.inline))
        elif rows.key is not None:
            with self._objects.open(rows.key) as body:
                yield from _lines(body)


def _lines(compressed: Any) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=compressed, mode="rb") as plain:
        while line := plain.readline(LINE_BYTES_MAX):
            if text := line.strip():
                yield text
