"""The signed URLs of the local object store: what S3 serves by itself."""

from __future__ import annotations

from typing import BinaryIO, cast

from apiflask import APIBlueprint
from flask import Response, request

from storage.errors import ObjectNotFound
from storage.objects.local import LocalObjectStore
from storage.objects.signing import PartGrant, ReadGrant
from web.auth import public
from web.context import services
from web.errors import Problem
from web.sending import Sent, send_object

bp = APIBlueprint("objects", __name__, url_prefix="/objects", enable_openapi=False)


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
    sent = Sent(grant.key, stored.size_bytes, stored.etag, stored.content_type, grant.filename)
    return send_object(store, sent)
