"""A job as the server told of it last, with the verbs that go with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framequeue.documents import (
    Fault,
    Frame,
    JobWarning,
    as_count,
    as_instant,
    as_mapping,
    as_mappings,
    as_number,
    as_text,
)
from framequeue.errors import JobFailedError

if TYPE_CHECKING:
    from framequeue.artifacts import Artifact
    from framequeue.client import Client

_TERMINAL_STATES = frozenset({"succeeded", "failed", "dead", "canceled"})


@dataclass(frozen=True, slots=True)
class Job:
    """One job document. It does not change: ``refresh`` and ``wait`` return a newer one."""

    id: str
    #: uploading, queued, running, succeeded, failed, dead, canceled - or one this version does not know
    state: str
    #: whether this run has ended
    terminal: bool
    #: counts replays, from 1
    run: int
    pipeline: str
    #: 0 to 1; never falls within a run
    progress: float
    stage: str | None
    queue_position: int | None
    eta_seconds: float | None
    waiting_for: str | None
    attempts: int
    #: frames reported so far
    frames_count: int | None
    metadata: Mapping[str, Any]
    params: Mapping[str, Any]
    summary: Mapping[str, Any] | None
    warnings: Sequence[JobWarning]
    error: Fault | None
    #: seconds per stage of the work
    timings: Mapping[str, Any]
    #: name of the input, as it was sent
    filename: str | None
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    urls: Mapping[str, Any]
    #: the whole document
    raw: Mapping[str, Any] = field(repr=False)
    _client: Client | None = field(default=None, repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any], client: Client | None = None) -> Job:
        """Read a job document."""
        state = str(raw.get("state") or "unknown")
        error, summary, terminal = raw.get("error"), raw.get("summary"), raw.get("terminal")
        times = as_mapping(raw.get("times"))
        return cls(
            id=str(raw.get("id") or ""),
            state=state,
            terminal=terminal if isinstance(terminal, bool) else state in _TERMINAL_STATES,
            run=as_count(raw.get("run")) or 1,
            pipeline=str(raw.get("pipeline") or ""),
            progress=as_number(raw.get("progress")) or 0.0,
            stage=as_text(raw.get("stage")),
            queue_position=as_count(raw.get("queue_position")),
            eta_seconds=as_number(raw.get("eta_seconds")),
            waiting_for=as_text(raw.get("waiting_for")),
            attempts=as_count(raw.get("attempts")) or 0,
            frames_count=as_count(raw.get("frames")),
            metadata=as_mapping(raw.get("metadata")),
            params=as_mapping(raw.get("params")),
            summary=summary if isinstance(summary, Mapping) else None,
            warnings=tuple(map(JobWarning.read, as_mappings(raw.get("warnings")))),
            error=Fault.read(error) if isinstance(error, Mapping) else None,
            timings=as_mapping(raw.get("timings")),
            filename=as_text(as_mapping(raw.get("input")).get("filename")),
            created_at=as_instant(times.get("created_at")),
            started_at=as_instant(times.get("started_at")),
            finished_at=as_instant(times.get("finished_at")),
            urls=as_mapping(raw.get("urls")),
            raw=raw,
            _client=client,
        )

    @property
    def ok(self) -> bool:
        """Whether the job has succeeded."""
        return self.state == "succeeded"

    def raise_for_state(self) -> Job:
        """Return the job unless it ended badly. Raises: JobFailedError."""
        if self.terminal and not self.ok:
            raise JobFailedError(self)
        return self

    def refresh(self) -> Job:
        """Return the job as it stands now. Raises: APIError."""
        return self._bound.get(self.id)

    def wait(
        self, timeout: float | None = None, *, on_update: Callable[[Job], None] | None = None, check: bool = True
    ) -> Job:
        """Return the job once it has ended; see ``Client.wait``. Raises: WaitTimeoutError, JobFailedError, APIError."""
        return self._bound.wait(self, timeout, on_update=on_update, check=check)

    def result(self) -> Mapping[str, Any]:
        """Return the result document. Raises: APIError."""
        return self._bound.result(self.id)

    def save_result(self, to: str | Path, format: str = "json") -> int:
        """Write the result to a file; see ``Client.save_result``. Raises: APIError, OSError."""
        return self._bound.save_result(self.id, to, format=format)

    def frames(self, *, from_seconds: float | None = None, to_seconds: float | None = None) -> Iterator[Frame]:
        """Yield the rows of the result, page by page; also while the job runs. Raises: APIError."""
        return self._bound.frames(self.id, from_seconds=from_seconds, to_seconds=to_seconds)

    def artifacts(self) -> Sequence[Artifact]:
        """Return the pictures and films of the result. Raises: APIError."""
        return self._bound.artifacts.list(self.id)

    def save_artifacts(self, folder: str | Path) -> Sequence[Path]:
        """Write them all into a folder; see ``Artifacts.save``. Raises: APIError, OSError."""
        return self._bound.artifacts.save_all(self.id, folder)

    def cancel(self) -> Job:
        """End the job and return it. Raises: APIError."""
        return self._bound.cancel(self.id)

    def replay(self, params: Mapping[str, Any] | None = None) -> Job:
        """Start a new run of an ended job and return it. Raises: APIError."""
        return self._bound.replay(self.id, params)

    def delete(self) -> None:
        """Cancel if need be, then erase the job and all its data. Raises: APIError."""
        self._bound.delete(self.id)

    @property
    def _bound(self) -> Client:
        if self._client is None:
            raise TypeError("this job was read without a client")
        return self._client
