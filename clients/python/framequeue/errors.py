"""Everything this package raises.

FramequeueError
├── ConfigurationError          no address or key, or a file that cannot be read: nothing was sent
├── WaitTimeoutError                 the job has not ended in the time given; it goes on
├── JobFailedError                   the job ended, but not well; ``job`` says how
└── APIError                    ``code`` (``noun.fault``, stable), ``advice`` and ``request_id`` where there are any
    ├── APIConnectionError      no answer: refused, timed out, cut off
    └── APIStatusError          an answer that says no; ``status``, ``faults``, ``document``
        ├── AuthenticationError     401
        ├── PermissionDeniedError   403
        ├── NotFoundError           404, 410
        ├── ConflictError           409
        ├── InvalidError            any other 4xx: the request is at fault
        ├── RateLimitError          429; ``retry_after_seconds``
        └── ServerError             5xx
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framequeue.batches import Batch
    from framequeue.job import Job


class FramequeueError(Exception):
    """Root of the tree; ``code`` is stable, the text is not."""

    code: str = "client.error"
    advice: str | None = None


class ConfigurationError(FramequeueError):
    """The client lacks something on this side; nothing was sent."""

    def __init__(self, message: str, *, code: str = "client.unconfigured", advice: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice


class WaitTimeoutError(FramequeueError):
    """A job or a batch has not ended in the time given; it goes on, and ``job`` is how it stood last."""

    code = "wait.timed_out"

    def __init__(self, job: Job | Batch, seconds: float) -> None:
        super().__init__(f"{type(job).__name__.lower()} {job.id} is still {job.state} after {seconds:g} s")
        self.job = job


class JobFailedError(FramequeueError):
    """The job ended ``failed``, ``dead`` or ``canceled``."""

    def __init__(self, job: Job) -> None:
        fault = job.error
        super().__init__(f"job {job.id} {job.state}" + (f": {fault.message}" if fault and fault.message else ""))
        self.job = job
        self.code = fault.code if fault else f"job.{job.state}"
        self.advice = fault.advice if fault else None


class APIError(FramequeueError):
    """A call to the API did not succeed."""

    def __init__(self, message: str, *, code: str, request_id: str | None = None, advice: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        self.advice = advice


class APIConnectionError(APIError):
    """There was no answer; ``__cause__`` says why."""


class APIStatusError(APIError):
    """The API answered, and the answer is no."""

    def __init__(self, status: int, document: Mapping[str, Any], *, request_id: str | None = None) -> None:
        """``document``: the members of an RFC 9457 problem document, as far as there are any."""
        self.status = status
        self.document = document
        self.faults: Sequence[Mapping[str, Any]] = _faults(document)
        super().__init__(
            _sentence(status, document, self.faults),
            code=str(document.get("code") or f"http.{status}"),
            request_id=request_id or _text(document.get("request_id")),
            advice=_text(document.get("advice")),
        )


class AuthenticationError(APIStatusError):
    """The key is missing, wrong, expired or revoked."""


class PermissionDeniedError(APIStatusError):
    """The key lacks the scope for this call."""


class NotFoundError(APIStatusError):
    """No such thing, or it belongs to someone else."""


class ConflictError(APIStatusError):
    """The request contradicts what is stored."""


class InvalidError(APIStatusError):
    """The request is at fault; ``faults`` names each place."""


class RateLimitError(APIStatusError):
    """Too many requests; ``retry_after_seconds`` says when to come back, if the server did."""

    retry_after_seconds: float | None = None


class ServerError(APIStatusError):
    """The fault is the server's; trying again later may help."""


_BY_STATUS: Mapping[int, type[APIStatusError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    429: RateLimitError,
}


def status_error(status: int, document: Mapping[str, Any], *, request_id: str | None = None) -> APIStatusError:
    """Return the error for an answer with a status of 400 or more."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else InvalidError)
    return kind(status, document, request_id=request_id)


def _faults(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = document.get("faults")
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _sentence(status: int, document: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]) -> str:
    title = _text(document.get("title")) or f"the server answered {status}"
    detail = _text(document.get("detail"))
    if faults:
        detail = "; ".join(f"{fault.get('path') or '/'}: {fault.get('message')}" for fault in faults)
    return f"{title}: {detail}" if detail and detail != title else title


def _text(value: Any) -> str | None:
    return str(value) if value else None
