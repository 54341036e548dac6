"""The route ``/objects/<path>`` as a bare WSGI app on a free port, for tests of signed URLs without the web part."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, make_server

from storage.errors import ObjectMismatch, ObjectNotFound
from storage.objects.disposition import attachment
from storage.objects.signing import BadSignature, PartGrant


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(store_of: Callable[[str], Any]) -> Iterator[Any]:
    """Serve ``store_of(public_url)`` on loopback and yield the store."""
    routes: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status, headers, body = _answer(routes["store"], environ)
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        routes["store"] = store_of(f"http://127.0.0.1:{server.server_port}")
        thread.start()
        try:
            yield routes["store"]
        finally:
            server.shutdown()
            thread.join(5)


def _answer(store: Any, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    key = environ["PATH_INFO"].encode("latin-1").decode().removeprefix("/objects/")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    stream = io.BytesIO(environ["wsgi.input"].read(length))
    try:
        grant = store.urls.verify(environ["REQUEST_METHOD"], key, dict(parse_qsl(environ["QUERY_STRING"])))
        if isinstance(grant, PartGrant):
            part = store.receive_part(grant, stream)
            return "200 OK", [("ETag", f'"{part.etag}"')], b""
        with store.open(grant.key) as body:
            headers = [("Content-Disposition", attachment(grant.filename))]
            return "200 OK", headers, body.read()
    except BadSignature as error:
        return "403 Forbidden", [], error.code.encode()
    except ObjectNotFound as error:
        return "404 Not Found", [], error.code.encode()
    except ObjectMismatch as error:
        return "400 Bad Request", [], error.code.encode()
