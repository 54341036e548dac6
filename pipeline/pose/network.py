"""The network: which face of the box each place of a picture shows, and where on the box that is.

A small U-Net (Ronneberger et al. 2015) over the whole picture; dense object coordinates as in Brachmann et al. (ECCV
2014). torch is imported here, so nothing but a runtime or the training imports this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.torch_forward import torch_device
from pipeline.pose.box import Box

#: nothing and six faces, then x, y, z as shares of the half sizes
CLASSES = 7
OUTPUTS = CLASSES + 3
#: sides of the input must be multiples of it
MULTIPLE = 16
#: what of a weights file is the object and not the network starts so
OBJECT = "object."
_WIDTHS = (24, 48, 96, 128)


class BoxNet(nn.Module):
    """Float32 (n, 3, h, w), pixels 0 to 255, to (n, 10, h / 2, w / 2): seven logits and three coordinates."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three, four = _WIDTHS
        self.down1 = nn.Sequential(_block(3, one, stride=2), _block(one, one))
        self.down2 = nn.Sequential(_block(one, two, stride=2), _block(two, two))
        self.down3 = nn.Sequential(_block(two, three, stride=2), _block(three, three))
        self.down4 = nn.Sequential(_block(three, four, stride=2), _block(four, four), _block(four, four))
        self.side3, self.up3 = nn.Conv2d(four, three, 1), _block(three, three)
        self.side2, self.up2 = nn.Conv2d(three, two, 1), _block(two, two)
        self.side1, self.up1 = nn.Conv2d(two, one, 1), _block(one, one)
        self.head = nn.Conv2d(one, OUTPUTS, 1)

    def forward(self, batch: Tensor) -> Tensor:
        """Run the network."""
        one = self.down1((batch - 127.5) / 64)
        two = self.down2(one)
        three = self.down3(two)
        found = self.down4(three)
        found = self.up3(_doubled(self.side3(found)) + three)
        found = self.up2(_doubled(self.side2(found)) + two)
        found = self.up1(_doubled(self.side1(found)) + one)
        answer: Tensor = self.head(found)
        return answer


class BoxForward:
    """The runtime side of ``BoxNet``: outputs ``faces`` (n, 7, h, w), probabilities, and ``coordinates`` (n, 3, h, w).

    ``constants`` hold the object it was trained for: ``object.size`` (3,), metres, ``object.texture.0`` to ``.5``.
    """

    fixed_batch: int | None = None

    def __init__(self, weights: Path, device: str, threads: int) -> None:
        """threads: of the whole process, 0 leaves them. Raises: what reading the file raises."""
        if threads:
            torch.set_num_threads(threads)
        self._device = device
        self._network = BoxNet()
        tensors = load_file(str(weights))
        self.constants = {name: tensors.pop(name).numpy() for name in sorted(tensors) if name.startswith(OBJECT)}
        self._network.load_state_dict(tensors)
        self._network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped there

    def __call__(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run one batch, float32 (n, 3, h, w), 0 to 255; sides must be multiples of 16."""
        with torch.inference_mode():
            found = self._network(torch.from_numpy(batch).to(self._device, memory_format=torch.channels_last))
            faces = torch.softmax(found[:, :CLASSES].float(), dim=1)
            return {"faces": faces.cpu().numpy(), "coordinates": found[:, CLASSES:].float().cpu().numpy()}

    def close(self) -> None:
        """Let the weights go, and give device memory back."""
        del self._network
        if self._device != "cpu":
            torch.cuda.empty_cache()


def open_network(weights: Path, device: str, threads: int) -> BoxForward:
    """Load the weights (safetensors) for the runtime ``python``."""
    return BoxForward(weights, torch_device(device), threads)


def box_tensors(box: Box) -> dict[str, Tensor]:
    """Return the object as tensors, to be kept in one file, and under one digest, with the weights."""
    held = {"size": box.size, **{f"texture.{face}": one for face, one in enumerate(box.textures)}}
    return {f"{OBJECT}{name}": torch.from_numpy(np.ascontiguousarray(one)) for name, one in held.items()}


def _block(before: int, after: int, stride: int = 1) -> Any:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


def _doubled(values: Tensor) -> Tensor:
    return functional.interpolate(values, scale_factor=2.0, mode="nearest")
