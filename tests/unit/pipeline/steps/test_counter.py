"""The counter: live equals batch, gaps, stillness, walks made from seeds that nothing was tuned on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sensors.faults import SensorError
from pipeline.sensors.recording import STANDARD_GRAVITY, Reading, Recording
from pipeline.steps import StepCounter
from pipeline.steps.signal import RULES, SignalCurve
from pipeline.steps.synthetic import Made, Part, make

#: seeds from here on are the tests' own: training and tuning stay below
TEST_SEED = 900_000


def by_signal() -> StepCounter:
    return StepCounter(SignalCurve(), RULES)


def counted(recording: Recording, cuts: list[int] | None = None) -> StepCounter:
    """Count a recording handed over in pieces that end at ``cuts``."""
    counter = by_signal()
    edges = [0, *sorted(cuts or []), len(recording)]
    for first, last in pairwise(edges):
        counter.extend(recording.seconds[first:last], recording.acceleration[first:last])
    counter.finish()
    return counter


def uneven(seed: int) -> Recording:
    """A walk with pauses, jitter in time, dropped readings and a gap."""
    parts = [Part("still", 2), Part("walk", 9, 1.9), Part("handling", 3, strength=0.05), Part("walk", 7, 1.6)]
    made = make(parts, seed=TEST_SEED + seed, rate=90).recording
    random = np.random.default_rng(seed)
    keep = (random.random(len(made)) > 0.1) & ((made.seconds < 6) | (made.seconds > 7.5))
    seconds = made.seconds + random.uniform(0, 0.005, len(made))
    return Recording(seconds[keep], made.acceleration[keep])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 1_500), max_size=30))
def test_any_pieces_give_the_steps_that_the_whole_gives(seed: int, cuts: list[int]) -> None:
    recording = uneven(seed)
    whole = counted(recording)
    pieces = counted(recording, [cut for cut in cuts if cut <= len(recording)])
    assert whole.steps > 10
    assert pieces.step_times == whole.step_times


@pytest.mark.parametrize("seed", range(3))
def test_one_reading_after_another_gives_the_steps_that_the_whole_gives(seed: int) -> None:
    recording, live = uneven(seed), by_signal()
    seen = [
        live.update(Reading(float(at), *map(float, values)))
        for at, values in zip(recording.seconds, recording.acceleration, strict=True)
    ]
    assert seen == sorted(seen)
    assert 0 < seen[-1] <= live.finish()
    assert live.step_times == counted(recording).step_times


def walks() -> list[Made]:
    made = []
    for seed in range(TEST_SEED, TEST_SEED + 12):
        random = np.random.default_rng(seed)
        parts = [
            Part("still", 3),
            Part("walk", random.uniform(10, 25), random.uniform(1.3, 2.5), random.uniform(0.12, 0.45)),
            Part("still", 4),
            Part("shake", 5, strength=0.4),
            Part("walk", random.uniform(10, 25), random.uniform(1.3, 2.5), random.uniform(0.12, 0.45)),
            Part("ride", 5, strength=0.2),
        ]
        made.append(make(parts, seed=seed, rate=float(random.choice([25, 50, 100, 200, 400]))))
    return made


def test_made_walks_are_counted_to_the_step_at_every_rate_and_in_every_pose() -> None:
    for made in walks():
        counter = counted(made.recording)
        assert abs(counter.steps - len(made.steps)) <= 1
        nearest = np.abs(np.subtract.outer(np.array(counter.step_times), made.steps)).min(axis=1)
        assert np.median(nearest) < 0.15, "and at their times"


@pytest.mark.parametrize("kind", ["still", "shake", "ride"])
def test_without_walking_no_step_is_counted(kind: str) -> None:
    for seed in range(TEST_SEED, TEST_SEED + 5):
        made = make([Part("still", 5), Part(kind, 60, strength=0.3), Part("still", 5)], seed=seed)
        assert counted(made.recording).steps == 0


def test_a_few_jolts_are_no_walk() -> None:
    made = make([Part("still", 5), Part("walk", 1.5, 2.0, 0.3), Part("still", 5)], seed=TEST_SEED)
    assert len(made.steps) == 3
    assert counted(made.recording).steps == 0


def test_no_step_is_counted_in_a_gap_and_walking_goes_on_behind_it() -> None:
    made = make([Part("walk", 40, 2.0)], seed=TEST_SEED)
    recording = made.recording
    keep = (recording.seconds < 15) | (recording.seconds > 25)
    holed = counted(Recording(recording.seconds[keep], recording.acceleration[keep]))
    assert abs(holed.steps - np.count_nonzero((made.steps < 15) | (made.steps > 25))) <= 2
    assert not any(15.1 < time < 24.9 for time in holed.step_times)


def test_readings_may_go_on_after_finish() -> None:
    recording = make([Part("walk", 20, 2.0)], seed=TEST_SEED).recording
    counter = by_signal()
    counter.extend(recording.seconds, recording.acceleration)
    first = counter.finish()
    counter.extend(recording.seconds + 100, recording.acceleration)
    assert counter.finish() == 2 * first
    assert counter.step_times == tuple(sorted(counter.step_times))


@pytest.mark.parametrize(
    ("reading", "code"),
    [
        (Reading(1.0, 0, 0, 9.8), "sensor.unsorted"),
        (Reading(0.5, 0, 0, 9.8), "sensor.unsorted"),
        (Reading(2.0, float("nan"), 0, 9.8), "sensor.malformed"),
        (Reading(float("inf"), 0, 0, 9.8), "sensor.malformed"),
        (Reading(2.0, 0, -50 * STANDARD_GRAVITY, 0), "sensor.out_of_range"),
    ],
)
def test_a_bad_reading_is_refused_and_the_counter_goes_on(reading: Reading, code: str) -> None:
    counter = by_signal()
    counter.update(Reading(1.0, 0.0, 0.0, 9.8))
    with pytest.raises(SensorError) as caught:
        counter.update(reading)
    assert caught.value.code == code
    assert counter.update(Reading(1.5, 0.0, 0.0, 9.8)) == 0


def test_memory_of_a_counter_does_not_grow_with_the_readings() -> None:
    counter, seconds = by_signal(), np.arange(5_000) / 50
    still = np.tile([0.0, 0.0, 9.8], (5_000, 1))
    held = []
    for hour in range(4):
        counter.extend(seconds + 100 * hour, still)
        stretch = counter._stretch
        assert stretch is not None
        held.append(len(stretch._samples) + len(stretch._picker._curve))
    assert max(held) < 500
