"""Train the network of steps: ``python -m pipeline.steps.train --data ../shared/data --out models/steps-net``.

Recorded walks with their truth, each turned, stretched in time and scaled anew, and as many made ones with rests,
shaking and vehicles between. Seeded; one to two minutes on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.sensors.recording import STANDARD_GRAVITY
from pipeline.steps.counter import StepCounter
from pipeline.steps.grid import RATE, whole
from pipeline.steps.labelled import WALKS, Walk, load_walk
from pipeline.steps.network import CHANNELS, LAYERS, REACH, StepsNetwork, features
from pipeline.steps.signal import RULES, SignalCurve
from pipeline.steps.synthetic import Part, make

if TYPE_CHECKING:
    import torch

Values = NDArray[np.float64]
Floats = NDArray[np.float32]
WEIGHTS_FILE = "steps-net.safetensors"
#: made recordings have seeds from here on; those of tests and of the evaluation begin at 900,000
SEED = 1
#: of the bump that stands for a step, seconds
_SPREAD = 0.06
#: the truth of a recorded step is moved to the peak of the filtered signal it is no further from, seconds
_NEAR = 0.3
#: samples of the curve in one training example
_WINDOW = 4 * RATE


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and on how much: rounds of ``batch`` windows; copies of each walk; made recordings."""

    rounds: int = 1500
    batch: int = 32
    copies: int = 6
    made: int = 120
    learning_rate: float = 3e-3


@dataclass(frozen=True, slots=True)
class Example:
    """What the network sees, float32, (3, n), and what it is to say of all but REACH samples at each end.

    turns: places in ``wanted`` where walking begins or ends, which few windows would show by chance.
    """

    seen: Floats
    wanted: Floats
    turns: tuple[int, ...] = ()


def train(walks: Sequence[Walk], *, seed: int = SEED, plan: Plan | None = None) -> dict[str, Floats]:
    """Return the weights of a network trained on these walks and on made ones. Deterministic on one machine."""
    import torch  # noqa: PLC0415 - counting needs none of it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more only wait for one another on a network so small
    try:
        return _weights(_trained(walks, seed, plan or Plan()))
    finally:
        torch.set_num_threads(threads)


def _trained(walks: Sequence[Walk], seed: int, plan: Plan) -> torch.nn.Sequential:
    import torch  # noqa: PLC0415

    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    recorded = [example for walk in walks for example in _copies(walk, plan.copies, random)]
    made = [_made(seed * 1000 + number, random) for number in range(plan.made)]
    network = _network()
    chooser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    pace = torch.optim.lr_scheduler.OneCycleLR(chooser, max_lr=plan.learning_rate, total_steps=plan.rounds)
    loss_of = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0))
    for _ in range(plan.rounds):
        half = plan.batch // 2 if recorded else 0
        windows = [_window(_any(made, random), random) for _ in range(plan.batch - half)]
        windows += [_window(_any(recorded, random), random) for _ in range(half)]
        seen = torch.from_numpy(np.stack([window.seen for window in windows]))
        wanted = torch.from_numpy(np.stack([window.wanted for window in windows]))
        loss = loss_of(network(seen)[:, 0], wanted)
        chooser.zero_grad()
        loss.backward()
        chooser.step()
        pace.step()
    return network


def targets(steps: Values, count: int) -> Floats:
    """Return a bump of height 1 at each step, float32, (count,), for samples that stand at (i + 0.5) / RATE."""
    at = (np.arange(count) + 0.5) / RATE
    if not len(steps):
        return np.zeros(count, dtype=np.float32)
    apart = np.abs(np.subtract.outer(at, steps)).min(axis=1)
    return np.asarray(np.exp(-0.5 * (apart / _SPREAD) ** 2), dtype=np.float32)


def _network() -> torch.nn.Sequential:
    import torch  # noqa: PLC0415

    layers: list[torch.nn.Module] = []
    before = CHANNELS
    for channels, width, apart in LAYERS:
        layers += [torch.nn.Conv1d(before, channels, width, dilation=apart), torch.nn.ReLU()]
        before = channels
    return torch.nn.Sequential(*layers[:-1])


def _weights(network: torch.nn.Sequential) -> dict[str, Floats]:
    """Return the weights by the names that ``StepsNetwork`` knows; between two convolutions stands a ReLU."""
    state = network.state_dict()
    return {
        f"conv{number}.{part}": state[f"{2 * number}.{part}"].numpy().astype(np.float32)
        for number in range(len(LAYERS))
        for part in ("weight", "bias")
    }


