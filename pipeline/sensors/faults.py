"""The one error of sensor text, and where in the text it stands."""

from __future__ import annotations

from pipeline.errors import MediaError


class SensorError(MediaError):
    """A recording that is refused.

    Codes: sensor.malformed (no number where one must be, too few or too many cells, no JSON), sensor.empty,
    sensor.too_large (bytes, rows), sensor.too_long, sensor.too_short, sensor.rate, sensor.columns (which column is
    what?), sensor.units, sensor.unsorted (times do not rise), sensor.out_of_range (no such sensor).
    """

    code = "sensor.malformed"


def malformed(place: str, reason: str) -> SensorError:
    """Return the refusal of one place: ``line 3: ax is 'oops', not a number``."""
    return SensorError(f"{place}: {reason}", advice="Correct that place, or leave the reading out, and send it again.")


def shown(cell: bytes | str) -> str:
    """Return a cell as an error may quote it: short, printable."""
    text = cell.decode(errors="replace") if isinstance(cell, bytes) else cell
    kept = "".join(char if char.isprintable() else "?" for char in text.strip()[:40])
    return repr(kept)
