"""The worker's shelf: exact versions of models, each loaded once, the least recently used dropped first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.device import bounded_threads
from pipeline.errors import PipelineError
from pipeline.models.base import Model, ModelShelf
from pipeline.models.card import ModelCard
from pipeline.models.check_process import Checked, check_apart
from pipeline.models.shelf import in_precision, making_room, open_model, runs_on_gpu
from storage.model_rows import Pins
from storage.objects.port import Tick, no_tick
from workers.logs import get_logger
from workers.model_files import ModelFiles, Package

log = get_logger(__name__)

#: models kept loaded, whatever their size: each has threads and an arena of its own
MAX_LOADED = 16


@dataclass(frozen=True, slots=True)
class Loaded:
    """One loaded model, the size of its weights file, and how long it took to load and warm up."""

    package: Package
    model: Model
    weights_bytes: int
    load_seconds: float


class VersionShelf:
    """Loaded models by name, version and digest; one thread.

    Of the weights at most ``max_bytes`` stay loaded beside the one in use, and at most ``max_loaded`` models.
    """

    def __init__(
        self,
        files: ModelFiles,
        *,
        device: str = "auto",
        threads: int = 0,
        precision: str = "fp32",
        max_bytes: int,
        max_loaded: int = MAX_LOADED,
    ) -> None:
        self.files = files
        self._device = device
        self._threads = bounded_threads(threads)
        self._precision = precision
        self._max_bytes = max_bytes
        self._max_loaded = max_loaded
        self._loaded: OrderedDict[tuple[str, str, str], Loaded] = OrderedDict()
        #: a model was dropped whose runtime keeps the GPU's memory for itself until the process ends
        self.holds_dead_memory = False

    def pinned(self, pins: Pins, tick: Tick = no_tick) -> ModelShelf:
        """Return the shelf as a job sees it: of the names in ``pins`` these versions, of others what the folder has.

        tick: called while weights come from the store; what it raises stops that.
        """
        return _PinnedShelf(self, pins, tick)

    def open(self, package: Package, tick: Tick = no_tick) -> Model:
        """Return the loaded model of a package, making room for it first.

        Raises: ModelUnavailable, ModelError, DeviceOutOfMemory, ObjectStoreUnavailable.
        """
        key = package.key
        if key not in self._loaded:
            path = self.files.weights(package, tick)
            size = path.stat().st_size
            self._make_room(size)
            started = time.perf_counter()
            model = self._load(package, path)
            self._loaded[key] = Loaded(package, model, size, round(time.perf_counter() - started, 6))
        self._loaded.move_to_end(key)
        return self._loaded[key].model

    def loaded(self) -> Sequence[Loaded]:
        """What is loaded now, the least recently used first."""
        return list(self._loaded.values())

    def check(self, package: Package, *, memory_bytes: int, seconds: float, tick: Tick) -> Checked:
        """Run the self-check of a version in a process of its own, as this shelf would load it.

        tick: called while weights come from the store and while it runs; what it raises stops that.
        Raises: as ``open``, and ModelError as ``check_apart``.
        """
        path = self.files.weights(package, tick)
        card = in_precision(package.card, self._precision)
        return check_apart(
            card, path, device=self._device, threads=self._threads, memory_bytes=memory_bytes, seconds=seconds,
            tick=tick,
        )  # fmt: skip

    def make_room_on_gpu(self) -> bool:
        """Unload everything if it lies on a GPU; return whether. Its memory is free when this process has ended."""
        return any(self.on_gpu(one.model.card) for one in self._loaded.values()) and self._emptied()

    def on_gpu(self, card: ModelCard) -> bool:
        """Return whether a loaded model of this card uses a GPU."""
        return runs_on_gpu(card, self._device)

    def close(self) -> None:
        """Unload everything."""
        while self._loaded:
            self._close(self._loaded.popitem(last=False)[1].model)

    def _make_room(self, size: int) -> None:
        def too_much() -> bool:
            held = sum(one.weights_bytes for one in self._loaded.values())
            return len(self._loaded) >= self._max_loaded or held + size > self._max_bytes

        while self._loaded and too_much():
            (name, version, _), oldest = self._loaded.popitem(last=False)
            log.info("model.dropped", model=name, version=version)
            self._close(oldest.model)

    def _load(self, package: Package, path: Path) -> Model:
        card = in_precision(package.card, self._precision)
        return making_room(lambda: open_model(card, package.folder, path, self._device, self._threads), self._emptied)

    def _emptied(self) -> bool:
        held = bool(self._loaded)
        self.close()
        return held

    def _close(self, model: Model) -> None:
        if self.on_gpu(model.card):
            log.info("child.ends_after_shift", reason="a model was dropped from the GPU", model=model.card.name)
            self.holds_dead_memory = True
        model.close()


class _PinnedShelf:
    """The ModelShelf of one job's versions."""

    def __init__(self, shelf: VersionShelf, pins: Pins, tick: Tick) -> None:
        self._shelf = shelf
        self._pins = pins
        self._tick = tick

    def card(self, name: str) -> ModelCard:
        return self._package(name).card

    def cards(self) -> Sequence[ModelCard]:
        own = {card.name: card for card in self._shelf.files.folders.cards()}
        for name in self._pins:
            try:
                own[name] = self.card(name)
            except PipelineError as error:  # only to be told of what there is besides
                log.debug("model.not_told", model=name, reason=str(error))
        return [own[name] for name in sorted(own)]

    def digest(self, name: str) -> str | None:
        return self._package(name).digest

    def load(self, name: str) -> Model:
        return self._shelf.open(self._package(name), self._tick)

    def close(self) -> None:
        """Nothing: what is loaded belongs to the worker's shelf."""

    def _package(self, name: str) -> Package:
        return self._shelf.files.package(name, self._pins.get(name))
