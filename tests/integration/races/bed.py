"""What tests of races share: who claims, and what is brought back."""

from __future__ import annotations

from typing import Any

from storage.job import Claim, Done
from tests.fakes.sql_queue import rows_of

WANTED: dict[str, Any] = {"lanes": ["cpu", "gpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]}
SUMMARY = {"ok": True}


def done(found: Claim, summary: dict[str, Any] | None = None) -> list[Done]:
    return [Done(segment.id, rows_of(2), summary) for segment in found.segments]
