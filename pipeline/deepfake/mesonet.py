"""MesoNet's two networks in torch, with the weights that their authors published for Keras.

D. Afchar, V. Nozick, J. Yamagishi, I. Echizen: MesoNet: a Compact Facial Video Forgery Detection Network, WIFS 2018.
This module imports torch and is itself imported only when a card's model is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.models.outputs import Outputs
from pipeline.models.torch_forward import torch_device

#: side of the square input in pixels
SIDE = 256
#: what Keras adds to a variance before its root; torch's own is 1e-5
BATCH_NORM_EPSILON = 1e-3


class Block(nn.Module):
    """Convolution, ReLU, batch normalisation (in this order), then pooling; ``mix`` may be any convolution."""

    def __init__(self, mix: nn.Module, channels: int, pool: int) -> None:
        super().__init__()
        self.mix = mix
        self.norm = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)
        self.pool = nn.MaxPool2d(pool)  # every side is a multiple of it, so Keras' "same" padding adds nothing

    def forward(self, values: Tensor) -> Tensor:
        """Return (n, channels, height / pool, width / pool)."""
        found: Tensor = self.pool(self.norm(self.mix(values)))
        return found


class Inception(nn.Module):
    """Four branches beside each other: 1x1; and 1x1, then 3x3 with dilation 1, 2 and 3."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_convolution(channels, widths[0], 1)])
        for dilation, width in enumerate(widths[1:], start=1):
            self.branches.append(
                nn.Sequential(_convolution(channels, width, 1), _convolution(width, width, 3, dilation))
            )

    def forward(self, values: Tensor) -> Tensor:
        """Return (n, sum of the widths, height, width)."""
        return torch.cat([branch(values) for branch in self.branches], dim=1)


class MesoNet(nn.Module):
    """Four blocks and two dense layers; the published dropout does nothing at inference and is left out."""

    def __init__(self, first: nn.Module, second: nn.Module, widths: tuple[int, int]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            Block(first, widths[0], 2),
            Block(second, widths[1], 2),
            Block(_convolution(widths[1], 16, 5), 16, 2),
            Block(_convolution(16, 16, 5), 16, 4),
        )
        self.dense = nn.Sequential(nn.Linear(1024, 16), nn.LeakyReLU(0.1), nn.Linear(16, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Return P(real) as (n, 1) of RGB crops (n, 3, 256, 256) with values from 0 to 1."""
        found = self.blocks(values).permute(0, 2, 3, 1)  # Keras flattens in the order height, width, channel
        return torch.sigmoid(self.dense(found.flatten(1)))


def meso4() -> MesoNet:
    """Return an untrained Meso-4: 27,977 parameters."""
    return MesoNet(_convolution(3, 8, 3), _convolution(8, 8, 5), (8, 8))


def meso_inception4() -> MesoNet:
    """Return an untrained MesoInception-4: 28,615 parameters."""
    return MesoNet(Inception(3, (1, 4, 4, 2)), Inception(11, (2, 4, 4, 2)), (11, 12))


class MesoForward:
    """The runtime of ``models.loaded`` around one network; any batch size."""

    fixed_batch: int | None = None

    def __init__(self, network: MesoNet, device: str) -> None:
        self._device = torch.device(device)
        #: what ``models export`` converts
        self.module: MesoNet | None = network.eval().to(self._device)

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Return ``p_real``, float32, (n, 1), of crops as float32, (n, 3, 256, 256)."""
        if self.module is None:
            raise ModelError("the network was closed")
        with torch.inference_mode():
            found = self.module(torch.from_numpy(batch).to(self._device))
        return {"p_real": found.float().cpu().numpy()}

    def close(self) -> None:
        """Free the network and give its memory back to the device."""
        self.module = None
        if self._device.type != "cpu":
            torch.cuda.empty_cache()


def open_h5(weights: Path, device: str, threads: int) -> MesoForward:
    """Return the network whose Keras weights the file holds: Meso-4, or MesoInception-4, told by its layers.

    threads: of the whole process, 0 leaves them. Raises: ModelError where the file is neither.
    """
    chosen = torch_device(device)
    if threads:
        torch.set_num_threads(threads)
    return MesoForward(load_h5(weights), chosen)


def load_h5(path: Path) -> MesoNet:
    """Return the network with the weights of a Keras 2 weights file (arrays only, no code).

    Raises: ModelError when the file is no HDF5 or its layers are those of neither network.
    """
    try:
        with h5py.File(path, "r") as held:
            layers = {kind: _layers(held, kind) for kind in ("conv2d", "batch_normalization", "dense")}
    except (OSError, KeyError) as error:
        raise ModelError(f"{path.name} is no file of Keras weights: {error}") from error
    network = meso4() if len(layers["conv2d"]) == 4 else meso_inception4()
    wanted = {"conv2d": nn.Conv2d, "batch_normalization": nn.BatchNorm2d, "dense": nn.Linear}
    for kind, module_type in wanted.items():
        modules = [module for module in network.modules() if isinstance(module, module_type)]
        if len(modules) != len(layers[kind]):
            raise ModelError(f"{path.name}: {len(layers[kind])} layers {kind}, MesoNet has 4 or 16, 4 and 2")
        for module, arrays in zip(modules, layers[kind], strict=True):
            _take(path.name, module, arrays)
    return network


def _layers(held: h5py.File, kind: str) -> list[dict[str, NDArray[np.float32]]]:
    """Return the arrays of each layer of a kind, in the order in which the authors' program made the layers.

    Keras numbers layers as they are made, over all networks of a process: the numbers' order counts, not the numbers.
    The torch modules are made in the same order.
    """
    names = sorted(
        (name for name in held if re.fullmatch(rf"{kind}_\d+", name)), key=lambda name: int(name[len(kind) + 1 :])
    )
    return [
        {
            array.partition(":")[0]: np.asarray(values[()], dtype=np.float32)
            for array, values in held[name][name].items()
        }
        for name in names
    ]


def _take(file: str, module: nn.Module, arrays: dict[str, NDArray[np.float32]]) -> None:
    """Copy one layer's arrays, in torch's order of axes."""
    if isinstance(module, nn.BatchNorm2d):
        told = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    else:
        told = {"weight": "kernel", "bias": "bias"}
    for name, array in told.items():
        place: Tensor = getattr(module, name)
        values = arrays.get(array)
        if values is not None and array == "kernel":
            # dense: (in, out) -> (out, in); convolution: (height, width, in, out) -> (out, in, height, width)
            values = values.T if values.ndim == 2 else values.transpose(3, 2, 0, 1)
        if values is None or values.shape != tuple(place.shape):
            has = "absent" if values is None else f"of shape {values.shape}"
            raise ModelError(f"{file}: {array} of a layer is {has}, MesoNet's is {tuple(place.shape)}")
        with torch.no_grad():
            place.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _convolution(channels: int, width: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps height and width, and its ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(nn.Conv2d(channels, width, kernel, padding=padding, dilation=dilation), nn.ReLU())
