"""The process in which a model is checked that nobody here vouches for; started by ``check_process``.

Reads what to do from standard input, and writes what came of it to standard output, which the model itself cannot reach
by printing.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.cage_limits import die_with
from pipeline.device import own_error
from pipeline.models.card import ModelCard
from pipeline.models.check import self_check
from pipeline.models.shelf import open_model, runs_on_gpu

#: there where NVIDIA's driver is
GPU = Path("/dev/nvidiactl")
#: what takes a second or more to import
_LIBRARIES = {"onnx": "onnxruntime", "torchscript": "torch", "export": "torch"}


def main(life: int) -> None:
    """Accept the limits, check, and tell. life: read end of a pipe that ends with the parent."""
    asked = json.load(sys.stdin)
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    die_with(life, asked["parent"], main_thread=asked["main_thread"])
    _limit(resource.RLIMIT_FSIZE, asked["file_bytes"])
    _limit(resource.RLIMIT_CORE, 0)
    if asked["device"] == "cpu" or not GPU.exists():  # runtimes of GPUs set aside more than they ever use
        _limit(resource.RLIMIT_DATA, asked["memory_bytes"])
    with told:
        json.dump(_checked(asked), told)


def _limit(limit: int, most: int) -> None:
    resource.setrlimit(limit, (most, most))


def _checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    card, weights = ModelCard.model_validate(asked["card"]), Path(asked["weights"])
    try:
        if card.runtime in _LIBRARIES:
            importlib.import_module(_LIBRARIES[card.runtime])  # a worker pays for that but once
        started = time.perf_counter()
        model = open_model(card, weights.parent, weights, asked["device"], asked["threads"])
        load_seconds = round(time.perf_counter() - started, 6)
        report = self_check(model).as_json()
        return {"report": report, "load_seconds": load_seconds, "on_gpu": runs_on_gpu(card, asked["device"])}
    except Exception as error:  # noqa: BLE001 - weights may break in any way, and all of them are to be told
        fault = own_error(error, f"{card.name} failed")
        message = fault.message.replace(f"{weights.parent}/", "").replace(str(weights.parent), "its folder")
        return {"error": {"code": fault.code, "message": message, "advice": fault.advice}}


if __name__ == "__main__":
    main(int(sys.argv[1]))
