"""Things named in words: Grounding DINO finds them, SAM 2 outlines them; folders in the layout of transformers.

Loaded as ``transformers_runtime`` loads: a mounted folder, safetensors, nothing fetched, no code of the folder run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device import own_error
from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.outputs import Outputs
from pipeline.models.torch_forward import TorchForward
from pipeline.models.transformers_runtime import folder_facts, open_library

#: below the package's folder: the model that outlines, for task ``segment``
OUTLINER = "sam2"
#: boxes of one picture that are outlined, best first
MAX_OUTLINED = 50


class GroundedForward(TorchForward):
    """Finds the card's labels, which are phrases such as "red helmet", in pictures prepared as the card says.

    Outputs for task detect: ``logits`` (n, queries, labels), probabilities, and ``boxes`` (n, queries, 4), centre x, y,
    width, height as parts (decoder ``detr``). For task segment: ``boxes`` (n, k, 4), x1 y1 x2 y2 as parts, ``scores``
    and ``classes`` (n, k), ``masks`` (n, k, rows, columns), 0-1, over the whole input (decoder ``instances``).
    """

    def __init__(self, card: ModelCard, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """path: the finder's weights. threads: of the whole process, 0 leaves them.

        Raises: ModelUnavailable where the library is missing, ModelError, DeviceOutOfMemory.
        """
        folder = path.parent
        folders = [folder, folder / OUTLINER] if card.task == "segment" else [folder]
        for one in folders:
            folder_facts(card, one)
        library = open_library(card)
        super().__init__(device, threads)
        torch = self.torch
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        weights: dict[str, Any] = {**local, "use_safetensors": True, "dtype": torch.float32}
        try:
            tokenizer = library.AutoTokenizer.from_pretrained(folder, **local)
            self._words, self._places = _phrases(torch, tokenizer, card.output.labels)
            finder = library.GroundingDinoForObjectDetection.from_pretrained(folder, **weights)
            self._finder: Any = finder.eval().to(self.device)
            self._outliner: Any = None
            if card.task == "segment":
                outliner = library.Sam2Model.from_pretrained(folder / OUTLINER, **weights)
                self._outliner = outliner.eval().to(self.device)
        except Exception as error:
            raise own_error(error, f"{card.name} cannot be loaded") from error
        if self._words["input_ids"].shape[1] > finder.config.max_text_len:
            raise ModelError(f"{card.name}: its labels are more words than the model reads at once")

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one batch, float32, (n, 3, h, w)."""
        torch = self.torch
        with torch.inference_mode():
            pictures = torch.from_numpy(batch).to(self.device)
            words = {name: value.repeat(len(batch), 1).to(self.device) for name, value in self._words.items()}
            found = self._finder(pixel_values=pictures, **words)
            chances = found.logits.sigmoid()
            # A phrase is as likely as its likeliest word (Liu et al. 2023, "Grounding DINO", section 3).
            scores = torch.stack([chances[:, :, places].amax(dim=2) for places in self._places], dim=2)
            if self._outliner is None:
                return {"logits": scores.cpu().numpy(), "boxes": found.pred_boxes.cpu().numpy()}
            return self._outlined(pictures, scores, found.pred_boxes)

    def close(self) -> None:
        """Free both models and give their memory back to the device."""
        self._finder = self._outliner = None
        super().close()

    def _outlined(self, pictures: Any, scores: Any, centred: Any) -> Outputs:
        torch = self.torch
        best, classes = scores.max(dim=2)
        best, order = best.topk(min(MAX_OUTLINED, best.shape[1]), dim=1)
        classes = classes.gather(1, order)
        centred = centred.gather(1, order[:, :, None].expand(-1, -1, 4))
        half = centred[:, :, 2:] / 2
        boxes = torch.cat([centred[:, :, :2] - half, centred[:, :, :2] + half], dim=2).clamp(0, 1)
        side = int(self._outliner.config.prompt_encoder_config.image_size)
        square = torch.nn.functional.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
        told = self._outliner(pixel_values=square, input_boxes=boxes * side, multimask_output=False)
        found = {"boxes": boxes, "scores": best, "classes": classes, "masks": told.pred_masks[:, :, 0].sigmoid()}
        return {name: value.float().cpu().numpy() for name, value in found.items()}


def _phrases(torch: Any, tokenizer: Any, labels: Sequence[str]) -> tuple[dict[str, Any], list[list[int]]]:
    """Return the tokens of "label. label. ..." and, per label, the places of its own among them. Raises: ModelError."""
    text, spans = "", []
    for label in labels:
        spans.append((len(text), len(text) + len(label)))
        text += f"{label.lower()}. "
    told = tokenizer(text.strip(), return_offsets_mapping=True)
    offsets = told["offset_mapping"]
    places = [
        [place for place, (start, end) in enumerate(offsets) if start < end and first <= start and end <= last]
        for first, last in spans
    ]
    if not all(places):
        raise ModelError(f"the label {labels[places.index([])]!r} is no word to this model")
    ids = torch.tensor([told["input_ids"]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}, places
