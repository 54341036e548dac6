"""Steps: how many, when and how fast, from the readings of an accelerometer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import ParamsError
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.modelled import Modelled
from pipeline.pipelines.schemas import model_name
from pipeline.sensors.checks import GAP_SECONDS
from pipeline.sensors.columns import NAMES
from pipeline.sensors.recording import Recording
from pipeline.sensors.units import DEGREES, METRES, SECONDS
from pipeline.spec import PipelineSpec
from pipeline.steps import network, signal
from pipeline.steps.counter import StepCounter
from pipeline.steps.network import NetworkCurve
from pipeline.steps.signal import SignalCurve
from pipeline.steps.walks import MAX_ENTRIES, MAX_TIMES, cadence_of, per_minute, regularity_of, walks_of

#: to count a minute of readings at 100 Hz, reading the text included; measured 0.05 s
_COST_SECONDS = 0.05
#: readings whose steps are counted at once; only speed depends on it
_CHUNK = 1 << 14
#: a longer pause ends a walk, whatever the method
MAX_INTERVAL = signal.RULES.max_interval
#: the better one by the evaluation: docs/pipelines/steps.md
DEFAULT_METHOD = "network"

SUMMARY_FIELDS = {
    "steps": "Steps counted.",
    "step_times": "Seconds from the first reading to each step, rising; the first 10,000.",
    "cadence": "Steps a minute while walking, pauses left out; null without a walk.",
    "per_minute": "bin_seconds, and points: seconds, counts (steps) and covers_seconds of each minute, from the first.",
    "walks": "Stretches of walking: from_seconds and to_seconds (first and last step), steps, cadence; at most 1,000.",
    "walking_seconds": "Length of all walks.",
    "method": "How the steps were found: signal or network.",
    "duration_seconds": "From the first reading to the last.",
    "readings": "Readings used; repeated ones are left out.",
    "readings_per_second": "One over the median distance of two readings.",
    "gaps": "Stretches of more than 0.5 s without a reading, from_seconds and to_seconds; at most 1,000. "
    "No step is counted in them.",
    "gap_seconds": "Length of all gaps.",
    "quality": "regularity: share of steps that come evenly, null under 8; coverage: share of the time with readings.",
    "warnings": "What was judged or left out while the file was read: code and message.",
    "truncated": "Names of the lists above that hold only their first entries.",
}


def _unit(units: Iterable[str], what: str) -> dict[str, Any]:
    return {
        "enum": [None, *units],
        "default": None,
        "description": f"Unit of {what}; null: what the file says, else what its numbers say.",
    }


PARAMS_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "method": {
            "enum": ["network", "signal"],
            "default": DEFAULT_METHOD,
            "description": "network: a trained one, then peaks; signal: band-pass filter, then peaks.",
        },
        "network": model_name("steps-net", "Model of the shelf that method network uses."),
        "columns": {
            "type": ["array", "null"],
            "default": None,
            "items": {"enum": list(NAMES)},
            "minItems": 4,
            "maxItems": 64,
            "description": "What each column of a CSV file is, in place of its header; - is passed over.",
        },
        "time_unit": _unit(SECONDS, "time"),
        "acceleration_unit": _unit(METRES, "acceleration"),
        "gyroscope_unit": _unit(DEGREES, "rotation"),
    },
}


class Steps(Modelled):
    """Count the steps of a whole recording at once, as ``StepCounter`` counts them one reading after another."""

    #: two recordings at once are not faster, and after each there is a sign of life
    max_batch = 1
    spec = PipelineSpec(
        name="steps",
        description="Steps, their times and the cadence, from accelerometer readings in CSV or JSON.",
        accepts=("sensor",),
        params_schema=PARAMS_SCHEMA,
        lane="cpu",
        summary_fields=SUMMARY_FIELDS,
        models={"network": ("tensors",)},
    )

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Raises: ParamsError where the network that is used is unknown, or takes pictures and not readings."""
        if params["method"] == "network":
            super().check(params, shelf)
            if shelf.card(params["network"]).input.height != 1:
                raise ParamsError(f"{params['network']} is no network of steps: it takes pictures.")

    def models_used(self, params: Params, shelf: ModelShelf) -> Sequence[Mapping[str, Any]]:
        """Return name, version, digest and licence of the network; nothing for method signal."""
        return super().models_used(params, shelf) if params["method"] == "network" else []

    def cost_seconds(self, params: Params, shelf: ModelShelf) -> float:
        """Return the cost of a minute of readings; the plan multiplies."""
        return _COST_SECONDS

    def infer(self, frames: Sequence[Recording], params: Params, shelf: ModelShelf) -> Sequence[tuple[float, ...]]:
        """Return the times of the steps of each recording, in seconds from its first reading."""
        return [self._count(recording, params, shelf) for recording in frames]

    def observe(self, state: Any, frame: Recording, inferred: Sequence[float], params: Params) -> Row:
        """Return all steps and gaps of the recording, in seconds from its first reading."""
        apart = np.diff(frame.seconds)
        gaps = [[round(float(at), 3) for at in frame.seconds[[n, n + 1]]] for n in np.flatnonzero(apart > GAP_SECONDS)]
        return {"steps": len(inferred), "step_times": [round(time, 3) for time in inferred], "gaps": gaps}

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the fields of SUMMARY_FIELDS."""
        times: list[float] = []
        gaps: list[dict[str, float]] = []
        for row in rows:
            times.extend(row["step_times"])
            gaps.extend({"from_seconds": first, "to_seconds": last} for first, last in row["gaps"])
        walks = walks_of(times, MAX_INTERVAL)
        length = media.duration_seconds or 0.0
        gap_seconds = sum(gap["to_seconds"] - gap["from_seconds"] for gap in gaps)
        sizes = {"step_times": (len(times), MAX_TIMES), "walks": (len(walks), MAX_ENTRIES)}
        sizes["gaps"] = len(gaps), MAX_ENTRIES
        return {
            "steps": len(times),
            "step_times": times[:MAX_TIMES],
            "cadence": cadence_of(walks),
            "per_minute": per_minute(times, length),
            "walks": walks[:MAX_ENTRIES],
            "walking_seconds": round(sum(walk["to_seconds"] - walk["from_seconds"] for walk in walks), 3),
            "method": params["method"],
            "duration_seconds": length,
            "readings": media.frames,
            "readings_per_second": media.frame_rate,
            "gaps": gaps[:MAX_ENTRIES],
            "gap_seconds": round(gap_seconds, 3),
            "quality": {
                "regularity": regularity_of(times, MAX_INTERVAL),
                "coverage": round(1 - gap_seconds / length, 4) if length else 0.0,
            },
            "warnings": [dict(warning) for warning in media.warnings],
            "truncated": [name for name, (size, most) in sizes.items() if size > most],
        }

    def _count(self, recording: Recording, params: Params, shelf: ModelShelf) -> tuple[float, ...]:
        counter = _counter(params, shelf)
        for first in range(0, len(recording), _CHUNK):
            piece = slice(first, first + _CHUNK)
            counter.extend(recording.seconds[piece], recording.acceleration[piece])
        counter.finish()
        return tuple(counter.step_times)


def _counter(params: Params, shelf: ModelShelf) -> StepCounter:
    if params["method"] == "signal":
        return StepCounter(SignalCurve(), signal.RULES)
    return StepCounter(NetworkCurve(shelf.load(params["network"]).run), network.RULES)