def _copies(walk: Walk, count: int, random: Generator) -> list[Example]:
    """Return the walk ``count`` times: stretched in time by 0.75 to 1.35, scaled by 0.5 to 3, noisy, turned."""
    start, samples = whole(walk.recording)
    steps = _moved(walk) - start
    return [_copy(samples, steps, random) for _ in range(count)]


def _copy(samples: Values, steps: Values, random: Generator) -> Example:
    pace, strength = random.uniform(0.75, 1.35), 2.0 ** random.uniform(-1.0, 1.6)
    wanted = np.arange(0, len(samples) - 1, pace)
    even = np.stack([np.interp(wanted, np.arange(len(samples)), samples[:, axis]) for axis in range(3)], axis=1)
    middle = np.median(even, axis=0)
    turn = np.linalg.qr(random.standard_normal((3, 3)))[0]
    even = (middle + strength * (even - middle)) @ turn.T
    even += random.normal(0.0, random.uniform(0.0, 0.03) * STANDARD_GRAVITY, even.shape)
    return _example(even, steps / pace)


def _made(seed: int, random: Generator) -> Example:
    """Return a made recording: walks with a rest, a shaken hand, a handled phone or a ride around each."""
    parts = [Part("still", random.uniform(1, 6))]
    for _ in range(random.integers(1, 4)):
        cadence, strength = random.uniform(1.1, 2.9), 0.08 * 2.0 ** random.uniform(0.0, 4.0)
        parts.append(Part("walk", random.uniform(4, 15), cadence, strength, is_cut=bool(random.random() < 0.5)))
        kind = str(random.choice(["still", "shake", "handling", "ride"]))
        parts.append(Part(kind, random.uniform(3, 10), strength=random.uniform(0.02, 0.5 if kind == "shake" else 0.1)))
    rate = float(random.choice([25, 50, 100, 200]))
    made = make(parts, seed=seed, rate=rate, noise=random.uniform(0.005, 0.04))
    start, samples = whole(made.recording)
    ends = np.cumsum([part.seconds for part in parts])[:-1]
    turns = tuple(int(end * RATE) - RATE - REACH for end in ends)
    return replace(_example(samples, made.steps - start), turns=tuple(turn for turn in turns if turn >= 0))


def _example(samples: Values, steps: Values) -> Example:
    edge = RATE  # what ``features`` uses up
    wanted = targets(steps, len(samples))[edge + REACH : len(samples) - edge - REACH]
    return Example(features(samples), wanted)


def _moved(walk: Walk) -> Values:
    """Return the truth's times, each moved to the nearest peak of the filtered signal: the device is a little late."""
    counter = StepCounter(SignalCurve(), RULES)
    counter.extend(walk.recording.seconds, walk.recording.acceleration)
    counter.finish()
    peaks = np.array(counter.step_times)
    nearest = peaks[np.abs(np.subtract.outer(walk.steps, peaks)).argmin(axis=1)]
    late = np.median(walk.steps - nearest)
    return np.asarray(np.where(np.abs(walk.steps - nearest) < _NEAR, nearest, walk.steps - late), dtype=np.float64)


def _window(example: Example, random: Generator) -> Example:
    most = max(0, len(example.wanted) - _WINDOW)
    first = int(random.integers(0, most + 1))
    if example.turns and random.random() < 0.5:
        turn = example.turns[int(random.integers(len(example.turns)))]
        first = min(max(0, turn - int(random.integers(RATE, _WINDOW - RATE))), most)
    return Example(
        example.seen[:, first : first + _WINDOW + 2 * REACH], example.wanted[first : first + _WINDOW]
    )  # fmt: skip


def _any(examples: Sequence[Example], random: Generator) -> Example:
    return examples[int(random.integers(len(examples)))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, write the weights and print their digest; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.steps.train", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the shared data")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--leave-out", action="append", default=[], choices=list(WALKS), help="a walk not to train on")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    from safetensors.numpy import save_file  # noqa: PLC0415

    began = time.monotonic()
    walks = [load_walk(options.data, name) for name in WALKS if name not in options.leave_out]
    weights = train(walks, seed=options.seed)
    StepsNetwork(weights)  # has all that it needs
    path = options.out / WEIGHTS_FILE
    save_file(weights, path)
    data = path.read_bytes()
    print(f"{path}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
