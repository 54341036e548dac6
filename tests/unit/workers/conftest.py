"""Fixtures of several tests of workers: the world a runner lives in, and names that resolve as a test wants."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.runner_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Names and, for each time they are asked for, their addresses; after the last there is no such name."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolver(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in answers:
            return real(host, port, *args, **kwargs)
        addresses = answers[host].pop(0) if answers[host] else []
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [item for address in addresses for item in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return answers
