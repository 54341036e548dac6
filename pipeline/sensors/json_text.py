"""Numbers of a JSON document: ``readings``, a list of objects, or ``columns``, an object of lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline.sensors.columns import Columns, from_header, named
from pipeline.sensors.csv_text import Table
from pipeline.sensors.faults import SensorError, malformed, shown
from pipeline.sensors.recording import SensorLimits

ADVICE = (
    'Send {"units": {"time": "s", "acceleration": "m/s^2", "gyroscope": "deg/s"}, '
    '"readings": [{"t": 0, "ax": 0, "ay": 0, "az": 9.8}, ...]} or {"columns": {"t": [...], "ax": [...], ...}}.'
)
_UNIT_KEYS = {"time": "t", "acceleration": "ax", "gyroscope": "gx"}


def read_json(text: bytes, limits: SensorLimits) -> Table:
    """Read a document of at most ``limits.max_json_bytes``.

    Raises: SensorError (sensor.malformed, sensor.empty, sensor.too_large, sensor.columns, sensor.units).
    """
    if len(text) > limits.max_json_bytes:
        raise SensorError(
            f"more than {limits.max_json_bytes:,} bytes of JSON", code="sensor.too_large",
            advice="Send it as CSV, which may be larger.",
        )  # fmt: skip
    document = _document(text)
    readings, given = document.get("readings"), document.get("columns")
    if isinstance(readings, list) and given is None:
        keys = _keys(readings)
        columns = _columns(keys, document)
        values = _of_readings(readings, keys, columns)
    elif isinstance(given, dict) and readings is None:
        columns = _columns(list(given), document)
        values = _of_columns(given, columns)
    else:
        raise SensorError("the document has neither readings nor columns", advice=ADVICE)
    if len(values) > limits.max_rows:
        raise SensorError(f"more than {limits.max_rows:,} readings", code="sensor.too_large")
    return Table(values, columns, word="reading")


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise SensorError("the document is not UTF-8 text", advice=ADVICE) from error
    except json.JSONDecodeError as error:
        raise malformed(f"line {error.lineno}", f"is not JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise SensorError(f"the document is not taken: {str(error)[:100]}", advice=ADVICE) from error
    if not isinstance(document, dict):
        raise SensorError("the document is not an object", advice=ADVICE)
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _keys(readings: Sequence[Any]) -> list[str]:
    if not readings:
        raise SensorError("the document holds no readings", code="sensor.empty")
    if not isinstance(readings[0], dict):
        raise malformed("reading 1", "is not an object")
    return list(readings[0])


def _columns(keys: Sequence[str], document: Mapping[str, Any]) -> Columns:
    """Return what the keys mean; units of ``units`` are laid beside the keys, as a header has them."""
    units = document.get("units", {})
    if not isinstance(units, dict) or not set(units) <= set(_UNIT_KEYS) or not all(map(_is_word, units.values())):
        raise SensorError(f"units has members {', '.join(_UNIT_KEYS)}, all text", code="sensor.units", advice=ADVICE)
    header = list(keys)
    for word, unit in units.items():
        place = next((n for n, key in enumerate(keys) if named(key)[0] == _UNIT_KEYS[word]), None)
        if place is not None:
            header[place] = f"{keys[place]} ({unit})"
    return from_header(header, "the document")


def _is_word(unit: Any) -> bool:
    return isinstance(unit, str) and not set(unit) & set("()[]")


def _of_readings(readings: Sequence[Any], keys: Sequence[str], columns: Columns) -> NDArray[np.float64]:
    wanted = [keys[columns.names.index(name)] for name in columns.wanted]
    values = np.empty((len(readings), len(wanted)))
    for number, reading in enumerate(readings):
        if not isinstance(reading, dict):
            raise malformed(f"reading {number + 1}", "is not an object")
        for place, key in enumerate(wanted):
            values[number, place] = _number(reading.get(key), f"reading {number + 1}", key)
    return values


def _of_columns(given: Mapping[str, Any], columns: Columns) -> NDArray[np.float64]:
    wanted = [list(given)[columns.names.index(name)] for name in columns.wanted]
    lists = [given[key] for key in wanted]
    if not all(isinstance(one, list) for one in lists) or len({len(one) for one in lists}) != 1:
        raise SensorError(f"the columns {', '.join(wanted)} are not lists of one length", advice=ADVICE)
    if not lists[0]:
        raise SensorError("the document holds no readings", code="sensor.empty")
    values = np.empty((len(lists[0]), len(lists)))
    for place, (key, cells) in enumerate(zip(wanted, lists, strict=True)):
        for number, cell in enumerate(cells):
            values[number, place] = _number(cell, f"reading {number + 1}", key)
    return values


def _number(cell: Any, place: str, key: str) -> float:
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        what = "missing" if cell is None else shown(json.dumps(cell)[:60])
        raise malformed(place, f"{key} is {what}, not a number")
    try:
        return float(cell)
    except OverflowError as error:
        raise malformed(place, f"{key} is too large") from error
