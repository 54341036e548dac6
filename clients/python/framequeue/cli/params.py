"""Options that hold values: ``--param sampler.stride=5``, ``--params '{"width": 640}'``, ``--metadata k=v``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click


def read_params(text: str | None, single: Sequence[str]) -> dict[str, Any]:
    """Return params from a JSON text (or ``@file``), with single ones laid over it.

    Raises: click.BadParameter.
    """
    params = _document(text) if text else {}
    for item in single:
        name, value = _pair(item, "--param")
        _set(params, name, value)
    return params


def read_metadata(items: Sequence[str]) -> dict[str, str]:
    """Return labels; their values are text. Raises: click.BadParameter."""
    return dict(_pair(item, "--metadata") for item in items)


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise click.BadParameter(f"{text[1:]}: {error.strerror}", param_hint="--params") from error
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--params") from error
    if not isinstance(found, dict):
        raise click.BadParameter("a JSON object is needed", param_hint="--params")
    return found


def _pair(item: str, option: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{item!r} is not name=value", param_hint=option)
    return name, value


def _set(params: dict[str, Any], path: str, text: str) -> None:
    """Set ``a.b.c`` to a value: JSON if it reads as JSON, else text."""
    *parents, last = path.split(".")
    place = params
    for name in parents:
        inner = place.get(name)
        place[name] = dict(inner) if isinstance(inner, Mapping) else {}
        place = place[name]
    try:
        place[last] = json.loads(text)
    except ValueError:
        place[last] = text
