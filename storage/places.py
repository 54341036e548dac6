"""Where a queued job stands: counted to a thousand, beyond that by how dense the tags lie."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.answers import QueuePlace
from storage.job import Job

#: segments counted one by one
EXACT = 1000

_OWN = text("""
    SELECT id::text AS id, tag, lane, size_class FROM segments
    WHERE job_id = CAST(:job_id AS uuid) AND run = :run AND state IN ('ready', 'waiting')
    ORDER BY tag, id LIMIT 1
""")

_AHEAD = text("""
    SELECT count(*) AS segments, count(DISTINCT job_id) AS jobs, coalesce(sum(cost_seconds), 0) AS seconds,
        max(tag) AS last_tag, min(tag) FILTER (WHERE tag > '-infinity') AS first_tag
    FROM (
        SELECT job_id, cost_seconds, tag FROM segments
        WHERE state = 'ready' AND lane = :lane AND size_class = :size_class
            AND (tag, id) < (:tag, CAST(:id AS uuid)) AND job_id <> CAST(:job_id AS uuid)
        ORDER BY tag, id LIMIT :limit
    ) AS ahead
""")


def place_of(connection: Connection, job: Job) -> QueuePlace | None:
    """Return where a job stands in its lane, None when no segment of it waits for a worker."""
    own = connection.execute(_OWN, {"job_id": job.id, "run": job.run}).one_or_none()
    if own is None:
        return None
    limits = {"job_id": job.id, "limit": EXACT + 1}
    return place(own.tag, connection.execute(_AHEAD, own._asdict() | limits).one())


def place(own_tag: float, ahead: Row[Any]) -> QueuePlace:
    """Judge from the first thousand and one segments ahead; past them, tags are taken to go on as densely."""
    if ahead.segments <= EXACT:
        return QueuePlace(ahead.jobs, exact=True, seconds_ahead=float(ahead.seconds))
    stretch = 1.0
    if ahead.first_tag is not None and ahead.last_tag > ahead.first_tag and math.isfinite(own_tag):
        stretch = max(1.0, (own_tag - ahead.first_tag) / (ahead.last_tag - ahead.first_tag))
    return QueuePlace(round(ahead.jobs * stretch), exact=False, seconds_ahead=float(ahead.seconds) * stretch)
