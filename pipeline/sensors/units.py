"""Units of a table: told by the job, by the file, by the layout, or judged by the numbers; and the way to SI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.sensors.csv_text import Table
from pipeline.sensors.faults import SensorError
from pipeline.sensors.recording import STANDARD_GRAVITY

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
METRES = {"m/s^2": 1.0, "g": STANDARD_GRAVITY, "mg": STANDARD_GRAVITY / 1000}
DEGREES = {"deg/s": 1.0, "rad/s": 180 / np.pi}
#: what times and values are in where a column is called t, ax or gx and nothing else is said
USUAL = {"t": "s", "a": "m/s^2", "g": "deg/s"}
#: median distance of two readings that is taken for one of a sensor, in seconds: 10 to 1000 a second. The units differ
#: by 1000, the ends by 100, so at most one fits
_LIKELY_PERIOD = (1e-3, 0.1)
#: level of an acceleration with gravity, in m/s^2: a third to three times 1 g. Told units are held to it too
_LIKELY_LEVEL = (STANDARD_GRAVITY / 3, STANDARD_GRAVITY * 3)
#: seconds whose middle accelerations are taken for it: some steps, in which movement cancels out and gravity stays
_LEVEL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Units:
    """Units of time, acceleration and rotation, each with who told it: params, file, layout, values."""

    time: str
    acceleration: str
    rotation: str | None
    told_by: Mapping[str, str]

    @property
    def warnings(self) -> tuple[dict[str, str], ...]:
        """What was judged by the numbers, and is not what the layout means."""
        judged = {"time": self.time, "acceleration": self.acceleration}
        said = [f"{name} in {unit}" for name, unit in judged.items() if self.told_by[name] == "values"]
        if not said:
            return ()
        message = f"No unit is told; by the numbers, {' and '.join(said)}."
        return ({"code": "sensor.units_judged", "message": message},)


def units_of(table: Table, wishes: Mapping[str, str | None]) -> Units:
    """Settle the units of a table.

    wishes: time_unit, acceleration_unit, gyroscope_unit of the job; None where it says nothing.
    Raises: SensorError (sensor.units) where neither job, file nor numbers tell.
    """
    told, layout = table.columns.units, table.columns.layout
    by = "file" if layout == "header" else "layout"
    time, time_by = _first(wishes.get("time_unit"), told.get("t"), by)
    length, length_by = _first(wishes.get("acceleration_unit"), told.get("a"), by)
    turn, turn_by = _first(wishes.get("gyroscope_unit"), told.get("g"), by)
    if time is None:
        time, time_by = _judged(_period(table.values), SECONDS, _LIKELY_PERIOD, "t", "time_unit")
    if length is None:
        size = level_of(table.values[:, 1:4], _period(table.values) * SECONDS[time])
        length, length_by = _judged(size, METRES, _LIKELY_LEVEL, "a", "acceleration_unit")
    has_turn = table.values.shape[1] > 4
    if turn is None:
        turn, turn_by = USUAL["g"], "layout"
    who = {"time": time_by, "acceleration": length_by, **({"rotation": turn_by} if has_turn else {})}
    return Units(time, length, turn if has_turn else None, who)


def level_of(acceleration: NDArray[np.float64], period: float) -> float:
    """Return how large accelerations are around which the sensor moves, in their unit: gravity, where it is felt.

    That is the median length, over all stretches of two seconds, of each one's median along x, y and z. Linear
    acceleration, which has no gravity, has next to no level, however hard the sensor is shaken.
    acceleration: float64, (n, 3), n at least 1. period: seconds from one reading to the next.
    """
    size = len(acceleration)
    size = min(size, max(1, round(_LEVEL_SECONDS / period))) if period > 0 else size
    stretches = acceleration[: len(acceleration) // size * size].reshape(-1, size, 3)
    return float(np.median(np.linalg.norm(np.median(stretches, axis=1), axis=1)))


def gravity_is_there(level: float) -> bool:
    """Say whether a level in m/s^2 can be that of a sensor that feels gravity, in the right unit."""
    low, high = _LIKELY_LEVEL
    return low <= level <= high


def _first(wish: str | None, told: str | None, by: str) -> tuple[str | None, str]:
    return (wish, "params") if wish else (told, by)


def _period(values: NDArray[np.float64]) -> float:
    """Return the median distance of two readings, repeated ones aside, in the table's unit; 0 where there is none."""
    apart = np.diff(values[:, 0])
    apart = apart[apart > 0]
    return float(np.median(apart)) if len(apart) else 0.0


#: what is judged, and what is needed of it
_NEEDED = {
    "t": ("time from one reading to the next", "At least 10 readings a second are needed."),
    "a": ("acceleration over two seconds", "Acceleration must hold gravity, or no step can be told."),
}


def _judged(
    size: float, factors: Mapping[str, float], likely: tuple[float, float], kind: str, param: str
) -> tuple[str, str]:  # fmt: skip
    """Return the unit that makes ``size`` likely; the usual one counts as told by the layout."""
    low, high = likely
    fitting = [unit for unit, factor in factors.items() if low <= size * factor < high]
    if not fitting:
        what, needed = _NEEDED[kind]
        raise SensorError(
            f"the usual {what} is {size:.6g}, which fits a sensor in none of {', '.join(factors)}", code="sensor.units",
            advice=f"Say the unit: parameter {param}. {needed}",
        )  # fmt: skip
    unit = fitting[0]
    return unit, "layout" if unit == USUAL[kind] else "values"
