"""The signed URLs of the local object store: what S3 serves by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, cast

from apiflask import APIBlueprint
from flask import Response, request
from werkzeug.datastructures import ContentRange

from storage.errors import ObjectNotFound
from storage.objects.disposition import attachment
from storage.objects.local import LocalObjectStore
from storage.objects.signing import PartGrant, ReadGrant
from web.auth import public
from web.context import services
from web.errors import Problem

bp = APIBlueprint("objects", __name__, url_prefix="/objects", enable_openapi=False)

CHUNK_BYTES = 256 * 1024


@bp.route("/<path:key>", methods=["GET", "PUT"])
@public
def signed_object(key: str) -> Response:
    """Carry out what the signature grants: read an object, or write one part of an upload."""
    store = services().objects
    if not isinstance(store, LocalObjectStore):
        raise ObjectNotFound("objects are served by the object store itself")
    grant = store.urls.verify(request.method, key, request.args.to_dict())
    if isinstance(grant, PartGrant):
        return _receive(store, grant)
    return _send(store, grant)


def _receive(store: LocalObjectStore, grant: PartGrant) -> Response:
    if request.content_length is not None and request.content_length != grant.size_bytes:
        raise Problem("upload.mismatch", f"this part has exactly {grant.size_bytes} bytes")
    request.max_content_length = grant.size_bytes + 1
    part = store.receive_part(grant, cast(BinaryIO, request.stream))
    return Response(status=200, headers={"ETag": f'"{part.etag}"'})


def _send(store: LocalObjectStore, grant: ReadGrant) -> Response:
    stored = store.stat(grant.key)
    start, end, status = _range_of(stored.size_bytes, stored.etag)
    # opened here: an object that is gone must be a problem, not a broken body
    with ExitStack() as stack:
        body = stack.enter_context(store.open(grant.key, start, end))
        keep = stack.pop_all()
    response = Response(_chunks(body), status=status, content_type=stored.content_type or "application/octet-stream")
    response.call_on_close(keep.close)
    response.content_length = end - start
    response.accept_ranges = "bytes"
    response.set_etag(stored.etag)
    response.headers["Content-Disposition"] = attachment(grant.filename)
    response.headers["Cache-Control"] = "private, no-cache"
    if status == 206:
        response.content_range = ContentRange("bytes", start, end, stored.size_bytes)
    return response


def _range_of(size: int, etag: str) -> tuple[int, int, int]:
    """Return (start, end, status) of what is asked for; several ranges at once get the whole."""
    wanted = request.range
    if_range = request.if_range
    if (
        wanted is None
        or wanted.units != "bytes"
        or len(wanted.ranges) != 1
        or (if_range and if_range.etag not in {None, etag})
    ):
        return 0, size, 200
    found = wanted.range_for_length(size)
    if found is None:
        raise Problem(
            "range.unsatisfiable", f"the object has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return found[0], found[1], 206


def _chunks(body: BinaryIO) -> Iterator[bytes]:
    while piece := body.read(CHUNK_BYTES):
        yield piece
