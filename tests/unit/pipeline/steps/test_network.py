"""The network in numpy is the one that torch trained; turning the sensor changes nothing; training is repeatable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.check import self_check
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.steps import DEFAULT_METHOD
from pipeline.steps import train as training
from pipeline.steps.counter import HOP, StepCounter
from pipeline.steps.grid import RATE, whole
from pipeline.steps.network import LAYERS, REACH, RULES, NetworkCurve, StepsNetwork, features
from pipeline.steps.synthetic import Part, make
from pipeline.steps.train import Plan, targets, train
from pipeline.steps.tuning import made_walks

TEST_SEED = 900_000


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> NetworkCurve:
    """The curve by the weights that the repository holds."""
    return NetworkCurve(open_shelf(cache_dir=tmp_path_factory.mktemp("cache")).load("steps-net").run)


def counted(curve: NetworkCurve, seconds: np.ndarray, acceleration: np.ndarray, piece: int) -> StepCounter:
    counter = StepCounter(curve, RULES)
    for first in range(0, len(seconds), piece):
        counter.extend(seconds[first : first + piece], acceleration[first : first + piece])
    counter.finish()
    return counter


def test_numpy_gives_what_torch_gives() -> None:
    random = np.random.default_rng(TEST_SEED)
    torch.manual_seed(0)
    network = training._network()
    weights = training._weights(network)
    batch = random.standard_normal((2, 3, 1, HOP + 2 * REACH)).astype(np.float32)
    with torch.no_grad():
        wanted = torch.sigmoid(network(torch.from_numpy(batch[:, :, 0])))[:, 0].numpy()
    found = StepsNetwork(weights)(batch)["steps"]
    assert found.shape == (2, HOP)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_counter_of_its_own_counts_as_the_pipeline_does_by_default(curve: NetworkCurve) -> None:
    made = make([Part("still", 2), Part("walk", 15, 1.9)], seed=TEST_SEED).recording
    own = StepCounter()
    own.extend(made.seconds, made.acceleration)
    own.finish()
    assert DEFAULT_METHOD == "network"
    assert own.step_times == counted(curve, made.seconds, made.acceleration, len(made)).step_times
    with pytest.raises(ValueError, match="both"):
        StepCounter(curve)


def test_made_walks_are_counted_by_the_shipped_weights(curve: NetworkCurve) -> None:
    off = []
    for made in made_walks(TEST_SEED, 8):
        counter = counted(curve, made.recording.seconds, made.recording.acceleration, len(made.recording))
        off.append(abs(counter.steps - len(made.steps)))
    assert max(off) <= 3
    assert np.mean(off) <= 1


def test_any_pieces_give_the_steps_that_the_whole_gives(curve: NetworkCurve) -> None:
    recording = make([Part("still", 2), Part("walk", 15, 1.9), Part("handling", 5, strength=0.05)], seed=TEST_SEED)
    seconds, acceleration = recording.recording.seconds, recording.recording.acceleration
    times = {counted(curve, seconds, acceleration, piece).step_times for piece in (1, 7, 333, len(seconds))}
    assert len(times) == 1
    assert len(times.pop()) > 20


@pytest.mark.parametrize("kind", ["still", "shake", "ride"])
def test_without_walking_no_step_is_counted(curve: NetworkCurve, kind: str) -> None:
    for seed in range(TEST_SEED, TEST_SEED + 3):
        made = make([Part("still", 5), Part(kind, 30, strength=0.3), Part("still", 5)], seed=seed)
        assert counted(curve, made.recording.seconds, made.recording.acceleration, 10_000).steps == 0


def test_turning_the_sensor_changes_nothing_that_the_network_sees() -> None:
    _, samples = whole(make([Part("walk", 10)], seed=TEST_SEED).recording)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    np.testing.assert_allclose(features(samples @ turn.T), features(samples), atol=1e-5)
    assert features(samples).shape == (3, len(samples) - 2 * RATE)


def test_the_card_passes_the_self_check(tmp_path: Path) -> None:
    shelf = open_shelf(cache_dir=tmp_path)
    report = self_check(shelf.load("steps-net"))
    assert report.ok, report.faults
    assert shelf.card("steps-net").input.width == HOP + 2 * REACH


def test_training_twice_gives_the_same_weights_and_learns() -> None:
    plan = Plan(rounds=40, batch=8, copies=0, made=4)
    first, again = (train([], seed=3, plan=plan) for _ in range(2))
    assert set(first) == {f"conv{n}.{part}" for n in range(len(LAYERS)) for part in ("weight", "bias")}
    assert all(np.array_equal(first[name], again[name]) for name in first)
    made = make([Part("walk", 20, 1.8)], seed=TEST_SEED)
    _, samples = whole(made.recording)
    chance = NetworkCurve(StepsNetwork(first))(samples)
    wanted = targets(made.steps, len(samples))[NetworkCurve.context : len(samples) - NetworkCurve.context]
    assert np.corrcoef(chance, wanted)[0, 1] > 0.3


def test_targets_are_one_at_steps_and_nothing_between() -> None:
    wanted = targets(np.array([1.01, 2.01]), 150)
    assert wanted[50] == wanted[100] == 1
    assert wanted[75] < 1e-6
    assert not targets(np.empty(0), 10).any()
