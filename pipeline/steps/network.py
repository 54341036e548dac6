"""Steps by a small trained network: three convolutions over three lengths that no turn of the sensor changes.

Only numpy runs it, so that counting needs no torch; ``pipeline.steps.train`` makes the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.models.shelf import BUILT_IN
from pipeline.sensors.recording import STANDARD_GRAVITY
from pipeline.steps.grid import RATE
from pipeline.steps.picking import Rules

Floats = NDArray[np.float32]

#: gravity is taken to be the mean over this many samples to each side
_LEVEL = RATE
#: of each convolution: channels out, samples in its window, distance of these
LAYERS = ((16, 9, 1), (16, 9, 2), (16, 9, 4), (1, 1, 1))
CHANNELS = 3
#: samples that the convolutions use up at each side
REACH = sum((width - 1) // 2 * apart for _, width, apart in LAYERS)
#: found as those of the signal method. The network's own curve falls to 0 between steps, so a peak is held against
#: nothing around it
RULES = Rules(min_height=0.7, relative=0.0)


class StepsNetwork:
    """The network by its weights: ``conv<n>.weight``, (out, in, width), and ``conv<n>.bias``, (out,), float32."""

    fixed_batch: int | None = None

    def __init__(self, weights: dict[str, Floats]) -> None:
        self._layers = [
            (np.ascontiguousarray(weights[f"conv{n}.weight"]), weights[f"conv{n}.bias"], apart)
            for n, (_, _, apart) in enumerate(LAYERS)
        ]

    def __call__(self, batch: Floats) -> dict[str, Floats]:
        """Return {"steps": float32, (n, t - 2 x REACH)}: the chance of a step around each sample.

        batch: float32, (n, 3, 1, t): what ``features`` gives, as a picture of one line, which is what cards speak of.
        """
        values = batch[:, :, 0]
        for number, (weight, bias, apart) in enumerate(self._layers):
            values = _convolved(values, weight, apart) + bias[:, None]
            if number < len(self._layers) - 1:
                values = np.maximum(values, 0.0)
        return {"steps": (1.0 / (1.0 + np.exp(-values[:, 0]))).astype(np.float32)}

    def close(self) -> None:
        """Nothing is held but the weights."""


class NetworkCurve:
    """The network's chance of a step at each sample. ``context``: samples needed to each side."""

    context = _LEVEL + REACH

    def __init__(self, run: Callable[[Floats], Mapping[str, Floats]]) -> None:
        """Use a network by its call; that of a loaded model's ``run`` is one too."""
        self._run = run

    def __call__(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the curve, float64, (n - 2 x context,), of samples in m/s^2, float64, (n, 3)."""
        return np.asarray(self._run(features(samples)[None, :, None])["steps"][0], dtype=np.float64)


def open_network(weights: Path, device: str = "cpu", threads: int = 1) -> StepsNetwork:
    """Read the weights of a safetensors file; an ``entry`` of model cards. It runs on the CPU, in one thread.

    Raises: OSError, safetensors.SafetensorError, KeyError.
    """
    from safetensors.numpy import load_file  # noqa: PLC0415 - only where a network is used

    return StepsNetwork(load_file(weights))


@lru_cache(maxsize=1)
def shipped_curve() -> NetworkCurve:
    """Return the curve by the weights of this installation's card ``steps-net``. Raises: ModelError."""
    path = BUILT_IN / "steps-net" / "steps-net.safetensors"
    if not path.is_file():
        raise ModelError(f"{path} is not there", advice="Install the folder models of this repository too.")
    return NetworkCurve(open_network(path))


def features(samples: NDArray[np.float64]) -> Floats:
    """Return what the network sees, float32, (3, n - 2 x RATE), in g, of samples in m/s^2, float64, (n, 3).

    The length of the acceleration less 1; its part along gravity, less gravity; and its part across gravity. Gravity is
    the mean over a second to each side.
    """
    sums = np.cumsum(np.concatenate((np.zeros((1, 3)), samples)), axis=0)
    span = 2 * _LEVEL + 1
    level = (sums[span:] - sums[:-span]) / span
    inner = samples[_LEVEL : len(samples) - _LEVEL]
    size = np.maximum(np.linalg.norm(level, axis=1), 1e-9)
    along = np.sum(inner * level, axis=1) / size
    across = np.sqrt(np.maximum(np.sum(inner * inner, axis=1) - along * along, 0.0))
    length = np.linalg.norm(inner, axis=1) - STANDARD_GRAVITY
    return np.asarray(np.stack([length, along - size, across]) / STANDARD_GRAVITY, dtype=np.float32)


def _convolved(values: Floats, weight: Floats, apart: int) -> Floats:
    """Return (n, out, t') of values (n, in, t) and weight (out, in, width); nothing is filled up at the ends."""
    width = weight.shape[2]
    windows = sliding_window_view(values, (width - 1) * apart + 1, axis=2)[..., ::apart]
    return np.asarray(np.einsum("nitw,oiw->not", windows, weight, optimize=True), dtype=np.float32)
