"""A multipart form with one large file, read as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeVar, cast

from flask import request

from storage.errors import StorageError
from web.bodies import drain
from web.errors import Problem
from web.multipart import FIELDS_BYTES_MAX, StreamedForm

Answer = TypeVar("Answer")


def read_form(limit_bytes: int, read: Callable[[StreamedForm], Answer]) -> Answer:
    """Let ``read`` have the form of the current request, whose file may have ``limit_bytes``; return its answer.

    Of a form that is refused a little more is read, so that the client sees why. Raises: Problem, and as ``read``.
    """
    if (request.content_length or 0) > limit_bytes + FIELDS_BYTES_MAX:
        raise Problem("media.too_large", f"a file may have {limit_bytes} bytes")
    # the store counts the file itself; this bound is for what surrounds it
    request.max_content_length = limit_bytes + 2 * FIELDS_BYTES_MAX
    boundary = request.mimetype_params.get("boundary", "")
    if not 1 <= len(boundary) <= 200 or not boundary.isascii():
        raise Problem("body.malformed", "the content type names no usable boundary")
    stream = cast(BinaryIO, request.stream)
    try:
        return read(StreamedForm(stream, boundary.encode()))
    except (Problem, StorageError, ValueError) as error:
        if getattr(error, "code", "") != "body.truncated":
            drain(stream)
        raise
