"""Recordings made up from a seed, with every step known: for training, examples and tests.

Walking is written as a phase that rises by one turn a step: the body goes up and down once a step and sways once in two
(stride), as in every textbook of gait; harmonics, impacts, asymmetry and noise are drawn at random. Nothing is copied
from a recorded walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.sensors.recording import STANDARD_GRAVITY, Recording

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a recording. kind: still, walk, shake (5 to 9 Hz), handling (slow and irregular), ride (vibration).

    cadence: steps a second. strength: amplitude in g. is_cut: a walk that a recorder's switch cuts out of a longer one:
    it begins and ends at full strength anywhere between two steps; one that was more than three quarters over when it
    began is not counted.
    """

    kind: str
    seconds: float
    cadence: float = 1.8
    strength: float = 0.25
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A recording and the times of its steps in seconds, float64, (steps,)."""

    recording: Recording
    steps: Values


def make(parts: Sequence[Part], *, seed: int, rate: float = 100.0, noise: float = 0.02) -> Made:
    """Make a recording of the parts one after another; the sensor lies as the seed has it and turns a little.

    rate: readings a second. noise: standard deviation in g.
    """
    random = np.random.default_rng(seed)
    count = round(sum(part.seconds for part in parts) * rate)
    seconds = np.arange(count) / rate
    body, steps, start = np.zeros((count, 3)), list[Values](), 0.0
    for part in parts:
        inside = (seconds >= start) & (seconds < start + part.seconds)
        if part.kind == "walk":
            turn, at = _cut_turns(part, random) if part.is_cut else _turns_of(part, random)
            steps.append(start + at)
            body[inside] = _walk(np.interp(seconds[inside] - start, *turn), part, random)
        elif part.kind != "still":
            body[inside] = _unrest(seconds[inside], part, random)
        start += part.seconds
    turns = _turns(seconds, random)
    felt = np.einsum("nij,nj->ni", turns, body + np.array([0.0, 0.0, 1.0]))
    felt += random.normal(0.0, noise, felt.shape)
    rotation = random.normal(0.0, 2.0, felt.shape) + 60.0 * body[:, [1, 0, 2]]
    recording = Recording(seconds - seconds[0], felt * STANDARD_GRAVITY, rotation)
    return Made(recording, np.concatenate(steps) if steps else np.empty(0))


def _turns_of(part: Part, random: Generator) -> tuple[tuple[Values, Values], Values]:
    """Return times from the part's start with the turns at them, whole ones at steps; and the times of the steps.

    Intervals jitter by 3 %; half a one comes before the first step and after the last.
    """
    count = max(1, int(part.seconds * part.cadence))
    intervals = 1.0 + 0.03 * random.standard_normal(count)
    edges = np.concatenate(([0.0], np.cumsum(intervals)))
    middles = (edges[:-1] + edges[1:]) / 2
    scale = part.seconds / edges[-1]
    times = np.concatenate(([0.0], middles, [edges[-1]])) * scale
    return (times, np.concatenate(([-0.5], np.arange(count), [count - 0.5]))), middles * scale


def _cut_turns(part: Part, random: Generator) -> tuple[tuple[Values, Values], Values]:
    """Return the same of a walk that is cut out of a longer one."""
    first = float(random.uniform(0.0, random.choice([0.25, 1.0])))  # often just behind a step, the hardest to tell
    last = first + part.seconds * part.cadence
    steps = np.arange(np.ceil(first + 0.25), np.floor(last) + 1)
    return (np.array([0.0, part.seconds]), np.array([first, last])), (steps - first) / part.cadence


def _walk(turn: Values, part: Part, random: Generator) -> Values:
    """Return sideways, forward and upward acceleration in g, (n, 3), by the turns since the first step.

    The first and last half step fade in and out, but in a walk that is cut.
    """
    phase = 2 * np.pi * turn
    second, third, late = random.uniform(0.0, 0.5), random.uniform(0.0, 0.25), random.uniform(0, 2 * np.pi, 4)
    up = np.cos(phase) + second * np.cos(2 * phase + late[0]) + third * np.cos(3 * phase + late[1])
    up *= 1.0 + random.uniform(0.0, 0.3) * np.cos(phase / 2)  # one leg treads harder
    up += random.uniform(0.0, 1.0) * np.exp(-0.5 * ((turn - np.round(turn)) / 0.06) ** 2)  # the heel strikes
    forward = random.uniform(0.2, 0.7) * np.sin(phase + late[2])
    aside = random.uniform(0.1, 0.6) * np.cos(phase / 2 + late[3])
    fade = np.clip(np.minimum(turn - turn[0], turn[-1] - turn) / 0.4, 0.0, 1.0)
    fade = np.ones(len(turn)) if part.is_cut else fade
    return np.asarray(part.strength * fade[:, None] * np.stack([aside, forward, up], axis=1), dtype=np.float64)


def _unrest(seconds: Values, part: Part, random: Generator) -> Values:
    """Return acceleration in g, (n, 3), that is no walking: a shaken hand, a phone that is handled, a vehicle."""
    low, high = {"shake": (5.0, 9.0), "handling": (0.1, 1.0), "ride": (10.0, 20.0)}[part.kind]
    tones = 1 if part.kind == "shake" else 24
    pitch, late = random.uniform(low, high, (tones, 3)), random.uniform(0, 2 * np.pi, (tones, 3))
    waves = np.sin(2 * np.pi * pitch * seconds[:, None, None] + late)
    return np.asarray(part.strength * waves.sum(axis=1) / np.sqrt(tones), dtype=np.float64)


def _turns(seconds: Values, random: Generator) -> Values:
    """Return how the sensor lies at each time, (n, 3, 3): any way at first, then wandering by some degrees."""
    start = np.linalg.qr(random.standard_normal((3, 3)))[0]
    if np.linalg.det(start) < 0:
        start[:, 0] *= -1
    sway, late = random.uniform(0.0, 0.15, 3), random.uniform(0, 2 * np.pi, 3)
    angles = sway * np.sin(2 * np.pi * random.uniform(0.02, 0.1, 3) * seconds[:, None] + late)
    cos, sin, zero, one = np.cos(angles), np.sin(angles), np.zeros(len(seconds)), np.ones(len(seconds))
    about_x = np.array([[one, zero, zero], [zero, cos[:, 0], -sin[:, 0]], [zero, sin[:, 0], cos[:, 0]]])
    about_y = np.array([[cos[:, 1], zero, sin[:, 1]], [zero, one, zero], [-sin[:, 1], zero, cos[:, 1]]])
    return np.asarray(np.einsum("ijn,jkn,kl->nil", about_x, about_y, start), dtype=np.float64)
