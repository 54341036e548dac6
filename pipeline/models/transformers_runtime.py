"""Image-text models in the layout of the library transformers, from a folder that an operator mounts.

The library is optional (``deploy/requirements/hub.txt``) and is imported when the first such model is loaded. Nothing
is fetched (``local_files_only``), no code of the folder is run (``trust_remote_code=False``), weights are safetensors.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device import own_error
from pipeline.errors import ModelError, ModelUnavailable
from pipeline.models.card import ModelCard
from pipeline.models.outputs import Outputs
from pipeline.models.torch_forward import TorchForward

#: longest caption or answer, in tokens
MAX_TOKENS = 96
#: what a chatting model is asked where a caption is wanted
CAPTION_PROMPT = "Describe this picture in one sentence."


class TextForward(TorchForward):
    """One image-text model: BLIP for captions or for questions, or any that transformers calls image-text-to-text."""

    def __init__(self, card: ModelCard, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """path: the weights, with all that belongs to them in the same folder. threads: of the process, 0 leaves them.

        Raises: ModelUnavailable where the library is missing, ModelError, DeviceOutOfMemory.
        """
        facts = folder_facts(card, path.parent)
        library = open_library(card)
        super().__init__(device, threads)
        self._name = card.name
        self._kind = _kind(facts)
        #: what a sample is asked
        self.sample_prompt = "What is this?" if self._kind == "vqa" else None
        self.kind = self.reduced(card.precision)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            loader = getattr(library, _LOADERS[self._kind])
            self._processor: Any = library.AutoProcessor.from_pretrained(path.parent, **local)
            model = loader.from_pretrained(path.parent, use_safetensors=True, dtype=self.kind, **local)
            self._model: Any = model.eval().to(self.device)
        except Exception as error:
            raise own_error(error, f"{card.name} cannot be loaded") from error

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Raises: ModelError, always; this model speaks through ``describe``."""
        raise ModelError(f"{self._name} is a text model: it tells no findings")

    def describe(self, images: Sequence[NDArray[np.uint8]], prompt: str | None) -> list[str]:
        """Return one text per image, greedily decoded, so that it is the same each time.

        images: uint8, (h, w, 3), RGB. prompt: None for a caption. Raises: ModelError, and whatever the library raises.
        """
        from PIL import Image  # noqa: PLC0415 - the library's processors want its pictures

        if prompt is None and self._kind == "vqa":
            raise ModelError(f"{self._name} answers questions only; a caption needs another model")
        if prompt is not None and self._kind == "caption":
            raise ModelError(f"{self._name} makes captions only; a question needs another model")
        pictures = [Image.fromarray(image) for image in images]
        inputs = self._inputs(pictures, prompt).to(self.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self.kind)
        with self.torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False, num_beams=1)
        if self._kind == "chat":  # what was asked comes back before what is said
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]

    def close(self) -> None:
        """Free the model and give its memory back to the device."""
        self._model = None
        super().close()

    def _inputs(self, pictures: Sequence[Any], prompt: str | None) -> Any:
        if self._kind == "caption":
            return self._processor(images=list(pictures), return_tensors="pt")
        if self._kind == "vqa":
            return self._processor(images=list(pictures), text=[prompt] * len(pictures), return_tensors="pt")
        text = self._asked(prompt or CAPTION_PROMPT)
        nested = [[picture] for picture in pictures]  # a list per text: some processors take several pictures to one
        return self._processor(images=nested, text=[text] * len(pictures), return_tensors="pt", padding=True)

    def _asked(self, prompt: str) -> str:
        if getattr(self._processor, "chat_template", None):
            turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}
            return str(self._processor.apply_chat_template([turn], add_generation_prompt=True))
        return f"{getattr(self._processor, 'image_token', '<image>')}\n{prompt}"


_LOADERS = {
    "caption": "BlipForConditionalGeneration",
    "vqa": "BlipForQuestionAnswering",
    "chat": "AutoModelForImageTextToText",
}


def open_library(card: ModelCard) -> Any:
    """Return transformers. Raises: ModelUnavailable where it is missing."""
    try:
        library: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise ModelUnavailable(
            f"{card.name} needs the library {error.name}", advice="pip install -r deploy/requirements/hub.txt"
        ) from error
    # Without this the library would draw its progress over the worker's log.
    library.utils.logging.disable_progress_bar()
    return library


def folder_facts(card: ModelCard, folder: Path) -> dict[str, Any]:
    """Return the folder's config.json. Raises: ModelError where there is none, or it asks for code of its own."""
    try:
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names_code = "auto_map" in facts
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"{card.name}: no config.json of transformers lies beside the weights",
            advice="Put model.toml into the folder as it was downloaded, and mount it for the workers.",
        ) from error
    if names_code or not isinstance(facts, dict):
        raise ModelError(f"{card.name}: its config.json names Python code of its own, which is not run")
    return facts


def _kind(facts: dict[str, Any]) -> str:
    if facts.get("model_type") != "blip":
        return "chat"
    return "vqa" if any("QuestionAnswering" in name for name in facts.get("architectures") or ()) else "caption"
