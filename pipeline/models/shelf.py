"""The shelf: cards in folders, weights by digest, each model loaded once."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.device import bounded_threads
from pipeline.errors import DeviceOutOfMemory, ParamsError
from pipeline.models.base import Model
from pipeline.models.card import CARD_FILE, CardError, ModelCard, load_card
from pipeline.models.loaded import Forward, LoadedModel
from pipeline.models.pull import file_digest, find_weights, pull_weights

#: cards that come with the project
BUILT_IN = Path(__file__).resolve().parents[2] / "models"
#: where fetched weights are kept unless told
DEFAULT_CACHE = Path.home() / ".cache" / "framequeue" / "models"


#: loads the weights of a card: (card, folder of the card, weights file, device, threads)
Runtime = Callable[[ModelCard, Path, Path, str, int], Forward]


@dataclass(frozen=True, slots=True)
class _Package:
    card: ModelCard
    folder: Path


class FolderShelf:
    """The ModelShelf over folders of model packages (``<folder>/<name>/model.toml``); safe for several threads.

    A name in a later folder replaces the same name of an earlier one. Cards are read when the shelf is made; one that
    is broken does not hide the others: it is in ``faults``, and asking for it says what is wrong. At most
    ``max_loaded`` models stay loaded, the least recently used goes first. ``runtime``: another way to load
    weights.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        cache_dir: Path,
        mirror: str | None = None,
        device: str = "auto",
        threads: int = 0,
        precision: str = "fp32",
        max_loaded: int = 4,
        runtime: Runtime | None = None,
    ) -> None:
        self._cache_dir = cache_dir
        self._mirror = mirror
        self._device = device
        #: of one model call
        self.threads = bounded_threads(threads)
        self._precision = precision
        self._max_loaded = max_loaded
        self._runtime = runtime or open_weights
        self._lock = threading.RLock()
        self._loaded: OrderedDict[str, Model] = OrderedDict()
        self._packages: dict[str, _Package] = {}
        #: folder name -> what is wrong with its card
        self.faults: dict[str, CardError] = {}
        for folder in folders:
            self._read(folder)

    def card(self, name: str) -> ModelCard:
        """Raises: ParamsError with code ``model.unknown``."""
        return self._package(name).card

    def cards(self) -> Sequence[ModelCard]:
        """All cards on offer, by name."""
        return [self._packages[name].card for name in sorted(self._packages)]

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of a model's weights: the card's, or that of the file beside it; None where absent.

        Raises: ParamsError with code ``model.unknown``.
        """
        package = self._package(name)
        beside = package.folder / package.card.weights.file
        return package.card.weights.sha256 or (file_digest(beside) if beside.is_file() else None)

    def folder(self, name: str) -> Path:
        """Return the folder of a model's card. Raises: ParamsError with code ``model.unknown``."""
        return self._package(name).folder

    def weights(self, name: str) -> Path | None:
        """Return where a model's weights lie on this machine, None where they do not. Raises as ``pull``."""
        package = self._package(name)
        return find_weights(package.card, package.folder, self._cache_dir)

    def pull(self, name: str) -> Path:
        """Make sure that a model's weights are on this machine. Raises: ParamsError, ModelUnavailable."""
        package = self._package(name)
        return pull_weights(package.card, package.folder, self._cache_dir, mirror=self._mirror)

    def load(self, name: str) -> Model:
        """Return the loaded model, pulling weights by digest first if need be.

        Raises: ParamsError, ModelUnavailable, ModelError, DeviceOutOfMemory.
        """
        with self._lock:
            if name not in self._loaded:
                path = self.pull(name)
                while len(self._loaded) >= self._max_loaded:
                    self._evict_oldest()
                self._loaded[name] = self._open(name, path)
            self._loaded.move_to_end(name)
            return self._loaded[name]

    def evict(self, name: str) -> None:
        """Unload one model, if it is loaded."""
        with self._lock:
            model = self._loaded.pop(name, None)
            if model is not None:
                model.close()

    def close(self) -> None:
        """Unload everything."""
        with self._lock:
            while self._loaded:
                self._evict_oldest()

    def _open(self, name: str, path: Path) -> Model:
        card, folder = in_precision(self.card(name), self._precision), self.folder(name)
        return making_room(
            lambda: open_model(card, folder, path, self._device, self.threads, runtime=self._runtime), self._emptied
        )

    def _emptied(self) -> bool:
        held = bool(self._loaded)
        self.close()
        return held

    def _evict_oldest(self) -> None:
        _, model = self._loaded.popitem(last=False)
        model.close()

    def _package(self, name: str) -> _Package:
        if name in self.faults and name not in self._packages:
            raise self.faults[name]
        if name not in self._packages:
            raise ParamsError(
                f"There is no model {name!r} here.",
                code="model.unknown",
                advice=f"Known models: {', '.join(sorted(self._packages)) or 'none'}.",
            )
        return self._packages[name]

    def _read(self, folder: Path) -> None:
        for path in sorted(folder.glob(f"*/{CARD_FILE}")):
            try:
                card = load_card(path.parent)
            except CardError as error:
                self.faults[path.parent.name] = error
            else:
                self._packages[card.name] = _Package(card, path.parent)


