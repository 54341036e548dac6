"""What ``job_events`` can tell: every kind of event, and reading a job's own.

Append-only; each row is written in the transaction of the change it tells of, and names job and run, and segment,
claim and worker where there are such. An event of a claim carries the run in which the claim was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.job import Bury, Claim, Done, Failed, GiveBack, Outcome, Retry
from storage.jsonb import dump

#: kind -> what happened
KINDS: Mapping[str, str] = {
    "submitted": "The job was accepted and committed.",
    "queued": "The job waits in its lane: its input has come, or nobody has a segment of it in hand any more.",
    "claimed": "A worker took the segment under a new claim.",
    "running": "A worker has begun on a job that was waiting.",
    "planned": "The input was cut into this many segments.",
    "done": "The result of the segment was accepted; data names its rows.",
    "rejected": "The segment cannot be done, by the input's or the request's fault.",
    "buried": "The segment was given up: its attempts are used up, or the infrastructure was away for too long.",
    "retried": "The segment failed, was charged an attempt and will be tried again.",
    "held_up": "The infrastructure failed under the segment; nobody is charged and it will be tried again.",
    "given_back": "The worker returned the segment unfinished; nobody is charged.",
    "lost": "The worker died or fell silent with the segment in hand.",
    "refused": "An outcome came too late and changed nothing; data says which and why.",
    "due": "The segment's waiting time is over.",
    "merging": "Every segment has ended; their rows are ready to be merged.",
    "succeeded": "The run ended with a result.",
    "failed": "The run ended by the input's or the request's fault.",
    "dead": "The run ended by a fault of ours; an operator can replay it.",
    "canceled": "The run was canceled.",
    "discarded": "An operator took the dead job off the lists.",
    "input_deleted": "The input was deleted, for its time was over: the job cannot be replayed any more.",
    "results_deleted": "The result rows were deleted, for their time was over.",
    "webhook": "A webhook that tells of the run's end was put into the outbox, or its delivery has ended.",
    "replayed": "A new run was ordered; data says from which state, and whether done segments were kept.",
}

#: how a ``refused`` event calls the outcome that was refused; a plan is called ``plan``
OUTCOME_WORDS: Mapping[type[Outcome], str] = {
    Done: "done",
    Failed: "failed",
    Retry: "retry",
    Bury: "bury",
    GiveBack: "give_back",
}


_TIMELINE = text("""
    SELECT e.id, e.run, e.kind, e.at, s.index AS segment, e.segment_id::text AS segment_id,
        e.claim_id::text AS claim_id, e.worker_id, e.data
    FROM job_events e LEFT JOIN segments s ON s.id = e.segment_id
    WHERE e.job_id = CAST(:id AS uuid) AND e.id > :after ORDER BY e.id LIMIT :limit
""")

# Run after the writes of its transaction, so that a job which this very finish has ended counts as ended.
# The first reason that fits: a claim that was replaced says more than that the job has ended since.
_REFUSED = text("""
    INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id, data)
    SELECT g.job_id, g.run, 'refused', g.segment_id, CAST(:claim_id AS uuid), :worker_id,
        jsonb_build_object('outcome', g.outcome, 'reason', CASE
            WHEN j.run <> g.run THEN 'replayed'
            WHEN s.claim_id <> CAST(:claim_id AS uuid) THEN 'taken_over'
            WHEN j.state IN ('succeeded', 'failed', 'dead', 'canceled') THEN 'job_ended'
            WHEN s.state IN ('done', 'dead') THEN 'segment_ended'
            ELSE 'given_back' END)
    FROM jsonb_to_recordset(CAST(:refused AS jsonb)) AS g (job_id uuid, run int, segment_id uuid, outcome text)
    JOIN jobs j ON j.id = g.job_id LEFT JOIN segments s ON s.id = g.segment_id
    ORDER BY g.segment_id
""")


def timeline(connection: Connection, job_id: str, *, after: int, limit: int) -> list[Mapping[str, Any]]:
    """Return a job's events of all its runs, oldest first, behind the event with id ``after``.

    Members: id, run, kind, at, segment (index of the segment it names), segment_id, claim_id, worker_id, data.
    """
    rows = connection.execute(_TIMELINE, {"id": job_id, "after": after, "limit": limit})
    return [row._asdict() for row in rows]


def note_refused(connection: Connection, claim: Claim, words: Mapping[str, str]) -> None:
    """Record that outcomes (segment id -> word) of a claim were refused; of erased jobs nothing is written.

    The caller holds the locks of the jobs that are still there.
    """
    refused = [
        {"job_id": segment.job_id, "run": segment.run, "segment_id": segment.id, "outcome": words[segment.id]}
        for segment in claim.segments
        if segment.id in words
    ]
    if refused:
        given = {"refused": dump(refused), "claim_id": claim.id, "worker_id": claim.worker_id}
        connection.execute(_REFUSED, given)
