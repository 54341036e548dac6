"""Start-time fair queueing: where a job stands in its lane.

A flow is (lane, tenant, priority). A job's tag is the larger of the lane's virtual time and the finish of its
flow's last job, and the flow's finish moves on by cost / weight; claims go by tag alone. A tenant's flood thus
lines up behind itself, and another tenant's single job starts at the virtual time, in front of the flood.
"""

from __future__ import annotations

import math

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.job import PRIORITY_WEIGHT, Priority

#: tag of strict urgent work: before every other
URGENT_TAG = -math.inf

#: tag of a segment ``s`` that comes back: not before the virtual time, so that an old tag is no privilege
RETURN_TAG = """CASE WHEN s.tag = '-infinity' THEN s.tag
    ELSE greatest(s.tag, coalesce((SELECT v FROM lanes WHERE lanes.lane = s.lane), 0)) END"""

# The flow's row is locked until the transaction ends, so two jobs of a flow never get the same tag.
_ADMIT = text("""
    INSERT INTO flows AS f (lane, tenant, priority, finish)
    VALUES (:lane, :tenant, :priority, coalesce((SELECT v FROM lanes WHERE lane = :lane), 0) + :step)
    ON CONFLICT (lane, tenant, priority) DO UPDATE SET
        finish = greatest(f.finish, coalesce((SELECT v FROM lanes WHERE lanes.lane = excluded.lane), 0)) + :step
    RETURNING finish - :step
""")

# A flow that was forgotten meanwhile (its finish had been passed) comes back with what the plan found.
_CORRECT = text("""
    INSERT INTO flows AS f (lane, tenant, priority, finish) VALUES (:lane, :tenant, :priority, :finish)
    ON CONFLICT (lane, tenant, priority) DO UPDATE SET finish = f.finish + :difference
""")


def step(priority: Priority, cost_seconds: float) -> float:
    """Return by how much work of this cost moves its flow on; urgent work moves nothing."""
    return 0.0 if priority is Priority.URGENT else cost_seconds / PRIORITY_WEIGHT[priority]


def admit(connection: Connection, *, lane: str, tenant: str, priority: Priority, cost_seconds: float) -> float:
    """Return the start tag of new work and move its flow on."""
    if priority is Priority.URGENT:
        return URGENT_TAG
    place = {"lane": lane, "tenant": tenant, "priority": priority.value}
    tag = connection.execute(_ADMIT, place | {"step": step(priority, cost_seconds)}).scalar_one()
    return float(tag)


def correct(
    connection: Connection,
    *,
    lane: str,
    tenant: str,
    priority: Priority,
    tag: float,
    predicted_seconds: float,
    actual_seconds: float,
) -> None:
    """Put the flow where it would be had the true cost been known when the work came in."""
    if priority is Priority.URGENT or predicted_seconds == actual_seconds:
        return
    place = {"lane": lane, "tenant": tenant, "priority": priority.value}
    difference = step(priority, actual_seconds) - step(priority, predicted_seconds)
    connection.execute(_CORRECT, place | {"finish": tag + step(priority, actual_seconds), "difference": difference})