def open_shelf(
    *,
    model_dir: Path | None = None,
    cache_dir: Path | None = None,
    mirror: str | None = None,
    device: str = "auto",
    threads: int = 0,
    precision: str = "fp32",
) -> FolderShelf:
    """Return the shelf of the built-in cards and, where given, of a user's folder, which goes before them.

    cache_dir: where fetched weights are kept, ``~/.cache/framequeue/models`` unless told. mirror: see ``pull_weights``.
    device: auto, cpu, cuda or cuda:<n>. threads: of one model call; 0 for the cores this process may use, at most 8.
    precision: fp16 or bf16 runs models that allow a choice (TorchScript on a GPU) in it, whatever their card says.
    """
    folders = [BUILT_IN] if model_dir is None else [BUILT_IN, model_dir]
    cache = cache_dir or DEFAULT_CACHE
    return FolderShelf(folders, cache_dir=cache, mirror=mirror, device=device, threads=threads, precision=precision)


def open_model(
    card: ModelCard, folder: Path, path: Path, device: str, threads: int, *, runtime: Runtime | None = None
) -> LoadedModel:
    """Load weights and run them once, so that the first job does not wait for it and a misfit is told now.

    The network of a ``tensors`` card is not run: only its pipeline knows what it takes. Raises: as ``open_weights``.
    """
    model = LoadedModel(card, (runtime or open_weights)(card, folder, path, device, threads))
    try:
        if card.task != "tensors":
            model.warm_up()
    except BaseException:
        model.close()
        raise
    return model


def in_precision(card: ModelCard, precision: str) -> ModelCard:
    """Return the card of a model as it runs where ``precision`` is wanted; fp32 leaves each its own."""
    if precision == "fp32" or card.runtime != "torchscript":  # the others compute as they were exported
        return card
    return card.model_copy(update={"precision": precision})


def making_room(load: Callable[[], LoadedModel], emptied: Callable[[], bool]) -> LoadedModel:
    """Load a model; where memory is short, once more when all others are gone. emptied: whether there were any.

    They can be loaded again, and this one is wanted now. Raises: as ``open_model``.
    """
    try:
        return load()
    except DeviceOutOfMemory:
        if not emptied():
            raise
    return load()


def open_weights(card: ModelCard, folder: Path, path: Path, device: str, threads: int) -> Forward:
    """Load weights with the card's runtime, which is imported only now. Raises: ModelError, DeviceOutOfMemory."""
    if card.runtime == "python":
        from pipeline.models.python_runtime import open_entry  # noqa: PLC0415 - as the other two

        return open_entry(card, folder, path, device=device, threads=threads)
    if card.runtime == "torchscript":
        from pipeline.models.torchscript_runtime import TorchScriptForward  # noqa: PLC0415 - see that module

        return TorchScriptForward(card, path, device=device, threads=threads)
    if card.runtime == "transformers" and card.task != "text":
        from pipeline.models.grounded_runtime import GroundedForward  # noqa: PLC0415 - an optional library

        return GroundedForward(card, path, device=device, threads=threads)
    if card.runtime == "transformers":
        from pipeline.models.transformers_runtime import TextForward  # noqa: PLC0415 - an optional library

        return TextForward(card, path, device=device, threads=threads)
    if card.runtime == "export":
        from pipeline.models.export_runtime import ExportForward  # noqa: PLC0415 - see that module

        return ExportForward(card, path, device=device, threads=threads)
    from pipeline.models.onnx_runtime import OnnxForward  # noqa: PLC0415 - motion needs no runtime

    return OnnxForward(card, path, device=device, threads=threads)


def runs_on_gpu(card: ModelCard, device: str, modules: Mapping[str, Any] = sys.modules) -> bool:
    """Return whether a loaded model of this card uses a GPU in this process; imports nothing.

    device: what was wanted.
    """
    if device == "cpu":
        return False
    if card.runtime == "onnx":
        runtime = modules.get("onnxruntime")
        return runtime is not None and "CUDAExecutionProvider" in runtime.get_available_providers()
    torch = modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
