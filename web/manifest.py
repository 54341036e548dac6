"""The lines of a manifest as they arrive: one at a time, whatever the length of the whole or of any one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from web.errors import Problem

Value = TypeVar("Value")

PIECE_BYTES = 64 * 1024
#: one line; a longer one is refused as an item, and the manifest goes on behind it
LINE_BYTES_MAX = 64 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank; ``text`` is None when it was too long to be kept."""

    #: from 1, blank lines counted
    number: int
    text: bytes | None


def read_lines(read: Callable[[int], bytes], *, size_bytes: int | None = None) -> Iterator[Line]:
    """Yield the lines of a body; ``read`` gives its next bytes, nothing at the end.

    ``size_bytes``: what the client said it would send; to some servers a torn body looks like one that has ended.
    Raises: Problem with code body.truncated when the client goes away, before its half line is taken for a whole one.
    """
    held, number, skipping, came = b"", 1, False, 0
    while piece := _read(read):
        came += len(piece)
        *whole, held = (held + piece).split(b"\n")
        for text in whole:
            if skipping or (text := _plain(text, number)).strip():
                yield Line(number, None if skipping or len(text) > LINE_BYTES_MAX else text)
            number, skipping = number + 1, False
        if len(held) > LINE_BYTES_MAX:
            held, skipping = b"", True
    if size_bytes is not None and came < size_bytes:
        raise Problem("body.truncated", f"{size_bytes} bytes were announced, {came} came")
    if skipping or (held := _plain(held, number)).strip():
        yield Line(number, None if skipping or len(held) > LINE_BYTES_MAX else held)


def chunks(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Yield the values in lists of at most ``size``."""
    left = iter(values)
    while chunk := list(islice(left, size)):
        yield chunk


def _plain(text: bytes, number: int) -> bytes:
    return text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text


def _read(read: Callable[[int], bytes]) -> bytes:
    try:
        return read(PIECE_BYTES)
    except Problem:
        raise
    except Exception as error:
        if getattr(error, "code", None) == 413:  # werkzeug's own, once the limit is reached
            raise Problem("body.too_large", "the manifest is larger than this server takes") from error
        # gunicorn and werkzeug each have their own ways to say that the client is gone
        raise Problem("body.truncated", "the client stopped sending") from error
