"""TorchScript models. torch is imported when the first one is loaded, never before."""

from __future__ import annotations

from pathlib import Path

from pipeline.device import own_error
from pipeline.models.archives import file_beside
from pipeline.models.card import ModelCard
from pipeline.models.torch_forward import TorchForward
from pipeline.models.torchscript_archive import load_checked, write_checked


class TorchScriptForward(TorchForward):
    """One scripted or traced module, in the card's precision."""

    def __init__(self, card: ModelCard, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """threads: of the whole process, 0 leaves them. Raises: ModelError, DeviceOutOfMemory."""
        with file_beside(path) as checked:
            write_checked(path, checked, card.name)
            super().__init__(device, threads)
            self.kind = self.reduced(card.precision)
            try:
                module = load_checked(self.torch, checked, self.device, card.name)
                self.module = module.eval().to(self.kind)
            except Exception as error:
                raise own_error(error, f"{card.name} cannot be loaded") from error
