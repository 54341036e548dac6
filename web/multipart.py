"""A multipart/form-data body read as it arrives: text fields into memory, the one file straight to its reader.

Nothing is spooled: while ``FormFile.read`` runs, bytes go from the socket to whoever asked, a chunk at a time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import BinaryIO

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from web.errors import Problem

CHUNK_BYTES = 64 * 1024
#: all text fields together; also the bound on what precedes the first boundary
FIELDS_BYTES_MAX = 512 * 1024
PARTS_MAX = 64
#: blanks that may stand between a boundary and the end of its line
PADDING_BYTES_MAX = 256
#: the one file part
FILE_FIELD = "file"


class FormFile(io.RawIOBase):
    """The file part of a form, readable once, in order."""

    def __init__(self, filename: str, content_type: str | None, pull: Callable[[], bytes]) -> None:
        self.filename = filename
        self.content_type = content_type
        self._pull = pull
        self._rest = b""
        self._ended = False

    def readable(self) -> bool:
        """It can be read."""
        return True

    def peek(self, size: int) -> bytes:
        """Return up to ``size`` leading bytes without consuming them."""
        while len(self._rest) < size and not self._ended:
            self._fill()
        return self._rest[:size]

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, nothing at the end.

        Raises: Problem with code body.truncated when the client goes away.
        """
        if size < 0:
            raise io.UnsupportedOperation("a body of any length must be read in pieces")
        if not self._rest and not self._ended:
            self._fill()
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _fill(self) -> None:
        piece = self._pull()
        if piece:
            self._rest = self._rest + piece if self._rest else piece
        else:
            self._ended = True


class StreamedForm:
    """The parts of one body, in the order they come; ``fields`` grows as they are read."""

    def __init__(self, stream: BinaryIO, boundary: bytes) -> None:
        self._stream = stream
        # the limit bounds what is buffered between two events, not the file: file data is drained at each step
        self._decoder = MultipartDecoder(boundary, max_form_memory_size=FIELDS_BYTES_MAX, max_parts=PARTS_MAX)
        self._open_delimiter = re.compile(rb"--" + re.escape(boundary) + rb"(-|[ \t]*\r?)\Z")
        self._tail_bytes = len(boundary) + 4 + PADDING_BYTES_MAX
        self._fields_bytes = 0
        self._file: FormFile | None = None
        self.fields: dict[str, str] = {}

    def next_file(self) -> FormFile | None:
        """Read fields until the file part begins and return it; None when there is none.

        Raises: Problem (body.malformed, body.truncated, body.too_large, request.invalid).
        """
        while True:
            event = self._next()
            if isinstance(event, Epilogue):
                return None
            if isinstance(event, Field) or (isinstance(event, File) and _is_json(event)):
                self._read_field(event.name)
            elif isinstance(event, File):
                return self._open_file(event)

    def finish(self) -> None:
        """Read what follows the file. Raises: as ``next_file``, and when there is a second file."""
        if self.next_file() is not None:
            raise AssertionError("a second file is refused before it is opened")

    def _open_file(self, event: File) -> FormFile:
        if event.name != FILE_FIELD or self._file is not None:
            raise _fault(f"/{event.name}", f"one file is taken, in the field {FILE_FIELD!r}")
        self._file = FormFile(event.filename, event.headers.get("Content-Type"), self._pull_file)
        return self._file

    def _pull_file(self) -> bytes:
        """The next piece of the file; nothing at its end."""
        while True:
            event = self._next()
            if not isinstance(event, Data):
                raise Problem("body.malformed", "the file part does not end")
            if event.data:
                if not event.more_data:
                    self._pull_rest()
                return event.data
            if not event.more_data:
                self._pull_rest()
                return b""

    def _pull_rest(self) -> None:
        """The file has ended: from now on it gives nothing."""
        if self._file is not None:
            self._file._pull = lambda: b""

    def _read_field(self, name: str) -> None:
        if name in self.fields:
            raise _fault(f"/{name}", "given twice")
        if name == FILE_FIELD:
            raise _fault(f"/{name}", "must be a file: the part needs a filename")
        pieces: list[bytes] = []
        while True:
            event = self._next()
            if not isinstance(event, Data):
                raise Problem("body.malformed", "a field does not end")
            self._fields_bytes += len(event.data)
            if self._fields_bytes > FIELDS_BYTES_MAX:
                raise Problem("body.too_large", f"the text fields may have {FIELDS_BYTES_MAX} bytes together")
            pieces.append(event.data)
            if not event.more_data:
                break
        try:
            self.fields[name] = b"".join(pieces).decode()
        except UnicodeDecodeError:
            raise _fault(f"/{name}", "is not UTF-8") from None

    def _next(self) -> Event:
        """The next event, reading from the client as needed."""
        try:
            while isinstance(event := self._decoder.next_event(), NeedData):
                self._decoder.receive_data(self._read_whole_delimiters() or None)
        except RequestEntityTooLarge:
            raise Problem("body.too_large", "too many parts, or a part's headers are too long") from None
        except ValueError as error:
            if self._decoder.complete:
                raise Problem("body.truncated", "the form ends before its last boundary") from error
            raise Problem("body.malformed", "this is not multipart/form-data") from error
        return event

    def _read_whole_delimiters(self) -> bytes:
        """The next bytes, never ending inside a delimiter line.

        The decoder takes the line break before a delimiter for data when its buffer ends between the boundary and the
        end of that line (werkzeug 3.1): one upload in some ten thousand would grow by a byte.
        """
        chunk = self._read(CHUNK_BYTES)
        while chunk and len(chunk) < CHUNK_BYTES + PADDING_BYTES_MAX and self._ends_in_delimiter(chunk):
            more = self._read(64)
            if not more:
                break
            chunk += more
        return chunk

    def _ends_in_delimiter(self, chunk: bytes) -> bool:
        tail = bytes(self._decoder.buffer[-self._tail_bytes :]) + chunk[-self._tail_bytes :]
        return self._open_delimiter.search(tail) is not None

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except Problem:
            raise
        except Exception as error:
            # gunicorn and werkzeug each have their own ways to say that the client is gone
            raise Problem("body.truncated", "the client stopped sending") from error


def _is_json(part: File) -> bool:
    """Browsers give a JSON text a file name when a page sends it as a Blob; it is a field all the same."""
    content_type = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return part.name != FILE_FIELD and content_type == "application/json"


def _fault(path: str, message: str) -> Problem:
    return Problem("request.invalid", "see faults", faults=[{"path": path, "message": message}])
