"""Start-time fair queueing: where a job stands in its lane.

A flow is (lane, tenant, priority). A job's tag is the larger of the lane's virtual time and the finish of its
flow's last job, and the flow's finish moves on by cost / weight; claims go by tag alone. A tenant's flood thus
lines up behind itself, and another tenant's single job starts at the virtual time, in front of the flood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.job import PRIORITY_WEIGHT, Priority
from storage.jsonb import dump

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

# Flows are locked in the order of their key. One that was forgotten meanwhile (its finish had been passed) comes back
# with what the plans found.
_CORRECT = text("""
    WITH given AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:flows AS jsonb)) AS g (
            lane text, tenant text, priority text, finish double precision, difference double precision)
    ), locked AS MATERIALIZED (
        SELECT lane, tenant, priority FROM flows f JOIN given g USING (lane, tenant, priority)
        ORDER BY lane, tenant, priority FOR NO KEY UPDATE OF f
    ), moved AS (
        UPDATE flows f SET finish = f.finish + g.difference FROM locked JOIN given g USING (lane, tenant, priority)
        WHERE (f.lane, f.tenant, f.priority) = (g.lane, g.tenant, g.priority)
    )
    INSERT INTO flows AS f (lane, tenant, priority, finish)
    SELECT lane, tenant, priority, finish FROM given
    WHERE (lane, tenant, priority) NOT IN (SELECT lane, tenant, priority FROM locked)
    ORDER BY lane, tenant, priority
    ON CONFLICT (lane, tenant, priority) DO UPDATE SET finish = greatest(f.finish, excluded.finish)
""")


@dataclass(frozen=True, slots=True)
class Correction:
    """What a plan found out about work that came in at ``tag`` with a predicted cost."""

    lane: str
    tenant: str
    priority: Priority
    tag: float
    predicted_seconds: float
    actual_seconds: float


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


def correct(connection: Connection, corrections: Sequence[Correction]) -> None:
    """Put flows where they would be had the true cost been known when the work came in."""
    flows: dict[tuple[str, str, Priority], tuple[float, float]] = {}
    for one in corrections:
        if one.priority is Priority.URGENT or one.predicted_seconds == one.actual_seconds:
            continue
        place = (one.lane, one.tenant, one.priority)
        finish, difference = flows.get(place, (-math.inf, 0.0))
        actual = step(one.priority, one.actual_seconds)
        flows[place] = max(finish, one.tag + actual), difference + actual - step(one.priority, one.predicted_seconds)
    if flows:
        records = [
            {"lane": lane, "tenant": tenant, "priority": priority, "finish": finish, "difference": difference}
            for (lane, tenant, priority), (finish, difference) in flows.items()
        ]
        connection.execute(_CORRECT, {"flows": dump(records)})
