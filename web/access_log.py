"""One log line per request, and counters for Prometheus; never a key, never a query string."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import structlog
from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from web.caller import Caller

REQUESTS = Counter("fq_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "fq_http_request_seconds",
    "Time from request to the answer's first byte.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
SUBMITTED = Counter("fq_jobs_submitted_total", "Jobs accepted.", ["pipeline"])

log = structlog.get_logger("web.access")


def configure(level: str, shape: str) -> None:
    """Set up structlog for this process: JSON lines, or colours on a console."""
    renderer: Any = structlog.processors.JSONRenderer() if shape == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _start() -> None:
    g.started = time.monotonic()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule else "(none)"
    seconds = time.monotonic() - g.get("started", time.monotonic())
    REQUESTS.labels(request.method, route, response.status_code).inc()
    SECONDS.labels(request.method, route).observe(seconds)
    who = g.get("caller")
    fields: dict[str, Any] = {"tenant": who.tenant, "key_id": who.key_id} if isinstance(who, Caller) else {}
    write = log.debug if route in {"/health", "/ready", "/metrics"} else log.info
    write(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        seconds=round(seconds, 4),
        address=request.remote_addr,
        **fields,
    )
    return response


def _forget(_: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()


def register(app: Flask) -> None:
    """Log and count every request of the app; call it after headers.register, which makes the request id."""
    app.before_request(_start)
    app.after_request(_finish)
    app.teardown_request(_forget)
