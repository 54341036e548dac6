"""Pictures and films that a run made beside its result, as the row of their job names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """One object in the store, under the key of the claim that made it; ``name`` is unique within its job."""

    name: str
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    caption: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Artifact:
        """Return the artifact that ``as_json`` gave."""
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__})
