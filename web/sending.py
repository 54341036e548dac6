"""Objects of the store as answers: whole or one range of them, always saved and never shown by a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from flask import Response, request
from werkzeug.datastructures import ContentRange

from storage.objects.disposition import attachment
from storage.objects.port import ObjectStore
from web.errors import Problem

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Sent:
    """An object and what the answer says of it."""

    key: str
    size_bytes: int
    etag: str
    content_type: str | None
    filename: str | None


def send_object(store: ObjectStore, sent: Sent) -> Response:
    """Answer with an object, or the range that was asked for. Raises: ObjectNotFound, Problem range.unsatisfiable."""
    start, end, status = _range_of(sent.size_bytes, sent.etag)
    # opened here: an object that is gone must be a problem, not a broken body
    with ExitStack() as stack:
        body = stack.enter_context(store.open(sent.key, start, end))
        keep = stack.pop_all()
    response = Response(_chunks(body), status=status, content_type=sent.content_type or "application/octet-stream")
    response.call_on_close(keep.close)
    response.content_length = end - start
    response.accept_ranges = "bytes"
    response.set_etag(sent.etag)
    response.headers["Content-Disposition"] = attachment(sent.filename)
    response.headers["Cache-Control"] = "private, no-cache"
    if status == 206:
        response.content_range = ContentRange("bytes", start, end, sent.size_bytes)
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
