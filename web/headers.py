"""What every answer carries: request id, security headers, and CORS where it was asked for."""

from __future__ import annotations

import re
import secrets

from flask import Flask, Response, g, request

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

#: pages of ours: own files only, nothing inline, no frames, no forms to elsewhere
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: everything else: a browser that is made to show an answer may do nothing with it
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"


def take_request_id() -> None:
    """Keep the id a proxy gave when it is well formed, else make one."""
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)


def add_headers(response: Response) -> Response:
    """Add what a browser must know to do no harm with an answer."""
    page = response.mimetype in {"text/html", "text/css", "text/javascript"}
    headers = response.headers
    headers["X-Request-ID"] = g.get("request_id", "")
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if page else DATA_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    return response


class Cors:
    """Lets the pages of listed origins call the API; keys travel in headers, so no credentials are ever allowed."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    def add(self, response: Response) -> Response:
        """Answer a listed origin; others see no CORS header at all."""
        origin = request.headers.get("Origin")
        response.headers.add("Vary", "Origin")
        if origin not in self._origins:
            return response
        headers = response.headers
        headers["Access-Control-Allow-Origin"] = origin
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        headers["Access-Control-Expose-Headers"] = "ETag, Location, Retry-After, X-Request-ID, Idempotent-Replayed"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, DELETE"
            headers["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-API-Key"
            )
            headers["Access-Control-Max-Age"] = "600"
        return response


def register(app: Flask, cors_origins: tuple[str, ...]) -> None:
    """Add the headers to every answer of the app."""
    app.before_request(take_request_id)
    app.after_request(add_headers)
    if cors_origins:
        app.after_request(Cors(cors_origins).add)
