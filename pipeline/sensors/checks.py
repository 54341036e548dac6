"""From numbers to a recording: finite, in order, possible; each fault with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.sensors.csv_text import Table
from pipeline.sensors.faults import SensorError, malformed
from pipeline.sensors.recording import Recording, SensorLimits
from pipeline.sensors.units import DEGREES, METRES, SECONDS, Units, gravity_is_there, level_of, units_of

#: more distance than this between two readings is a gap: nothing is made up for it
GAP_SECONDS = 0.5
#: no time of a sensor is larger in its unit's count; beyond it float64 loses the distance of two readings in ns
_MAX_TIME = 2.0**62


def recording_of(table: Table, wishes: Mapping[str, str | None], limits: SensorLimits) -> Recording:
    """Check every number of a table and return the recording.

    A reading that repeats the one before it in every cell is left out and told; another one at the same time is
    refused. wishes: as in ``units_of``.
    Raises: SensorError (sensor.malformed, sensor.out_of_range, sensor.unsorted, sensor.units, sensor.too_long,
    sensor.too_short, sensor.rate).
    """
    _finite(table)
    keep = _in_order(table)
    if np.count_nonzero(keep) < 2:
        raise SensorError("one reading is too short to count steps in", code="sensor.too_short")
    units = units_of(table, wishes)
    values = table.values[keep]
    seconds = (values[:, 0] - values[0, 0]) * SECONDS[units.time]
    acceleration = np.ascontiguousarray(values[:, 1:4] * METRES[units.acceleration])
    rotation = None if units.rotation is None else np.ascontiguousarray(values[:, 4:7] * DEGREES[units.rotation])
    _within(table, keep, acceleration, limits.max_acceleration, ("acceleration", "m/s^2"))
    if rotation is not None:
        _within(table, keep, rotation, limits.max_rotation, ("rotation", "deg/s"))
    _span(seconds, limits)
    _gravity(seconds, acceleration)
    return Recording(
        seconds=seconds,
        acceleration=acceleration,
        rotation=rotation,
        start_seconds=float(values[0, 0] * SECONDS[units.time]),
        warnings=(*units.warnings, *_left_out(table, keep), *_gaps(seconds)),
        facts=_facts(table, units),
    )


def _finite(table: Table) -> None:
    bad = ~np.isfinite(table.values)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    name = table.columns.wanted[column]
    raise malformed(table.place(row), f"{name} is {table.values[row, column]}, not a finite number")


def _in_order(table: Table) -> NDArray[np.bool_]:
    """Return which rows stay: all but those that repeat the one before them whole."""
    times = table.values[:, 0]
    if np.abs(times).max() > _MAX_TIME:
        row = int(np.argmax(np.abs(times) > _MAX_TIME))
        raise SensorError(f"{table.place(row)}: t is {times[row]:g}, no time", code="sensor.out_of_range")
    apart = np.diff(times)
    repeats = np.concatenate(([False], np.all(table.values[1:] == table.values[:-1], axis=1)))
    wrong = np.flatnonzero((apart <= 0) & ~repeats[1:])
    if len(wrong):
        row = int(wrong[0]) + 1
        what = "repeats the time before it with other values" if apart[row - 1] == 0 else "goes back in time"
        raise SensorError(
            f"{table.place(row)}: {what}", code="sensor.unsorted",
            advice="Sort the readings by time; one reading for each time.",
        )  # fmt: skip
    return ~repeats


def _gravity(seconds: NDArray[np.float64], acceleration: NDArray[np.float64]) -> None:
    level = level_of(acceleration, float(np.median(np.diff(seconds))))
    if not gravity_is_there(level):
        raise SensorError(
            f"the usual acceleration over two seconds is {level:.3g} m/s^2, which is no sensor's that feels gravity",
            code="sensor.out_of_range",
            advice="Check the unit of acceleration; send it with gravity, not linear acceleration.",
        )


def _within(
    table: Table, keep: NDArray[np.bool_], values: NDArray[np.float64], most: float, what: tuple[str, str]
) -> None:  # fmt: skip
    """Refuse values beyond ``most``; what: the quantity and its unit."""
    beyond = np.abs(values) > most
    if beyond.any():
        row, axis = np.argwhere(beyond)[0]
        place = table.place(int(np.flatnonzero(keep)[row]))
        raise SensorError(
            f"{place}: {what[0]} {'xyz'[axis]} is {values[row, axis]:.6g} {what[1]}, beyond {most:g}",
            code="sensor.out_of_range", advice="Check the unit, or leave the reading out.",
        )  # fmt: skip


def _span(seconds: NDArray[np.float64], limits: SensorLimits) -> None:
    length = float(seconds[-1])
    if length < limits.min_seconds:
        raise SensorError(
            f"{length:.3g} s are too short to count steps in", code="sensor.too_short",
            advice="Check the unit of time (parameter time_unit).",
        )  # fmt: skip
    if length > limits.max_seconds:
        raise SensorError(
            f"{length:,.0f} s are more than the {limits.max_seconds:,.0f} allowed", code="sensor.too_long",
            advice="Send the recording in parts; check the unit of time.",
        )  # fmt: skip
    rate = 1.0 / float(np.median(np.diff(seconds)))
    if not limits.min_rate <= rate <= limits.max_rate:
        raise SensorError(
            f"{rate:.4g} readings a second; {limits.min_rate:g} to {limits.max_rate:g} are taken", code="sensor.rate",
            advice="Check the unit of time (parameter time_unit).",
        )  # fmt: skip


def _left_out(table: Table, keep: NDArray[np.bool_]) -> Sequence[Mapping[str, str]]:
    repeated = np.flatnonzero(~keep)
    if not len(repeated):
        return ()
    where = table.place(int(repeated[0]))
    message = f"{len(repeated)} readings repeat the one before them and are left out; the first is {where}."
    return ({"code": "sensor.repeated", "message": message},)


def _gaps(seconds: NDArray[np.float64]) -> Sequence[Mapping[str, str]]:
    apart = np.diff(seconds)
    gaps = apart[apart > GAP_SECONDS]
    if not len(gaps):
        return ()
    message = f"{len(gaps)} gaps of more than {GAP_SECONDS} s, {gaps.sum():.1f} s in all: no step is counted in them."
    return ({"code": "sensor.gaps", "message": message},)


def _facts(table: Table, units: Units) -> Mapping[str, object]:
    return {
        "layout": table.columns.layout,
        "units": {"time": units.time, "acceleration": units.acceleration, "rotation": units.rotation},
        "units_told_by": dict(units.told_by),
        "ignored_columns": list(table.columns.ignored),
    }
