"""One network in another format: ONNX, TorchScript, int8. torch and onnx are imported only where they are used."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError

#: largest batch that a converted network takes where it takes any
MAX_BATCH = 1024
Floats = NDArray[np.float32]


def to_onnx(module: Any, sample: Floats, names: Sequence[str], target: Path, *, free_batch: bool) -> None:
    """Write a torch module as ONNX, weights inside.

    sample: float32, (n, ...), what it takes. names: of its outputs, in their order. free_batch: any batch size will do.
    Raises: ModelError.
    """
    import torch  # noqa: PLC0415 - a second and a half, and most calls convert nothing

    example = torch.from_numpy(sample)
    options: dict[str, Any] = {"input_names": ["input"], "output_names": list(names)}
    with _quietly("to ONNX"):
        if isinstance(module, torch.jit.ScriptModule):
            # The newer exporter reads Python, which a scripted module no longer has; this one takes tensors and tuples.
            free = {name: {0: "n"} for name in ["input", *names]} if free_batch else None
            torch.onnx.export(module, (example,), str(target), dynamo=False, dynamic_axes=free, **options)
            return
        wrapped = _as_tuple(torch, module, names)
        dims = ({0: torch.export.Dim("n", min=1, max=MAX_BATCH)},) if free_batch else None
        torch.onnx.export(
            wrapped, (example,), str(target), dynamo=True, dynamic_shapes=dims, external_data=False, verbose=False,
            **options,
        )  # fmt: skip


def to_torchscript(module: Any, sample: Floats, names: Sequence[str], target: Path) -> None:
    """Write a torch module as TorchScript, traced with ``sample``, float32, (n, ...), outputs named as ``names``.

    Raises: ModelError.
    """
    import torch  # noqa: PLC0415 - as above

    jit: Any = torch.jit  # Any: it carries no types
    with _quietly("to TorchScript"), torch.inference_mode():
        traced = module
        if not isinstance(module, torch.jit.ScriptModule):
            wrapped = _as_dict(torch, module, names)
            traced = jit.trace(wrapped, torch.from_numpy(sample), strict=False, check_trace=False)
        jit.save(traced, str(target))


def to_int8(source: Path, target: Path, calibration: Sequence[Floats]) -> str:
    """Quantize an ONNX file; return how: ``static`` with calibration inputs, float32, (n, ...), else ``dynamic``.

    Static: weights and activations, ranges taken from the inputs. Dynamic: ranges are taken anew in each call, which is
    slower for convolutions and needs no pictures. Raises: ModelError.
    """
    with _quietly("to int8"), tempfile.TemporaryDirectory(prefix="framequeue-") as scratch:
        import onnx  # noqa: PLC0415 - only conversions need it
        from onnxruntime import quantization  # noqa: PLC0415 - as onnx

        prepared = Path(scratch) / "prepared.onnx"
        quantization.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        graph: Any = onnx.load(str(prepared))
        del graph.graph.value_info[:]  # shapes of what is about to be replaced; they would be held against it
        onnx.save(graph, str(prepared))
        opset = max((one.version for one in graph.opset_import if one.domain in {"", "ai.onnx"}), default=1)
        if not calibration:
            quantization.quantize_dynamic(str(prepared), str(target), weight_type=quantization.QuantType.QUInt8)
            return "dynamic"
        quantization.quantize_static(
            str(prepared),
            str(target),
            _reader(quantization.CalibrationDataReader, prepared, calibration),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=opset >= 13,  # older graphs cannot say which axis the scales belong to
        )
        return "static"


def _reader(base: Any, path: Path, calibration: Sequence[Floats]) -> Any:
    import onnxruntime  # noqa: PLC0415 - as its quantization

    name = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    rest = iter(calibration)

    class Reader(base):  # type: ignore[misc]  # a class that is known only now
        def get_next(self) -> dict[str, Floats] | None:
            batch = next(rest, None)
            return None if batch is None else {name: batch}

    return Reader()


def _as_tuple(torch: Any, module: Any, names: Sequence[str]) -> Any:
    """Return a module that gives its outputs as a tuple in the order of ``names``, as ONNX has them."""

    class Tuple(torch.nn.Module):  # type: ignore[misc]  # torch is imported only here
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any) -> Any:
            found = self.inner(x)
            return tuple(found[name] for name in names) if isinstance(found, dict) else found

    return Tuple()


def _as_dict(torch: Any, module: Any, names: Sequence[str]) -> Any:
    """Return a module that gives its outputs by name."""
    inner = _as_tuple(torch, module, names)

    class Dict(torch.nn.Module):  # type: ignore[misc]  # as above
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            found = self.inner(x)
            values = (found,) if isinstance(found, torch.Tensor) else found
            return dict(zip(names, values, strict=True))

    return Dict()


@contextmanager
def _quietly(doing: str) -> Iterator[None]:
    """Keep converters' notes off the screen, and make their errors ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            yield
    except ImportError as error:
        raise ModelError(
            f"the conversion {doing} needs {error.name}", advice="pip install -r deploy/requirements/dev.txt"
        ) from error
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        raise ModelError(f"the network cannot be converted {doing}: {type(error).__name__}: {text}") from error
    finally:
        logging.disable(logging.NOTSET)
