"""TorchScript models. torch is imported when the first one is loaded, never before."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device import choose_device, own_error
from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.outputs import Outputs

#: an archive's tensors are stored as they are; only its code is compressed
MAX_UNPACKED_CODE = 64 * 1024**2


class TorchScriptForward:
    """One scripted or traced module; its archive is read by TorchScript's own loader, never by pickle."""

    fixed_batch: int | None = None

    def __init__(self, card: ModelCard, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """threads: of the whole process, 0 leaves them. Raises: ModelError, DeviceOutOfMemory."""
        _check_archive(card, path)
        # A second and a half to import, and most workers never need it.
        import torch  # noqa: PLC0415 - see above

        self._torch: Any = torch  # Any: half of its functions carry no types
        self._device = choose_device(device, {"cpu", "cuda"} if torch.cuda.is_available() else {"cpu"})
        if threads:
            torch.set_num_threads(threads)
        # Half precision only pays on a GPU; on the CPU many layers have no such kernel.
        kinds = {"fp16": torch.float16, "bf16": torch.bfloat16}
        self._kind: Any = kinds.get(card.precision, torch.float32) if self._device != "cpu" else torch.float32
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the loader is deprecated, the format is not gone
                module = self._torch.jit.load(str(path), map_location=self._device)
            module = module.eval()
            self.module: Any = module.to(self._kind)
        except Exception as error:
            raise own_error(error, f"{card.name} cannot be loaded") from error

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one batch; outputs of a tuple are named 0, 1, ..., a single tensor ``output``."""
        torch = self._torch
        with torch.inference_mode():
            found = self.module(torch.from_numpy(batch).to(self._device, self._kind))
        return named_tensors(torch, found)

    def close(self) -> None:
        """Free the module and give its memory back to the device."""
        self.module = None
        if self._device != "cpu":
            self._torch.cuda.empty_cache()


def named_tensors(torch: Any, found: Any) -> Outputs:
    """Return a module's outputs by name: a dict's own, ``0``, ``1``, ... of a tuple, ``output`` of a single tensor."""
    if isinstance(found, torch.Tensor):
        found = {"output": found}
    elif isinstance(found, tuple | list):
        found = {str(place): value for place, value in enumerate(found)}
    return {str(name): value.float().cpu().numpy() for name, value in found.items()}


def _check_archive(card: ModelCard, path: Path) -> None:
    """Raise ModelError unless the file is a TorchScript archive: a pickled module would be code, not weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unpacked = sum(info.file_size for info in archive.infolist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ModelError(f"{card.name}: {path.name} is not a TorchScript archive") from error
    if unpacked > path.stat().st_size + MAX_UNPACKED_CODE:
        raise ModelError(f"{card.name}: {path.name} unpacks to {unpacked} bytes; TorchScript compresses only code")
    if not any(name.endswith("/constants.pkl") for name in names) or not any("/code/" in name for name in names):
        raise ModelError(
            f"{card.name}: {path.name} is not a TorchScript archive",
            advice="Save it with torch.jit.save(torch.jit.script(module)) or torch.jit.trace.",
        )
