"""Answers: documents as JSON, exceptions as problem documents.

A client is never told why something internal failed: that goes to the log, under the same request id.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from apiflask import APIFlask, HTTPError
from flask import Response, g, json, request
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException

from web.errors import Problem, problem_of

log = structlog.get_logger(__name__)

#: what werkzeug raises on its own, by status
_HTTP_CODES: Mapping[int, str] = {
    400: "request.malformed",
    404: "route.unknown",
    405: "method.not_allowed",
    413: "body.too_large",
    415: "type.unsupported",
    416: "range.unsatisfiable",
}


def answer(document: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a document."""
    response = Response(document.model_dump_json(by_alias=True), status=status, content_type="application/json")
    response.headers.update(headers or {})
    return response


def answer_problem(error: Exception) -> Response:
    """Answer with the problem document of an exception."""
    problem = _problem_of(error)
    if problem.code == "internal.error":
        log.error("request.failed", path=request.path, exc_info=error)
    elif problem.status == 503:
        log.warning("request.refused", path=request.path, code=problem.code, reason=str(error.__cause__ or error))
    document = problem.document() | {"instance": request.path, "request_id": g.get("request_id", "")}
    response = Response(json.dumps(document), status=problem.status, content_type="application/problem+json")
    response.headers.update(problem.headers)
    return response


def register(app: APIFlask) -> None:
    """Answer every error of the app with a problem document."""
    for kind in (Exception, HTTPError, HTTPException):
        app.register_error_handler(kind, answer_problem)


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, HTTPError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, RecursionError):
        return Problem("body.malformed", "the JSON is nested too deeply")
    return problem_of(error)


def _of_validation(error: HTTPError) -> Problem:
    """What APIFlask raises: {location: {field: [messages]}} for input that does not fit its model."""
    if error.status_code != 422:
        code = _HTTP_CODES.get(error.status_code, "request.malformed" if error.status_code < 500 else "internal.error")
        return Problem(code, error.message)
    faults = [
        {"path": f"/{field.replace('.', '/')}", "message": message}
        for fields in error.detail.values()
        for field, messages in fields.items()
        for message in messages
    ]
    return Problem("request.invalid", "see faults", faults=faults)


def _of_http(error: HTTPException) -> Problem:
    status = error.code or 500
    code = _HTTP_CODES.get(status, "request.malformed" if status < 500 else "internal.error")
    if status == 400 and request.method == "POST":
        code = "body.malformed" if request.content_length or request.is_json else "body.empty"
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Content-Range"}}
    return Problem(code, None if status == 500 else error.description, headers=headers)
