"""A card as TOML again, for packages that are made of others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.models.card import ModelCard


def card_text(card: ModelCard) -> str:
    """Return a ``model.toml`` that reads as this card; what equals the default is left out."""
    data = card.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    data["output"].pop("labels_file", None)  # its lines are in ``labels``
    return "\n".join(_table(data, ())) + "\n"


def _table(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    tables = {name: value for name, value in data.items() if isinstance(value, Mapping)}
    lines = [f"[{'.'.join(map(_key, path))}]"] if path else []
    lines += [f"{_key(name)} = {_value(value)}" for name, value in data.items() if name not in tables]
    for name, value in tables.items():
        lines += ["", *_table(value, (*path, name))]
    return lines


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, str):  # a JSON string is a TOML basic string, but for the delete character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return json.dumps(value)
