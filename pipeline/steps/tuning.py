"""Choose the rules of a method on recordings whose steps are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.sensors.recording import Recording
from pipeline.steps.counter import Curve, StepCounter
from pipeline.steps.picking import Rules
from pipeline.steps.synthetic import Made, Part, make

#: made recordings have seeds from here on; those of training begin at 1,000, those of the tests at 900,000
SEED = 500_000
#: what is tried, around the rules that are there; the first of equals is taken
HEIGHTS = {"signal": (0.03, 0.05, 0.07, 0.09), "network": (0.3, 0.4, 0.5, 0.6, 0.7)}
RELATIVES = {"signal": (0.5, 0.75, 1.0, 1.25), "network": (0.0,)}


@dataclass(frozen=True, slots=True)
class Known:
    """A recording and how many steps are in it."""

    recording: Recording
    steps: int


def count(recording: Recording, curve: Curve, rules: Rules) -> StepCounter:
    """Return a counter that has seen a whole recording."""
    counter = StepCounter(curve, rules)
    counter.extend(recording.seconds, recording.acceleration)
    counter.finish()
    return counter


def tune(method: str, curve: Curve, rules: Rules, known: Sequence[Known]) -> Rules:
    """Return the rules with the least mean error, as a share of the steps (of 10 at the least)."""
    tried = [
        replace(rules, min_height=height, relative=relative)
        for height in HEIGHTS[method]
        for relative in RELATIVES[method]
    ]
    return min(tried, key=lambda one: float(np.mean([_error(curve, one, case) for case in known])))


def made_walks(first_seed: int, number: int) -> list[Made]:
    """Return made recordings of two walks each, every second one cut, with rest, shaking and a ride between."""
    found = []
    for seed in range(first_seed, first_seed + number):
        random = np.random.default_rng(seed)
        walks = [
            Part(
                "walk", random.uniform(10, 25), random.uniform(1.3, 2.5), random.uniform(0.12, 0.45),
                is_cut=bool(seed % 2),
            )
            for _ in range(2)
        ]  # fmt: skip
        parts = [Part("still", 3), walks[0], Part("still", 4), Part("shake", 5, strength=0.4), Part("still", 2)]
        parts += [walks[1], Part("still", 2), Part("ride", 5, strength=0.2)]
        found.append(make(parts, seed=seed, rate=float(random.choice([25, 50, 100, 200, 400]))))
    return found


def _error(curve: Curve, rules: Rules, case: Known) -> float:
    return abs(count(case.recording, curve, rules).steps - case.steps) / max(10, case.steps)
