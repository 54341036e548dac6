"""docker-compose.yml as the tests of this folder read it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yml"
#: ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is a dollar for the container's shell
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z][A-Z0-9_]*)(?P<rest>[^}]*)\}")


def read_compose() -> dict[str, Any]:
    """The file as data, anchors resolved, variables as written."""
    found = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def services() -> dict[str, dict[str, Any]]:
    """Services by name."""
    return dict(read_compose()["services"])


def environment_of(service: Mapping[str, Any]) -> dict[str, Any]:
    """What a service is told; None means: passed on if set."""
    return dict(service.get("environment") or {})


def interpolated() -> set[tuple[str, str]]:
    """(name, what follows the name) of every variable the file interpolates."""
    return {(found["name"], found["rest"]) for found in VARIABLE.finditer(_without_comments())}


def passed_through() -> set[str]:
    """Names of variables that are handed to a service, or to a build, only if they are set."""
    return {
        name
        for service in services().values()
        for table in (environment_of(service), _build_args(service))
        for name, value in table.items()
        if value is None
    }


def texts(value: Any) -> Iterator[str]:
    """Every text inside some data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def _build_args(service: Mapping[str, Any]) -> dict[str, Any]:
    build = service.get("build")
    return dict(build.get("args") or {}) if isinstance(build, dict) else {}


def _without_comments() -> str:
    return "\n".join(
        line for line in COMPOSE.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
    )
