"""Numbers of separated text, line by line: strict, bounded, each fault with its line.

Bytes are split and given to Python's ``float``; no library of another language parses them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.cage_wire import Tick, no_tick
from pipeline.sensors.columns import Columns, from_header, from_params, without_header
from pipeline.sensors.faults import SensorError, malformed, shown
from pipeline.sensors.recording import SensorLimits

_BLOCK_BYTES = 1 << 18
_MAX_LINE_BYTES = 4096
#: rows by which a layout without header is known
_ROWS_LOOKED_AT = 50
_SEPARATORS = (b",", b";", b"\t")


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers as they stand in the text.

    values: float64, (n, k), one column for each of ``columns.wanted``. first: the line or reading of row 0, from 1.
    word: what a row is called in errors.
    """

    values: NDArray[np.float64]
    columns: Columns
    first: int = 1
    word: str = "line"

    def place(self, row: int) -> str:
        """Return where a row stands: ``line 12``."""
        return f"{self.word} {self.first + int(row)}"


def read_csv(file: BinaryIO, limits: SensorLimits, names: Sequence[str] | None = None, tick: Tick = no_tick) -> Table:
    """Read numbers separated by comma, semicolon or tab; a first line that is not numbers is a header.

    Empty lines may stand at the end only. ``tick`` is called for each block of lines, and may raise to stop.
    Raises: SensorError (sensor.malformed, sensor.empty, sensor.too_large, sensor.columns, sensor.units).
    """
    blocks = _blocks(file)
    opening = next(blocks, [])
    if not opening or not any(line.strip() for line in opening):
        raise SensorError("the file holds no readings", code="sensor.empty")
    opening[0] = opening[0].removeprefix(b"\xef\xbb\xbf")
    separator = max(_SEPARATORS, key=opening[0].count)
    has_header = not _is_numbers(opening[0].split(separator))
    columns = _columns(opening, separator, has_header=has_header, names=names)
    body = opening[1:] if has_header else opening
    reader = _Rows(columns, separator, 2 if has_header else 1, limits.max_rows)
    for lines in chain([body], blocks):
        tick()
        reader.add(lines)
    if not reader.rows:
        raise SensorError("there is a header and no reading", code="sensor.empty")
    values = np.frombuffer(reader.numbers, np.float64).reshape(-1, len(columns.wanted))
    return Table(values, columns, reader.first)


class _Rows:
    """Takes lines, and keeps the numbers of the columns that are wanted."""

    def __init__(self, columns: Columns, separator: bytes, first: int, max_rows: int) -> None:
        self.numbers = array("d")
        self.first = first
        self.rows = 0
        self._columns = columns
        self._separator = separator
        self._max_rows = max_rows
        self._ended = 0  # empty lines seen
        self._places = [columns.names.index(name) for name in columns.wanted]
        self._pick = itemgetter(*self._places)

    def add(self, lines: Sequence[bytes]) -> None:
        """Take the next lines. Raises: SensorError."""
        width, pick, separator, extend = len(self._columns.names), self._pick, self._separator, self.numbers.extend
        for line in lines:
            cells = line.split(separator)
            if len(cells) != width or self._ended or b"_" in line:
                if not line.strip():
                    self._ended += 1
                    continue
                self._refuse(line, cells)
            try:
                extend(map(float, pick(cells)))
            except ValueError:
                self._refuse(line, cells)
            self.rows += 1
        if self.rows > self._max_rows:
            raise SensorError(
                f"more than {self._max_rows:,} readings", code="sensor.too_large",
                advice="Send the recording in parts, or at fewer readings a second.",
            )  # fmt: skip

    def _refuse(self, line: bytes, cells: Sequence[bytes]) -> None:
        place = f"line {self.first + self.rows + self._ended}"
        if self._ended:
            raise malformed(f"line {self.first + self.rows}", "is empty, and readings follow")
        if len(line) > _MAX_LINE_BYTES:
            raise malformed(place, f"has more than {_MAX_LINE_BYTES:,} bytes")
        if len(cells) != len(self._columns.names):
            raise malformed(place, f"has {len(cells)} cells, not {len(self._columns.names)}")
        for name, number in zip(self._columns.wanted, self._places, strict=True):
            if not _is_number(cells[number]):
                raise malformed(place, f"{name} is {shown(cells[number])}, not a number")


def _columns(
    opening: Sequence[bytes], separator: bytes, *, has_header: bool, names: Sequence[str] | None
) -> Columns:  # fmt: skip
    first = opening[0].split(separator)
    if names:
        if len(names) != len(first):
            raise SensorError(
                f"line 1: has {len(first)} columns, the parameter columns names {len(names)}", code="sensor.columns"
            )
        return from_params(names)
    if not has_header:
        return without_header([line.split(separator) for line in opening[:_ROWS_LOOKED_AT] if line.strip()])
    try:
        header = [cell.decode() for cell in first]
    except UnicodeDecodeError as error:
        raise malformed("line 1", "is not UTF-8 text") from error
    return from_header(header)


def _blocks(file: BinaryIO) -> Iterator[list[bytes]]:
    """Yield whole lines, without their ends, some thousands at a time."""
    rest, seen = b"", 0
    while block := file.read(_BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > _MAX_LINE_BYTES:
            raise malformed(f"line {seen + len(lines) + 1}", f"has more than {_MAX_LINE_BYTES:,} bytes")
        seen += len(lines)
        if lines:
            yield [line.removesuffix(b"\r") for line in lines]
    if rest:
        yield [rest.removesuffix(b"\r")]


def _is_numbers(cells: Sequence[bytes]) -> bool:
    """Say whether a first line holds readings: at least one number, or nothing but what is written for none."""
    return any(_is_number(cell) for cell in cells)


def _is_number(cell: bytes) -> bool:
    if b"_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True
