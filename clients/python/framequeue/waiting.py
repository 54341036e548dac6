"""Waiting for a job by long polls, over restarts of the server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from framequeue.errors import APIConnectionError, ServerError
from framequeue.retry import retry_after_seconds
from framequeue.transport import Call, Transport, object_of

#: seconds that one long poll asks for
POLL_SECONDS = 20.0
#: how long to go on while the API does not answer (a deploy, a restart, a dropped link)
PATIENCE_SECONDS = 120.0
NOT_MODIFIED = 304


def job_path(job_id: str) -> str:
    """Return the path of a job."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


class Poll:
    """Long polls of one job until a deadline; when watched, each answers as soon as the job has changed."""

    def __init__(self, transport: Transport, job_id: str, timeout: float | None, *, watched: bool) -> None:
        self._transport = transport
        self._job_id = job_id
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._watched = watched
        self._etag: str | None = None
        self._last: Mapping[str, Any] | None = None
        self._lost_since: float | None = None

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._left() <= 0

    def next(self) -> tuple[Mapping[str, Any], bool]:
        """Return the job document and whether it has changed since the last call. Raises: APIError."""
        while True:
            try:
                answer = self._poll()
            except (APIConnectionError, ServerError):
                self._lost_since = self._lost_since or time.monotonic()
                if time.monotonic() - self._lost_since > PATIENCE_SECONDS or self.over:
                    raise
                self._transport.pause(1.0)
            else:
                self._lost_since = None
                return answer

    def _poll(self) -> tuple[Mapping[str, Any], bool]:
        asked = min(POLL_SECONDS, self._left())
        began = time.monotonic()
        call = Call(
            "GET",
            job_path(self._job_id),
            query={"wait": round(asked, 3)},
            headers={"If-None-Match": self._etag} if self._watched and self._etag else {},
            timeout=self._transport.timeout + asked,
        )
        response = self._transport.send(call)
        changed = response.status_code != NOT_MODIFIED
        if changed or self._last is None:
            self._last = object_of(response)
            self._etag = response.headers.get("etag")
        early = time.monotonic() - began < asked * 0.5
        if early and not self._last.get("terminal") and not (changed and self._watched):
            # All seats for waiting are taken: the server says when to come back.
            self._transport.pause(min(retry_after_seconds(response.headers) or 1.0, 30.0, self._left()))
        return self._last, changed

    def _left(self) -> float:
        return float("inf") if self._deadline is None else max(0.0, self._deadline - time.monotonic())
