"""What comes with the weights of a new model version: its card, checked whole before the weights are read."""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.models.card import CARD_FILE, CardError, ModelCard, load_card
from storage.model_rows import NewVersion
from web.errors import Problem
from web.incoming import parse

#: runtimes whose files hold no code of ours to run: they may come over HTTP
RUNTIMES = ("onnx", "torchscript", "export")
#: the one kind of code that may be named: what opens networks in this release itself
OWN_CODE = re.compile(r"pipeline(\.[a-z_][a-z0-9_]*)+:open_[a-z0-9_]+")
FIELDS = frozenset({"card", "labels", "evaluation", "sha256"})

_DIGEST = re.compile(r"[0-9a-f]{64}")


def version_from_form(fields: Mapping[str, str]) -> NewVersion:
    """Read card, labels, evaluation and digest of a version from the text fields of a form.

    The labels are taken into the card. Raises: Problem with code model.card_invalid, every fault of the card named, or
    request.invalid.
    """
    faults = [_fault(name, "is no field of this call") for name in sorted(set(fields) - FIELDS)]
    if not fields.get("card"):
        faults.append(_fault("card", "the text of model.toml is needed, before the file"))
        raise Problem("request.invalid", "see faults", faults=faults)
    evaluation = _evaluation(fields.get("evaluation"), faults)
    card = _card(fields["card"], fields.get("labels"))
    digest = (fields.get("sha256") or card.weights.sha256 or "").lower()
    if not _DIGEST.fullmatch(digest):
        faults.append(_fault("sha256", "64 hex digits are needed here or in the card's weights"))
    elif card.weights.sha256 not in {None, digest}:
        faults.append(_fault("sha256", "is not the one that the card's weights have"))
    if faults:
        raise Problem("request.invalid", "see faults", faults=faults)
    weights = card.weights.model_copy(update={"sha256": digest})
    return NewVersion(
        name=card.name,
        version=card.version,
        digest=digest,
        task=card.task,
        card=card.model_copy(update={"weights": weights}).as_json(),
        evaluation=evaluation,
    )


def _card(text: str, labels: str | None) -> ModelCard:
    """Read a card as if it lay in a folder, its labels file beside it."""
    with tempfile.TemporaryDirectory(prefix="framequeue-card-") as folder:
        place = Path(folder)
        (place / CARD_FILE).write_text(text, encoding="utf-8")
        name = _labels_file(text)
        if labels is not None and name is not None:
            (place / name).write_text(labels, encoding="utf-8")
        try:
            card = load_card(place)
        except CardError as error:
            message = error.message.replace(f"{place / CARD_FILE}: ", "").replace(f"{place}/", "")
            faults = [_fault("card", one) for one in message.split("; ")]
            raise Problem("model.card_invalid", "see faults", faults=faults) from None
    if card.runtime not in RUNTIMES and not (card.runtime == "python" and OWN_CODE.fullmatch(card.entry or "")):
        reason = f"runtime: a {card.runtime} package brings code or a folder of files; over HTTP one file is taken"
        advice = "put it into the folder that the workers have as FQ_MODEL_DIR"
        raise Problem("model.card_invalid", "see faults", faults=[_fault("card", reason)], advice=advice)
    return card


def _labels_file(text: str) -> str | None:
    """Return the plain file name that the card gives for its labels; faults are told by ``load_card``."""
    try:
        output = tomllib.loads(text).get("output")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    name = output.get("labels_file") if isinstance(output, dict) else None
    plain = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name) and name != CARD_FILE
    return name if plain else None


def _evaluation(text: str | None, faults: list[dict[str, str]]) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        found = parse(text)
    except ValueError as error:
        faults.append(_fault("evaluation", f"is not JSON: {error}"))
        return None
    if not isinstance(found, dict):
        faults.append(_fault("evaluation", "is not a JSON object"))
        return None
    return found


def _fault(field: str, message: str) -> dict[str, str]:
    return {"path": f"/{field}", "message": message}
