"""A file of readings: is it one, what is in it, and what a job needs to know of it beforehand."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.cage_wire import Tick, no_tick
from pipeline.errors import MediaError
from pipeline.media import MediaInfo
from pipeline.sensors.checks import recording_of
from pipeline.sensors.csv_text import read_csv
from pipeline.sensors.faults import SensorError
from pipeline.sensors.json_text import read_json
from pipeline.sensors.recording import Recording, SensorLimits
from pipeline.sniff import HEAD_BYTES, is_text

#: parameters of a job that say how its file is to be read
WISHES = ("time_unit", "acceleration_unit", "gyroscope_unit")


def is_recording(path: Path, accepts: Sequence[str]) -> bool:
    """Say whether a pipeline that accepts such inputs is to take a file as readings, by its first bytes.

    Raises: MediaError (media.empty; media.unsupported for a file that is not text where nothing else is accepted, so
    that no decoder is asked in vain).
    """
    if "sensor" not in accepts:
        return False
    with _opened(path) as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise MediaError("The file is empty.", code="media.empty", advice="Upload the file again; it holds no bytes.")
    if not is_text(head) and set(accepts) == {"sensor"}:
        raise MediaError(
            "The file is not text; this pipeline takes readings of a sensor.", code="media.unsupported",
            advice="Send CSV or JSON with times and accelerations, not pictures or a spreadsheet.",
        )  # fmt: skip
    return is_text(head)


def read_recording(
    path: Path, wishes: Mapping[str, Any], limits: SensorLimits | None = None, tick: Tick = no_tick
) -> Recording:
    """Read and check a file of readings, CSV or JSON by its first character.

    wishes: params of a job; ``columns`` and those of ``WISHES`` count. ``tick`` is called now and then.
    Raises: SensorError, MediaError (media.unsupported), OSError.
    """
    bounds = limits or SensorLimits()
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > bounds.max_bytes:
            raise SensorError(
                f"{size:,} bytes are more than the {bounds.max_bytes:,} allowed", code="sensor.too_large",
                advice="Send the recording in parts, or at fewer readings a second.",
            )  # fmt: skip
        is_json = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
        file.seek(0)
        if is_json:
            table = read_json(file.read(bounds.max_json_bytes + 1), bounds)
        else:
            table = read_csv(file, bounds, wishes.get("columns"), tick)
    tick()
    recording = recording_of(table, {name: wishes.get(name) for name in WISHES}, bounds)
    facts = {**recording.facts, "format": "JSON" if is_json else "CSV", "size_bytes": size}
    return Recording(
        seconds=recording.seconds, acceleration=recording.acceleration, rotation=recording.rotation,
        start_seconds=recording.start_seconds, warnings=recording.warnings, facts=facts,
    )  # fmt: skip


def media_of(recording: Recording) -> MediaInfo:
    """Return what a plan stores of a recording: kind ``sensor``, frames = readings, frame_rate = readings a second."""
    facts = dict(recording.facts)
    return MediaInfo(
        kind="sensor",
        format=str(facts.pop("format")),
        codec="text",
        width=0,
        height=0,
        rotation=0,
        duration_seconds=round(recording.duration_seconds, 6),
        frame_rate=round(recording.rate, 4),
        frames=len(recording),
        size_bytes=int(facts.pop("size_bytes")),
        warnings=recording.warnings,
        extra={**facts, "start_seconds": recording.start_seconds, "has_rotation": recording.rotation is not None},
    )


def _opened(path: Path) -> io.BufferedReader:
    """Open a regular file for reading. Raises: MediaError (media.unsupported), OSError."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise MediaError("The input is not a file.", code="media.unsupported")
    return file
