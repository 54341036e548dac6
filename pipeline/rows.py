"""Result rows as gzip JSON lines, written and read one at a time."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pipeline.pipelines.base import Row


class RowWriter:
    """Write rows to a gzip file; a context manager.

    Equal rows give equal bytes: no time stamp or name goes into the gzip header. The file is whole only after a
    clean exit.
    """

    def __init__(self, target: Path | IO[bytes]) -> None:
        self._owned = target.open("wb") if isinstance(target, Path) else None
        raw = self._owned if self._owned is not None else target
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=5, fileobj=raw, mtime=0)  # type: ignore[arg-type]  # not narrowed
        self.count = 0

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, row: Row) -> None:
        """Append one row. Raises: ValueError or TypeError when it is not plain JSON data (NaN included)."""
        self._gzip.write(row_line(row))
        self.count += 1

    def write_all(self, rows: Iterable[Row]) -> None:
        """Append rows in order."""
        for row in rows:
            self.write(row)

    def close(self) -> None:
        """Finish the gzip stream, and the file where it was opened here."""
        try:
            self._gzip.close()
        finally:
            if self._owned is not None:
                self._owned.close()


def read_rows(source: Path | IO[bytes]) -> Iterator[Row]:
    """Yield the rows of a gzip JSON lines file, one line in memory at a time.

    Raises: OSError or EOFError when the file is cut short or is not gzip, ValueError when a line is not JSON.
    """
    with gzip.open(source, "rb") as lines:
        for line in lines:
            yield json.loads(line)


def pack_rows(rows: Iterable[Row]) -> bytes:
    """Return rows as gzip JSON lines; for results small enough to be held whole."""
    buffer = io.BytesIO()
    with RowWriter(buffer) as writer:
        writer.write_all(rows)
    return buffer.getvalue()


def unpack_rows(data: bytes) -> Iterator[Row]:
    """Yield the rows that ``pack_rows`` packed."""
    return read_rows(io.BytesIO(data))


def row_line(row: Row) -> bytes:
    """Return one row as a line of JSON, newline included."""
    text: Any = json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"  # type: ignore[no-any-return]
