"""What this installation can run: pipelines, as workers registered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from storage.database import Database
from storage.jsonb import dump


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """One row of ``pipelines``; ``spec`` is the pipeline's own description as JSON (see pipeline.spec)."""

    name: str
    spec_version: int
    lane: str
    spec: Mapping[str, Any]
    updated_at: datetime


_REGISTER_PIPELINE = text("""
    INSERT INTO pipelines AS p (name, spec_version, lane, spec)
    VALUES (:name, :spec_version, :lane, CAST(:spec AS jsonb))
    ON CONFLICT (name) DO UPDATE SET
        spec_version = excluded.spec_version, lane = excluded.lane, spec = excluded.spec, updated_at = clock_timestamp()
    WHERE p.spec_version <= excluded.spec_version
        AND (p.spec_version, p.lane, p.spec) IS DISTINCT FROM (excluded.spec_version, excluded.lane, excluded.spec)
""")

_PIPELINES = text("SELECT name, spec_version, lane, spec, updated_at FROM pipelines ORDER BY name")


class Registry:
    """Upserts by workers and ``migrate``, reads by web."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register_pipeline(self, name: str, *, spec_version: int, lane: str, spec: Mapping[str, Any]) -> None:
        """Insert or update; an older spec_version never replaces a newer one."""
        row = {"name": name, "spec_version": spec_version, "lane": lane, "spec": dump(spec)}
        with self._database.transaction() as connection:
            connection.execute(_REGISTER_PIPELINE, row)

    def pipelines(self) -> Sequence[PipelineRow]:
        """By name."""
        with self._database.transaction() as connection:
            return [PipelineRow(**row._mapping) for row in connection.execute(_PIPELINES)]
