"""ONNX models through onnxruntime, on a GPU where its provider is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.device import choose_device, own_error
from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.outputs import Outputs
from pipeline.models.shapes import fixed_batch

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class OnnxForward:
    """One session with a bounded number of threads."""

    def __init__(self, card: ModelCard, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """threads: for one call; 0 leaves it to the runtime. Raises: ModelError, DeviceOutOfMemory."""
        providers = _providers(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin while they wait would take the decoder's core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            raise own_error(error, f"{card.name} cannot be loaded") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"{card.name}: the model takes {len(inputs)} inputs, only one is supported")
        self._name = inputs[0].name
        self._dtype = _TYPES.get(inputs[0].type)
        if self._dtype is None:
            raise ModelError(f"{card.name}: input type {inputs[0].type} is not supported")
        self.fixed_batch = fixed_batch(card, inputs[0].shape)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one batch."""
        values = self._session.run(self._outputs, {self._name: batch.astype(self._dtype, copy=False)})
        return {name: np.asarray(value, dtype=np.float32) for name, value in zip(self._outputs, values, strict=True)}

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _providers(device: str) -> list[Any]:
    found = onnxruntime.get_available_providers()
    chosen = choose_device(device, {"cpu", "cuda"} if "CUDAExecutionProvider" in found else {"cpu"})
    if chosen == "cpu":
        return ["CPUExecutionProvider"]
    number = int(chosen.partition(":")[2] or 0)
    # The arena grows only by what is asked for, so that a batch that is too large fails early and can be halved.
    options = {"device_id": number, "arena_extend_strategy": "kSameAsRequested"}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]
