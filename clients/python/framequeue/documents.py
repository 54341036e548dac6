"""What the API answers, as plain data: known members typed, unknown ones kept in ``raw``, missing ones None.

A newer server may add members and states; nothing here refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the JSON objects of a list; anything else is left out."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def as_text(value: Any) -> str | None:
    """Return text, or None."""
    return value if isinstance(value, str) else None


def as_number(value: Any) -> float | None:
    """Return a number, or None; true and false are no numbers."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_count(value: Any) -> int | None:
    """Return a whole number, or None."""
    number = as_number(value)
    return None if number is None else int(number)


def as_instant(value: Any) -> datetime | None:
    """Return an aware instant, or None."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a job ended ``failed`` or ``dead``: a stable code, a sentence, and what to do."""

    code: str
    message: str
    advice: str | None = None
    stage: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Fault:
        """Read the member ``error`` of a job document."""
        return cls(
            code=str(raw.get("code") or "unknown.fault"),
            message=str(raw.get("message") or ""),
            advice=as_text(raw.get("advice")),
            stage=as_text(raw.get("stage")),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class JobWarning:
    """Something that was wrong with an input but did not stop the job."""

    code: str
    message: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> JobWarning:
        """Read one of ``warnings``."""
        return cls(str(raw.get("code") or "unknown.warning"), str(raw.get("message") or ""), raw)


@dataclass(frozen=True, slots=True)
class Frame:
    """One row of a result: what was found in one frame.

    ``pts_seconds`` is the time of the frame in the video; the pipeline's own findings are reached by name:
    ``frame["boxes"]``.
    """

    index: int | None
    pts: int | None
    pts_seconds: float | None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Frame:
        """Read one row."""
        return cls(
            index=as_count(raw.get("index")),
            pts=as_count(raw.get("pts")),
            pts_seconds=as_number(raw.get("pts_seconds")),
            raw=raw,
        )

    def __getitem__(self, name: str) -> Any:
        """Return any member of the row."""
        return self.raw[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return any member of the row, or ``default``."""
        return self.raw.get(name, default)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items, and the cursor for the next ones; None on the last page."""

    items: Sequence[Item]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline this installation runs."""

    name: str
    description: str
    accepts: tuple[str, ...]
    lane: str | None
    #: JSON Schema of ``params``
    params_schema: Mapping[str, Any]
    summary_fields: Mapping[str, str]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Pipeline:
        """Read one of ``GET /v1/pipelines``."""
        accepts = raw.get("accepts")
        return cls(
            name=str(raw.get("name") or ""),
            description=str(raw.get("description") or ""),
            accepts=tuple(map(str, accepts)) if isinstance(accepts, list) else (),
            lane=as_text(raw.get("lane")),
            params_schema=as_mapping(raw.get("params_schema")),
            summary_fields={name: str(text) for name, text in as_mapping(raw.get("summary_fields")).items()},
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in presigned parts, as the server sees it."""

    id: str
    state: str
    size_bytes: int
    part_size_bytes: int
    #: numbers of the parts that have arrived whole
    arrived: frozenset[int]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def part_count(self) -> int:
        """How many parts it has; the last one may be shorter."""
        return max(1, -(-self.size_bytes // self.part_size_bytes))

    def part_size(self, number: int) -> int:
        """Return the size of part ``number`` (from 1), in bytes."""
        return min(self.part_size_bytes, self.size_bytes - (number - 1) * self.part_size_bytes)
