"""Networks that a function of ours, or of the operator's, makes of the weights."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pipeline.device import own_error
from pipeline.errors import ModelError
from pipeline.models.card import ModelCard

if TYPE_CHECKING:
    from pipeline.models.loaded import Forward


def open_entry(card: ModelCard, folder: Path, weights: Path, *, device: str = "auto", threads: int = 0) -> Forward:
    """Call the card's ``entry`` with (weights, device, threads) and return the network it makes.

    folder: where the card lies; an entry ``model.py:open`` is read from there, which only an operator can write to.
    Raises: ModelError, DeviceOutOfMemory.
    """
    place, _, name = (card.entry or "").partition(":")
    try:
        module = _file_module(card, folder / place) if place.endswith(".py") else importlib.import_module(place)
        opener: Callable[[Path, str, int], Forward] = getattr(module, name)
        if opener.__module__ != module.__name__:
            raise ModelError(f"{name} is not a function of {place}, which only imports it")
        return opener(weights, device, threads)
    except Exception as error:
        raise own_error(error, f"{card.name} cannot be loaded") from error


def _file_module(card: ModelCard, path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"framequeue_model_{card.name.replace('-', '_')}", path)
    if found is None or found.loader is None or not path.is_file():
        raise ModelError(f"{card.name}: there is no file {path.name} beside the card")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
