"""What all networks of torch share. torch is imported when the first one is loaded, never before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device import choose_device
from pipeline.models.outputs import Outputs


def torch_device(wanted: str) -> str:
    """Return the device on which torch is to run; see ``choose_device``. Raises: ModelError."""
    import torch  # noqa: PLC0415 - as in TorchForward

    return choose_device(wanted, {"cpu", "cuda"} if torch.cuda.is_available() else {"cpu"})


class TorchForward:
    """One network of torch and where it runs; those who load it set ``module`` and ``kind``."""

    fixed_batch: int | None = None

    def __init__(self, device: str, threads: int) -> None:
        """threads: of the whole process, 0 leaves them. Raises: ModelError with code ``device.unavailable``."""
        # A second and a half to import, and most workers never need it.
        import torch  # noqa: PLC0415 - see above

        self.torch: Any = torch  # Any: half of its functions carry no types
        self.device = torch_device(device)
        if threads:
            torch.set_num_threads(threads)
        #: what is called with a batch
        self.module: Any = None
        #: dtype that it is called with
        self.kind: Any = torch.float32

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one batch; outputs are named as in a dict, ``0``, ``1`` ... in a tuple, a single one is ``output``."""
        with self.torch.inference_mode():
            found = self.module(self.torch.from_numpy(batch).to(self.device, self.kind))
        if isinstance(found, self.torch.Tensor):
            found = {"output": found}
        elif isinstance(found, tuple | list):
            found = {str(place): value for place, value in enumerate(found)}
        return {str(name): value.float().cpu().numpy() for name, value in found.items()}

    def reduced(self, precision: str) -> Any:
        """Return the dtype of a card's precision on this device.

        Half precision only pays on a GPU; on the CPU many layers have no such kernel.
        """
        kinds = {"fp16": self.torch.float16, "bf16": self.torch.bfloat16}
        return self.torch.float32 if self.device == "cpu" else kinds.get(precision, self.torch.float32)

    def close(self) -> None:
        """Free the network and give its memory back to the device."""
        self.module = None
        if self.device != "cpu":
            self.torch.cuda.empty_cache()
