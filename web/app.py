"""The application, put together."""

from __future__ import annotations

from typing import Any

from apiflask import APIFlask
from flask import request
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from web import access_log, answers, auth, headers, openapi
from web.api import (
    artifacts,
    audit,
    batches,
    dead,
    fleet,
    health,
    history,
    jobs,
    models,
    objects,
    offers,
    pages,
    results,
    uploads,
    webhooks,
)
from web.errors import Problem
from web.incoming import parse
from web.services import Services, build_services
from web.settings import WebSettings

API_VERSION = "1.0.0"
#: JSON bodies; files have their own limit
BODY_BYTES_MAX = 1024 * 1024
#: what single calls take besides JSON; they read it as it comes
_OTHER_BODIES = {
    "jobs.create_job": "multipart/form-data",
    "models.add_model": "multipart/form-data",
    "batches.create_batch": "application/x-ndjson",
    "batches.add_items": "application/x-ndjson",
}

_CALLS = (
    jobs,
    history,
    results,
    artifacts,
    batches,
    dead,
    uploads,
    offers,
    models,
    fleet,
    audit,
    health,
    objects,
    webhooks,
    pages,
)


class StrictJson(DefaultJSONProvider):
    """JSON as the standard has it; see ``web.incoming.parse``."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse. Raises: ValueError."""
        return parse(s)


def _refuse_nul() -> None:
    """PostgreSQL's text cannot hold NUL, so nothing can be called by a name with it."""
    if "\0" in request.path:
        raise Problem("route.unknown", "the path holds NUL")
    if any("\0" in name or "\0" in value for name, value in request.args.items(multi=True)):
        raise Problem("request.malformed", "the query holds NUL")


def _require_json() -> None:
    """APIFlask reads any body as JSON, whatever it is called; a client that sends something else is told so."""
    if request.method != "POST" or not request.content_length or request.is_json:
        return
    if _OTHER_BODIES.get(request.endpoint or "") != request.mimetype:
        raise Problem("type.unsupported", "send application/json")


def create_app(settings: WebSettings, services: Services | None = None) -> APIFlask:
    """Return the WSGI app; call it after a fork. ``services`` are built from the settings unless given."""
    app = APIFlask(__name__, title="Framequeue", version=API_VERSION, spec_path=None, docs_path=None, json_errors=False)
    app.json = StrictJson(app)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.url_map.strict_slashes = False
    made = services or build_services(settings)
    app.extensions["framequeue"] = made
    answers.register(app)
    headers.register(app, settings.cors_origins)
    access_log.register(app)
    app.before_request(_refuse_nul)
    app.before_request(lambda: auth.authenticate(made))
    app.before_request(_require_json)
    for module in _CALLS:
        app.register_blueprint(module.bp)
    openapi.install(app)
    if settings.proxy_hops:
        hops = settings.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)  # type: ignore[method-assign]
    return app
