"""Which column is what, in which unit: from what the job says, else the header, else a known layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.sensors.faults import SensorError, shown

#: the columns that are read, in the order of a reading
TIME = "t"
ACCELERATION = ("ax", "ay", "az")
ROTATION = ("gx", "gy", "gz")
#: names a job may give to columns; "-" is passed over
NAMES = (TIME, *ACCELERATION, *ROTATION, "-")

_TIME_WORDS = frozenset({"t", "time", "timestamp", "seconds", "elapsed", "secondselapsed", "elapsedtime"})
_SENSOR_WORDS = {
    "": "a", "a": "a", "acc": "a", "accel": "a", "accelerometer": "a", "acceleration": "a",
    "g": "g", "w": "g", "gyr": "g", "gyro": "g", "gyroscope": "g", "rotation": "g", "rotationrate": "g",
}  # fmt: skip
_UNITS = {
    "s": "s", "sec": "s", "seconds": "s", "ms": "ms", "us": "us", "µs": "us", "μs": "us", "ns": "ns",
    "m/s^2": "m/s^2", "m/s²": "m/s^2", "m/s2": "m/s^2", "m/s/s": "m/s^2", "g": "g", "mg": "mg",
    "deg/s": "deg/s", "°/s": "deg/s", "dps": "deg/s", "rad/s": "rad/s",
}  # fmt: skip
_UNITS_OF = {"t": {"s", "ms", "us", "ns"}, "a": {"m/s^2", "g", "mg"}, "g": {"deg/s", "rad/s"}}
_HEADER_CELL = re.compile(r"([^(\[]*)[(\[]([^)\]]*)[)\]]")

ADVICE = (
    "Give a header (t,ax,ay,az[,gx,gy,gz]) or the parameter columns, with one of "
    f"{', '.join(NAMES)} for each column of the file."
)


@dataclass(frozen=True, slots=True)
class Columns:
    """names: for each cell of a row, one of ``NAMES``. units: of "t", "a" and "g", where they are told.

    layout: how it is known: "params", "header", or the name of a known layout without header. ignored: header names
    that are passed over.
    """

    names: tuple[str, ...]
    layout: str
    units: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names that are read, in the order of a reading."""
        rotation = ROTATION if ROTATION[0] in self.names else ()
        return (TIME, *ACCELERATION, *rotation)


def from_params(names: Sequence[str]) -> Columns:
    """Return the columns a job names. Raises: SensorError (sensor.columns)."""
    return _whole(Columns(tuple(names), "params"))


def from_header(cells: Sequence[str], place: str = "line 1") -> Columns:
    """Return the columns a header names: words for the sensor and the axis, the unit in brackets behind them.

    place: what errors call the header. Raises: SensorError (sensor.columns, sensor.units).
    """
    names, units, ignored = [], dict[str, str](), []
    for cell in cells:
        name, unit = named(cell)
        if name == "-" or name in names:
            names.append("-")
            ignored.append(cell.strip()[:60])
            continue
        names.append(name)
        if unit:
            _note(units, name, unit, f"{place}: ", cell)
    return _whole(Columns(tuple(names), "header", units, tuple(ignored)), f"{place}: ")


def without_header(rows: Sequence[Sequence[bytes]]) -> Columns:
    """Return the columns of text without a header, by the first rows.

    Known: ``t,ax,ay,az``, ``t,ax,ay,az,gx,gy,gz``, and that of the Oxford Step Counter data set: time in ns,
    acceleration in m/s^2 and three counters of steps (https://github.com/Oxford-step-counter/DataSet).
    Raises: SensorError (sensor.columns).
    """
    width = len(rows[0])
    if width == 4:
        return Columns((TIME, *ACCELERATION), "t,ax,ay,az")
    if width == 7 and all(len(row) == 7 and _counts(row) for row in rows):
        units = {"t": "ns", "a": "m/s^2"}
        return Columns((TIME, *ACCELERATION, "-", "-", "-"), "oxford", units)
    if width == 7:
        return Columns((TIME, *ACCELERATION, *ROTATION), "t,ax,ay,az,gx,gy,gz")
    raise SensorError(
        f"line 1: {width} columns without a header are not known", code="sensor.columns", advice=ADVICE
    )  # fmt: skip


def _counts(row: Sequence[bytes]) -> bool:
    """Say whether a row has whole nanoseconds and three counters."""
    return all(row[place].strip().isdigit() for place in (0, 4, 5, 6)) and len(row[0].strip()) > 9


def named(cell: str) -> tuple[str, str]:
    """Return the column a header's cell names ("-" for one that is not read) and its unit ("" where not told)."""
    text = cell.strip().strip('"').lower()
    match = _HEADER_CELL.match(text)
    words, unit = (match[1], match[2].strip()) if match else (text, "")
    plain = re.sub(r"[\s_.\-]+", " ", words).strip()
    parts = plain.split(" ")
    if not unit and len(parts) > 1 and parts[-1] in _UNITS_OF["t"] and "".join(parts[:-1]) in _TIME_WORDS:
        return TIME, parts[-1]
    joined = "".join(parts)
    if joined in _TIME_WORDS:
        return TIME, unit
    sensor, axis = joined[:-1], joined[-1:]
    if axis in ("x", "y", "z") and sensor in _SENSOR_WORDS:
        return _SENSOR_WORDS[sensor] + axis, unit
    return "-", unit


def _note(units: dict[str, str], name: str, unit: str, where: str, cell: str) -> None:
    kind = name[0]
    known = _UNITS.get(unit)
    if known not in _UNITS_OF[kind]:
        raise SensorError(
            f"{where}the unit of {shown(cell)} is not known", code="sensor.units",
            advice=f"Known here: {', '.join(sorted(_UNITS_OF[kind]))}; or give the parameters *_unit.",
        )  # fmt: skip
    if units.setdefault(kind, known) != known:
        raise SensorError(f"{where}two units for one sensor: {units[kind]} and {known}", code="sensor.units")


def _whole(columns: Columns, where: str = "") -> Columns:
    """Check that time and the three axes are there once, and the gyroscope's all or none."""
    have = [name for name in columns.names if name != "-"]
    missing = [name for name in (TIME, *ACCELERATION) if name not in have]
    if missing:
        raise SensorError(f"{where}no column for {', '.join(missing)}", code="sensor.columns", advice=ADVICE)
    if len(set(have)) != len(have):
        raise SensorError(f"{where}a column is named twice", code="sensor.columns", advice=ADVICE)
    some = [name for name in ROTATION if name in have]
    if some and len(some) < 3:
        raise SensorError(
            f"{where}of the gyroscope only {', '.join(some)} is there", code="sensor.columns", advice=ADVICE
        )
    return columns
