"""Programs of torch.export (``.pt2``). torch is imported when the first one is loaded, never before."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device import choose_device, own_error
from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.export_archive import write_checked
from pipeline.models.outputs import Outputs
from pipeline.models.shapes import fixed_batch
from pipeline.models.torchscript_runtime import named_tensors


class ExportForward:
    """One exported program of one input; it computes in the precision it was exported in."""

    def __init__(self, card: ModelCard, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """threads: of the whole process, 0 leaves them. Raises: ModelError, DeviceOutOfMemory."""
        with tempfile.TemporaryFile() as checked:
            write_checked(path, checked, card.name)
            checked.seek(0)
            # A second and a half to import, and most workers never need it.
            import torch  # noqa: PLC0415 - see above

            self._torch: Any = torch  # Any: half of its functions carry no types
            self._device = choose_device(device, {"cpu", "cuda"} if torch.cuda.is_available() else {"cpu"})
            if threads:
                torch.set_num_threads(threads)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of its own parts, about what later releases will do
                    program: Any = torch.export.load(checked)
                    if self._device != "cpu":
                        from torch.export.passes import move_to_device_pass  # noqa: PLC0415 - as torch

                        program = move_to_device_pass(program, self._device)
                    taken = _user_inputs(program)
                    self.module: Any = program.module(check_guards=False)
            except Exception as error:
                raise own_error(error, f"{card.name} cannot be loaded") from error
        if len(taken) != 1:
            raise ModelError(f"{card.name}: the model takes {len(taken)} inputs, only one is supported")
        self._kind = taken[0].dtype
        self.fixed_batch = fixed_batch(card, list(taken[0].shape))

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one batch; outputs are named as those of TorchScript."""
        torch = self._torch
        with torch.inference_mode():
            found = self.module(torch.from_numpy(batch).to(self._device, self._kind))
        return named_tensors(torch, found)

    def close(self) -> None:
        """Free the module and give its memory back to the device."""
        self.module = None
        if self._device != "cpu":
            self._torch.cuda.empty_cache()


def _user_inputs(program: Any) -> list[Any]:
    """Return what the program takes besides its weights: tensors without content."""
    names = set(program.graph_signature.user_inputs)
    return [node.meta["val"] for node in program.graph.find_nodes(op="placeholder") if node.name in names]
