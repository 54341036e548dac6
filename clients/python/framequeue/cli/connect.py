"""The client of one command, made when it is first needed: `--help` works without an address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from framequeue.client import Client


@dataclass(frozen=True, slots=True)
class Connect:
    """What the options before the command say."""

    url: str | None
    api_key: str | None
    timeout: float
    retries: int

    def __call__(self) -> Client:
        """Return a client. Raises: ConfigurationError."""
        from framequeue.client import Client  # noqa: PLC0415 - shell completion and --help need no HTTP

        return Client(self.api_key, self.url, timeout=self.timeout, max_retries=self.retries)
