"""Programs of torch.export (``.pt2``). torch is imported when the first one is loaded, never before."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, Any

from pipeline.device import own_error
from pipeline.errors import ModelError
from pipeline.models.archives import file_beside
from pipeline.models.card import ModelCard
from pipeline.models.export_archive import write_checked
from pipeline.models.shapes import fixed_batch
from pipeline.models.torch_forward import TorchForward


class ExportForward(TorchForward):
    """One exported program of one input; it computes in the precision it was exported in."""

    def __init__(self, card: ModelCard, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """threads: of the whole process, 0 leaves them. Raises: ModelError, DeviceOutOfMemory."""
        with file_beside(path) as checked:
            write_checked(path, checked, card.name)
            checked.seek(0)
            super().__init__(device, threads)
            try:
                taken = self._load(checked)
            except Exception as error:
                raise own_error(error, f"{card.name} cannot be loaded") from error
        if len(taken) != 1:
            raise ModelError(f"{card.name}: the model takes {len(taken)} inputs, only one is supported")
        self.kind = taken[0].dtype
        self.fixed_batch = fixed_batch(card, list(taken[0].shape))

    def _load(self, checked: IO[bytes]) -> list[Any]:
        """Load the program and return its inputs: tensors without content."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own parts, about what later releases will do
            program = self.torch.export.load(checked)
            if self.device != "cpu":
                from torch.export.passes import move_to_device_pass  # noqa: PLC0415 - as torch

                program = move_to_device_pass(program, self.device)
            self.module = program.module(check_guards=False)
        names = set(program.graph_signature.user_inputs)
        return [node.meta["val"] for node in program.graph.find_nodes(op="placeholder") if node.name in names]
