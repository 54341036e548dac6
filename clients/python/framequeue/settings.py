"""Where the API is and which key to use: arguments, then environment, then the running embedded stack."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from framequeue.errors import ConfigurationError

#: written by ``make up`` in the folder of the repository
STATE_FILE = Path(".local/state.json")

_ADVICE = "set FRAMEQUEUE_URL and FRAMEQUEUE_API_KEY, or start the embedded stack here with `make up`"


@dataclass(frozen=True, slots=True)
class Connection:
    """Base address of the API (no slash at the end) and the key."""

    base_url: str
    api_key: str
    #: where the address comes from: "argument", "environment" or the path of the state file
    source: str = "argument"

    def __repr__(self) -> str:
        """Leave the key out of logs and tracebacks."""
        return f"Connection(base_url={self.base_url!r}, source={self.source!r})"


def find_connection(
    base_url: str | None = None,
    api_key: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Connection:
    """Return what to connect to.

    The key of the embedded stack is used only with the address of the embedded stack.
    Raises: ConfigurationError.
    """
    environ = os.environ if environ is None else environ
    url, source = base_url or environ.get("FRAMEQUEUE_URL"), "argument" if base_url else "environment"
    key = api_key or environ.get("FRAMEQUEUE_API_KEY")
    path = (folder or Path.cwd()) / STATE_FILE
    state = _state(path) if not (url and key) else {}
    if not url and state.get("api_url"):
        url, source = state["api_url"], str(path)
    if not key and url and url.rstrip("/") == state.get("api_url", "").rstrip("/"):
        key = state.get("api_key")
    if not url:
        raise ConfigurationError("no address of the API", code="client.no_url", advice=_ADVICE)
    if not key:
        raise ConfigurationError(f"no API key for {url}", code="client.no_key", advice=_ADVICE)
    return Connection(_checked(url), key.strip(), source)


def _checked(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigurationError(
            f"{url!r} is not an address of an API",
            code="client.bad_url",
            advice="it looks like https://queue.example.org",
        )
    return url.strip().rstrip("/").removesuffix("/v1")


def _state(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
