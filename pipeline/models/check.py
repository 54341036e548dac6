"""The self-check: does a loaded model do on a sample what its card says, before any job meets it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DeviceOutOfMemory, PipelineError
from pipeline.models.base import Model
from pipeline.models.card import ModelCard
from pipeline.models.shapes import input_shape

#: scores of one picture alone and in a full batch may differ by so much: kernels add in another order
SAME_SCORE = {"fp32": 0.005, "fp16": 0.02, "bf16": 0.05, "int8": 0.02}
#: a sample picture larger than this is a mistake
MAX_PICTURE_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a self-check found; ``ok`` where there are no faults.

    picture: the sample's file name, or "generated". findings: of the sample. first_seconds: the first call, kernels not
    yet chosen. seconds: the fastest of three calls with one picture; batch_seconds: with ``batch`` pictures.
    """

    ok: bool
    faults: tuple[str, ...]
    picture: str
    findings: int
    first_seconds: float
    seconds: float
    batch_seconds: float
    batch: int

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "faults": list(self.faults)}


def self_check(model: Model, folder: Path | None = None) -> CheckReport:
    """Run a model on a sample, alone and in a batch of the card's size, and say what is wrong.

    folder: where the card's files lie; its ``[check]`` picture is read from there, and its label must be found. Without
    one a picture is made, on which every outcome of the right form is right.
    Raises: DeviceOutOfMemory, which is not the model's fault.
    """
    card, faults, clock = model.card, list[str](), _Clock()
    name, picture = "generated", sample_picture(card)
    if card.check is not None and folder is not None:
        found = read_picture(folder / card.check.picture)
        if found is None:
            faults.append(f"check.picture: {card.check.picture} cannot be read beside the card")
        else:
            name, picture = card.check.picture, found
    count = 0
    try:
        if card.task == "tensors":
            _check_tensors(model, faults, clock)
        elif card.task == "text":
            _check_text(model, picture, faults, clock)
        else:
            count = _check_findings(model, picture, faults, clock, expected=name != "generated")
    except DeviceOutOfMemory:
        raise
    except PipelineError as error:
        faults.append(f"{error.code}: {error.message}")
    return CheckReport(
        ok=not faults, faults=tuple(faults), picture=name, findings=count, first_seconds=clock.first,
        seconds=clock.single, batch_seconds=clock.full, batch=card.max_batch,
    )  # fmt: skip


def sample_picture(card: ModelCard) -> NDArray[np.uint8]:
    """Return a made picture, uint8, (h, w, 3), RGB, the same on every machine: noise under a few plain shapes.

    Its sides are not those of the model's input, so that resizing is part of the check.
    """
    height, width = min(1080, max(32, card.input.height * 3 // 4)), min(1920, max(32, card.input.width))
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.circle(picture, (width // 3, height // 3), height // 6, (230, 60, 40), -1)
    cv2.rectangle(picture, (width // 2, height // 2), (width * 9 // 10, height * 9 // 10), (40, 90, 220), -1)
    return np.asarray(picture, dtype=np.uint8)


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """Return an operator's own picture, uint8, (h, w, 3), RGB; None where the file is none.

    For samples beside a card and pictures a person names on the command line; jobs' media is opened in the cage only.
    """
    try:
        if path.stat().st_size > MAX_PICTURE_BYTES:
            return None
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError:
        return None
    found = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if found is None else np.ascontiguousarray(found[:, :, ::-1], dtype=np.uint8)


class _Clock:
    """What the calls took, in seconds."""

    def __init__(self) -> None:
        self.first = self.single = self.full = 0.0


def _check_findings(
    model: Model, picture: NDArray[np.uint8], faults: list[str], clock: _Clock, *, expected: bool
) -> int:
    card = model.card
    clock.first, (first,) = _timed(lambda: model.predict([picture]))
    calls = [_timed(lambda: model.predict([picture])) for _ in range(3)]
    clock.single = min(seconds for seconds, _ in calls)
    clock.full, full = _timed(lambda: model.predict([picture] * card.max_batch))
    if any(again != [first] for _, again in calls):
        faults.append("the same picture gives different findings each time")
    if len(full) != card.max_batch or not all(_alike(first, one, SAME_SCORE[card.precision]) for one in full):
        faults.append(f"a batch of {card.max_batch} gives other findings than one picture alone")
    if card.task == "classify" and not first:
        faults.append("a classifier that names no label")
    if expected and card.check is not None:
        best = max((one["score"] for one in first if one["label"] == card.check.label), default=None)
        if best is None or best < card.check.min_score:
            told = "is not found" if best is None else f"has score {best}"
            faults.append(f"check: {card.check.label!r} {told} on {card.check.picture}, not {card.check.min_score}")
    return len(first)


def _check_tensors(model: Model, faults: list[str], clock: _Clock) -> None:
    """Run zeros of the card's input size through a network whose outputs only its pipeline can read."""
    shape = input_shape(model.card)
    one, many = (np.zeros((count, *shape), dtype=np.float32) for count in (1, model.card.max_batch))
    clock.first, first = _timed(lambda: model.run(one))
    clock.single = min(_timed(lambda: model.run(one))[0] for _ in range(3))
    clock.full, full = _timed(lambda: model.run(many))
    if not first:
        faults.append("the network has no outputs")
    faults += [f"output {name!r} is not finite on zeros" for name in _not_finite(first)]
    faults += [f"output {name!r} has not one entry per input" for name, one in full.items() if len(one) != len(many)]


def _check_text(model: Any, picture: NDArray[np.uint8], faults: list[str], clock: _Clock) -> None:
    """Ask one question twice, and of a full batch; what is said cannot be judged, only that it is the same."""
    question, batch = model.sample_prompt, [picture] * model.card.max_batch
    clock.first, first = _timed(lambda: model.describe([picture], question))
    clock.single, again = _timed(lambda: model.describe([picture], question))
    clock.full, full = _timed(lambda: model.describe(batch, question))
    if first != again:
        faults.append("the same question about the same picture gets different answers")
    if len(full) != len(batch):
        faults.append(f"a batch of {len(batch)} gets {len(full)} answers")


def _not_finite(outputs: Mapping[str, NDArray[np.float32]]) -> list[str]:
    return [name for name, values in outputs.items() if not np.isfinite(values).all()]


def _alike(one: list[dict[str, Any]], other: list[dict[str, Any]], tolerance: float) -> bool:
    """Return whether what either list is sure of is in the other, with nearly the same score."""
    return _covers(one, other, tolerance) and _covers(other, one, tolerance)


def _covers(found: list[dict[str, Any]], sure: list[dict[str, Any]], tolerance: float) -> bool:
    return all(
        any(one["label"] == wanted["label"] and abs(one["score"] - wanted["score"]) <= tolerance for one in found)
        for wanted in sure
        if wanted["score"] > 0.5
    )


def _timed(call: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return round(time.perf_counter() - started, 6), result
