"""The client: one method per call of the API that a user of the queue needs."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from framequeue.artifacts import Artifacts
from framequeue.batches import Batches
from framequeue.dead import DeadLetters
from framequeue.documents import Frame, Page, Pipeline, as_mappings, as_text
from framequeue.errors import WaitTimeoutError
from framequeue.job import Job
from framequeue.models import Models
from framequeue.settings import find_connection
from framequeue.sources import OnProgress, Remote, source_of
from framequeue.submission import Order, Submission
from framequeue.transport import Call, Transport
from framequeue.waiting import Poll, job_path
from framequeue.webhooks import Webhooks


class Client:
    """Talks to one Framequeue. Threads may share it; close it, or use it as ``with Client() as client:``.

    Without arguments it reads FRAMEQUEUE_URL and FRAMEQUEUE_API_KEY, and without those the ``.local/state.json`` of an
    embedded stack that runs in the current folder. Calls that failed on the way are tried again with growing pauses;
    submissions carry an idempotency key, so that trying again never makes a second job.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float = 60.0,
        max_retries: int = 2,
        http_transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """``timeout``: seconds without a byte after which a call is given up.

        Raises: ConfigurationError.
        """
        connection = find_connection(base_url, api_key)
        self.base_url = connection.base_url
        self._transport = Transport(connection, timeout=timeout, max_retries=max_retries, http_transport=http_transport)
        #: pictures and films of results
        self.artifacts = Artifacts(self._transport)
        #: many items under one name
        self.batches = Batches(self._transport)
        #: for operators: jobs that used up their attempts
        self.dead = DeadLetters(self._transport)
        #: for operators: versions of models
        self.models = Models(self._transport)
        #: secrets, deliveries and endpoints
        self.webhooks = Webhooks(self._transport)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def submit(
        self,
        source: str | os.PathLike[str] | bytes,
        pipeline: str,
        params: Mapping[str, Any] | None = None,
        *,
        priority: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        run_after: datetime | str | None = None,
        expires_in_seconds: int | None = None,
        allow_partial: bool = False,
        webhook_url: str | None = None,
        idempotency_key: str | None = None,
        batch: tuple[str, str] | None = None,
        filename: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Job:
        """Submit an input and return the job, without waiting for it.

        source: a path; bytes; or text that begins with http://, https:// (the server fetches it) or s3://.
        Files above 64 MiB go up in parts, several at once; a broken upload goes on where it stopped when the same file
        is submitted again. on_progress(bytes sent, bytes in all) is called as bytes leave.
        allow_partial: succeed with what could be had of a damaged video. webhook_url: told when the job has ended.
        batch: (id of an open batch, unique name in it) that the job is to be counted in.
        Raises: ConfigurationError (file cannot be read), APIError.
        """
        order = Order(
            pipeline=pipeline,
            params=params or {},
            priority=priority,
            metadata=metadata or {},
            run_after=run_after.isoformat() if isinstance(run_after, datetime) else run_after,
            expires_in_seconds=expires_in_seconds,
            idempotency_key=idempotency_key or str(uuid.uuid4()),
            allow_partial=allow_partial,
            webhook_url=webhook_url,
            batch_id=batch[0] if batch else None,
            batch_key=batch[1] if batch else None,
        )
        submission = Submission(self._transport, order, on_progress)
        found = source_of(source, filename)
        return self._job(submission.remote(found) if isinstance(found, Remote) else submission.local(found))

    def get(self, job_id: str) -> Job:
        """Return a job as it stands. Raises: NotFoundError, APIError."""
        return self._job(self._transport.json(Call("GET", job_path(job_id))))

    def wait(
        self,
        job: Job | str,
        timeout: float | None = None,
        *,
        on_update: Callable[[Job], None] | None = None,
        check: bool = True,
    ) -> Job:
        """Return the job once it has ended; ``on_update`` sees each document on the way.

        timeout: seconds; None waits for as long as it takes. check: raise JobFailedError unless it succeeded.
        An API that does not answer for up to two minutes is waited for.
        Raises: WaitTimeoutError, JobFailedError, NotFoundError, APIError.
        """
        poll = Poll(self._transport, job if isinstance(job, str) else job.id, timeout, watched=on_update is not None)
        while True:
            document, changed = poll.next()
            found = self._job(document)
            if changed and on_update is not None:
                on_update(found)
            if found.terminal:
                return found.raise_for_state() if check else found
            if poll.over:
                raise WaitTimeoutError(found, timeout or 0.0)

    def result(self, job_id: str) -> Mapping[str, Any]:
        """Return the result document of a job: summary and frames. Raises: ConflictError (not ended), APIError."""
        with self._transport.stream(_result_call(job_id, "json")) as response:
            document = json.loads(response.read())
        return document if isinstance(document, dict) else {"result": document}

    def save_result(self, job_id: str, to: str | os.PathLike[str], *, format: str = "json") -> int:
        """Write a result to a file and return its size in bytes; the file appears whole or not at all.

        format: json, jsonl, csv, coco, mot - what the server offers.
        Raises: ConflictError (not ended), InvalidError (no such format), APIError, OSError.
        """
        path = Path(to)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with partial.open("wb") as file:
                for piece in self.iter_result(job_id, format=format):
                    file.write(piece)
            size = partial.stat().st_size
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return size

    def iter_result(self, job_id: str, *, format: str = "json") -> Iterator[bytes]:
        """Yield a result in pieces, as it comes. Raises: as ``save_result``, less OSError."""
        with self._transport.stream(_result_call(job_id, format)) as response:
            yield from response.iter_bytes()

    def frames(
        self,
        job_id: str,
        *,
        from_seconds: float | None = None,
        to_seconds: float | None = None,
        page_size: int | None = None,
    ) -> Iterator[Frame]:
        """Yield the rows of a result in order of time, page by page; while the job runs, what is done so far.

        Raises: NotFoundError, APIError.
        """
        cursor: str | None = None
        while True:
            query = {"from": from_seconds, "to": to_seconds, "cursor": cursor, "limit": page_size}
            page = self._transport.json(Call("GET", f"{job_path(job_id)}/frames", query=query))
            rows = as_mappings(page.get("frames"))
            yield from map(Frame.read, rows)
            cursor = as_text(page.get("next_cursor"))
            # While the job runs there is always a cursor: later rows will appear behind it.
            if cursor is None or not rows:
                return

    def cancel(self, job_id: str) -> Job:
        """End a job; one that has ended already is returned as it is. Raises: NotFoundError, APIError."""
        return self._job(self._transport.json(Call("POST", f"{job_path(job_id)}/cancel")))

    def replay(self, job_id: str, params: Mapping[str, Any] | None = None) -> Job:
        """Start a new run of an ended job; the same parameters keep what is done.

        Raises: NotFoundError, ConflictError (it has not ended), InvalidError, APIError.
        """
        body = {"json": {} if params is None else {"params": dict(params)}}
        call = Call("POST", f"{job_path(job_id)}/replay", body=lambda: body, repeatable=False)
        return self._job(self._transport.json(call))

    def delete(self, job_id: str) -> None:
        """Cancel if need be, then erase a job and all its data. Raises: NotFoundError, APIError."""
        self._transport.send(Call("DELETE", job_path(job_id)))

    def page(
        self,
        *,
        state: str | None = None,
        pipeline: str | None = None,
        metadata: Mapping[str, str] | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Job]:
        """Return one page of jobs, newest first. Raises: APIError."""
        labels = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
        query = {"state": state, "pipeline": pipeline, "cursor": cursor, "limit": limit, **labels}
        found = self._transport.json(Call("GET", "/v1/jobs", query=query))
        return Page([self._job(raw) for raw in as_mappings(found.get("jobs"))], as_text(found.get("next_cursor")))

    def list(
        self,
        *,
        state: str | None = None,
        pipeline: str | None = None,
        metadata: Mapping[str, str] | None = None,
        page_size: int | None = None,
    ) -> Iterator[Job]:
        """Yield jobs, newest first, fetching pages as they are needed. Raises: APIError."""
        cursor: str | None = None
        while True:
            page = self.page(state=state, pipeline=pipeline, metadata=metadata, cursor=cursor, limit=page_size)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def pipelines(self) -> Iterator[Pipeline]:
        """Yield what this installation can run. Raises: APIError."""
        found = self._transport.json(Call("GET", "/v1/pipelines"))
        return map(Pipeline.read, as_mappings(found.get("pipelines")))

    def history(self, job_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield what happened to a job, oldest first: kind, at, run, segment. Raises: NotFoundError, APIError."""
        cursor: str | None = None
        while True:
            page = self._transport.json(Call("GET", f"{job_path(job_id)}/history", query={"cursor": cursor}))
            yield from as_mappings(page.get("events"))
            cursor = as_text(page.get("next_cursor"))
            if cursor is None:
                return

    def health(self) -> Mapping[str, Any]:
        """Return what ``/health`` says. Raises: APIError."""
        return self._transport.json(Call("GET", "/health", tries=1))

    def ready(self) -> Mapping[str, Any]:
        """Return what ``/ready`` says. Raises: ServerError (503, ``document`` names the broken part), APIError."""
        return self._transport.json(Call("GET", "/ready", tries=1))

    def _job(self, raw: Mapping[str, Any]) -> Job:
        return Job.read(raw, self)


def _result_call(job_id: str, format: str) -> Call:
    return Call("GET", f"{job_path(job_id)}/result", query={"format": format})
