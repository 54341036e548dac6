"""Errors as RFC 9457 problem documents: one table from code to status, for the whole API.

No Flask here; ``web.answers`` turns problems into responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.spec import ParamsInvalid
from storage.errors import StorageError, StorageUnavailable

#: code -> (status, title); codes are stable, clients may rely on them
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "artifact.unknown": (404, "No such artifact"),
    "batch.full": (409, "The batch has as many items as it may have"),
    "batch.unknown": (404, "No such batch"),
    "body.empty": (400, "The request has no body"),
    "body.malformed": (400, "The body cannot be parsed"),
    "body.too_large": (413, "The body is too large"),
    "body.truncated": (400, "The body ended early"),
    "cursor.invalid": (400, "The cursor is not one of ours"),
    "database.unavailable": (503, "The database does not answer"),
    "format.unknown": (400, "No such format"),
    "idempotency.conflict": (409, "The idempotency key was used for another request"),
    "idempotency.invalid": (400, "The idempotency key is not usable"),
    "input.gone": (409, "The input was deleted"),
    "internal.error": (500, "Something went wrong on our side"),
    "item.duplicate": (409, "The batch has another item of this key"),
    "item.file": (422, "An item names a file that only its owner can read"),
    "item.invalid": (422, "An item has faults"),
    "item.malformed": (422, "An item is no JSON object"),
    "item.too_long": (422, "An item's line is too long"),
    "job.unknown": (404, "No such job"),
    "key.invalid": (401, "The API key is not valid"),
    "key.missing": (401, "An API key is needed"),
    "media.empty": (422, "The file is empty"),
    "media.too_large": (413, "The file is too large"),
    "media.unsupported": (415, "This kind of file is not taken"),
    "method.not_allowed": (405, "This method is not allowed here"),
    "model.card_invalid": (422, "The card of the model has faults"),
    "model.inactive": (409, "No version of the model may serve"),
    "model.unknown": (404, "No such model version"),
    "object.unknown": (404, "No such object"),
    "params.invalid": (422, "The parameters do not fit the pipeline"),
    "pipeline.unknown": (422, "No such pipeline"),
    "range.unsatisfiable": (416, "The range lies outside the object"),
    "replay.unknown": (404, "No such order to replay dead letters"),
    "request.conflict": (409, "The request contradicts what is stored"),
    "request.invalid": (422, "The request has faults"),
    "request.malformed": (400, "The request cannot be understood"),
    "request.too_large": (413, "The request is too large"),
    "resource.unknown": (404, "No such thing"),
    "result.gone": (410, "The result was deleted"),
    "result.not_ready": (409, "The job has not ended yet"),
    "result.unavailable": (409, "The job ended without a result"),
    "route.unknown": (404, "No such path"),
    "scope.missing": (403, "The API key lacks a scope"),
    "signature.expired": (403, "The signed URL has expired"),
    "signature.invalid": (403, "The signature is wrong"),
    "state.conflict": (409, "The state does not allow this"),
    "storage.full": (507, "The object store has no space left"),
    "storage.unavailable": (503, "The object store does not answer"),
    "streams.busy": (503, "Too many waiting clients"),
    "type.unsupported": (415, "This content type is not taken"),
    "upload.incomplete": (409, "The upload is not complete"),
    "upload.mismatch": (409, "The upload differs from what was declared"),
    "upload.unknown": (404, "No such upload"),
    "webhook.disabled": (409, "The webhook endpoint is disabled"),
    "webhook.secret_missing": (409, "You have no webhook secret"),
    "webhook.secrets_full": (409, "Too many webhook secrets sign already"),
    "webhook.unknown": (404, "No such webhook secret, delivery or endpoint"),
    "worker.unknown": (404, "No such worker"),
}

#: seconds a client should wait before it tries again
RETRY_AFTER_SECONDS = 5


class Problem(Exception):
    """An answer that is an error: a code of the table and a sentence for the client."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        advice: str | None = None,
        faults: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        """``faults``: [{"path": "/params/stride", "message": ...}]; ``extra``: further members of the document."""
        super().__init__(detail or code)
        self.code = code
        self.status, self.title = PROBLEMS[code]
        self.detail = detail
        self.advice = advice
        self.faults = list(faults)
        self.headers = dict(headers or {})
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """Return the members that do not depend on the request."""
        document: dict[str, Any] = {
            "type": f"urn:framequeue:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        optional = {"detail": self.detail, "advice": self.advice, "faults": self.faults or None, **self.extra}
        return document | {name: value for name, value in optional.items() if value is not None}


def problem_of(error: Exception) -> Problem:
    """Translate an exception of ours into a problem; what we do not know is ``internal.error`` and says nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ParamsInvalid):
        faults = [{"path": f"/params{fault.path.rstrip('/')}", "message": fault.message} for fault in error.faults]
        return Problem("params.invalid", "see faults", faults=faults)
    if isinstance(error, StorageUnavailable):
        return Problem(
            error.code, "nothing was acknowledged; try again", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        )
    if isinstance(error, StorageError) and error.code in PROBLEMS:
        return Problem(error.code, str(error) or None)
    return Problem("internal.error", "the request id leads to the log line")
