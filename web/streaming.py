"""Answers longer than memory: begun only when the first piece is there, so that an early fault is still a problem."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from flask import Response

#: small pieces are joined to this size: a chunk per row would cost more than the row
PIECE_BYTES = 32 * 1024


def stream(pieces: Iterable[str], content_type: str) -> Response:
    """Answer with pieces of text as they come. Raises: what making the first piece raises."""
    joined = _joined(pieces)
    first = next(joined, b"")
    return Response(itertools.chain((first,), joined), content_type=content_type)


def _joined(pieces: Iterable[str]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece.encode())
        size += len(held[-1])
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
