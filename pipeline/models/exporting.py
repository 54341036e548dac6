"""``models export``: a package in another format, written only where it is proved to tell the same."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError, ParamsError
from pipeline.models.card import CARD_FILE, Check, ModelCard, Weights, load_card
from pipeline.models.card_text import card_text
from pipeline.models.conversion import to_int8, to_onnx, to_torchscript
from pipeline.models.equality import Equality, network_input, same_findings, same_values, samples
from pipeline.models.loaded import LoadedModel
from pipeline.models.pull import file_digest
from pipeline.models.shelf import FolderShelf, open_model

FORMATS = ("onnx", "torchscript", "int8")
#: beside the copy's card: how it was made and what the comparison measured
REPORT_FILE = "export.json"


def export(
    shelf: FolderShelf, name: str, to: str, target: Path, *, pictures: Sequence[NDArray[np.uint8]] = ()
) -> dict[str, Any]:
    """Write the package ``name`` in another format to the new folder ``target``; return the report, plain JSON data.

    to: one of FORMATS. pictures: uint8, (h, w, 3), what the copy is compared on and, for int8, its ranges are taken
    from; without them made ones are compared on, and int8 is dynamic.
    Raises: ParamsError, ModelError where the copy is not equal (then nothing is written), ModelUnavailable.
    """
    if target.exists():
        raise ParamsError(f"{target} is there already", advice="Give another folder with --out.")
    original = open_model(shelf.card(name), shelf.folder(name), shelf.pull(name), "cpu", 0)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=target.parent))
    try:
        compared = list(pictures) or samples(original.card)
        weights = scratch / ("model.pt" if to == "torchscript" else "model.onnx")
        how = _converted(original, shelf.pull(name), to, weights, pictures)
        card = _carded(original.card, to, weights, target.name, shelf.folder(name))
        copy = open_model(card, scratch, weights, "cpu", 0)
        judge = same_findings if to == "int8" else same_values
        equality = judge(original, copy, compared)
        copy.close()
        if not equality.equal:
            raise ModelError(f"{name} as {to} is not equal: {_told(equality)}; nothing was written")
        report = {"of": name, "digest": shelf.digest(name), "to": to, "how": how, **equality.as_json()}
        (scratch / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        scratch.chmod(0o755)
        scratch.rename(target)
        return report
    finally:
        original.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _carded(card: ModelCard, to: str, weights: Path, name: str, source: Path) -> ModelCard:
    """Write the copy's card, and the check's picture, beside its weights; return the card as it reads."""
    changes: dict[str, Any] = {
        "name": name,
        "runtime": "torchscript" if to == "torchscript" else "onnx",
        "entry": None,
        "precision": "int8" if to == "int8" else "fp32",
        "description": f"{card.description} ({card.name} as {to})".strip(),
        "weights": Weights(file=weights.name, sha256=file_digest(weights), bytes=weights.stat().st_size),
    }
    if card.check is not None and not _copied(source, weights.parent, card.check):
        changes["check"] = None
    (weights.parent / CARD_FILE).write_text(card_text(card.model_copy(update=changes)), encoding="utf-8")
    return load_card(weights.parent)


def _converted(
    original: LoadedModel, source: Path, to: str, target: Path, pictures: Sequence[NDArray[np.uint8]]
) -> str:
    card, module = original.card, original.module
    if original.constants:
        raise ParamsError(
            f"{card.name} holds more than a network ({', '.join(sorted(original.constants)[:3])}), and no other format "
            "keeps it.",
            code="model.not_exportable",
            advice="Serve the package as it is.",
        )
    if to == "int8" and card.runtime == "onnx":
        return to_int8(source, target, _calibration(card, pictures))
    if module is None:
        raise ParamsError(
            f"{card.name} runs as {card.runtime} and shows no torch module to convert.",
            code="model.not_exportable",
            advice="ONNX packages can be made int8; a python network must have an attribute `module`.",
        )
    batch = network_input(card, samples(card, 2))
    batch = batch if original.fixed_batch is None else np.repeat(batch[:1], original.fixed_batch, axis=0)
    names = list(original.run(batch))
    if to == "torchscript":
        to_torchscript(module, batch, names, target)
        return "traced"
    if to == "onnx":
        to_onnx(module, batch, names, target, free_batch=original.fixed_batch is None)
        return "exported"
    with tempfile.TemporaryDirectory(prefix="framequeue-") as scratch:
        between = Path(scratch) / "fp32.onnx"
        to_onnx(module, batch, names, between, free_batch=original.fixed_batch is None)
        return to_int8(between, target, _calibration(card, pictures))


def _calibration(card: ModelCard, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    return [network_input(card, [picture]) for picture in pictures]


def _copied(source: Path, target: Path, check: Check) -> bool:
    """Copy the check's picture beside the new card; return whether it was there."""
    picture = source / check.picture
    if picture.is_file():
        shutil.copyfile(picture, target / check.picture)
    return picture.is_file()


def _told(equality: Equality) -> str:
    if equality.agreement is None:
        return f"outputs differ by {equality.max_difference:.3g}, allowed is {equality.allowed_difference:.3g}"
    return (
        f"the best finding agrees on {equality.agreement:.0%} of {equality.samples} pictures (at least "
        f"{equality.min_agreement:.0%}), its score moves by {equality.score_difference} (at most "
        f"{equality.max_score_difference})"
    )
