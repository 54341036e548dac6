"""The claims port on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import text

from storage.claiming import Wanted, mark_free, mark_running, take
from storage.claims import LEFT_BEHIND_SECONDS, ClaimLost, Heartbeat, Plan, Planned
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.finishing import finish
from storage.ids import new_id
from storage.job import Claim, ClaimedSegment, Outcome, SegmentPlan
from storage.jsonb import dump
from storage.losing import give_back
from storage.planning import carry_out

_RENEW = text("""
    UPDATE workers SET heartbeat_at = clock_timestamp()
    WHERE id = :worker_id AND state IN ('live', 'draining') RETURNING state
""")

_HELD = text("""
    SELECT claim_id::text AS claim_id, coalesce(bool_or(state = 'claimed'
        AND claimed_at < clock_timestamp() - make_interval(secs => :left_behind)), false) AS old
    FROM segments
    WHERE worker_id = :worker_id AND state IN ('claimed', 'ready', 'waiting') AND claim_id IS NOT NULL
    GROUP BY claim_id
""")

# Locked rows are skipped: progress is news, not truth, and a heartbeat must wait for nobody.
_PROGRESS = text("""
    WITH given AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:progress AS jsonb)) AS g (id uuid, done bigint, total bigint)
    ), mine AS MATERIALIZED (
        SELECT s.id, s.job_id, g.done, g.total FROM segments s JOIN given g ON g.id = s.id
        WHERE s.worker_id = :worker_id AND s.state = 'claimed' FOR NO KEY UPDATE OF s SKIP LOCKED
    ), written AS (
        UPDATE segments s SET progress_done = m.done, progress_total = m.total FROM mine m WHERE s.id = m.id
    )
    SELECT DISTINCT job_id::text FROM mine
""")

_JOB_PROGRESS = text("""
    WITH free AS MATERIALIZED (
        SELECT j.id FROM jobs j
        WHERE j.id = ANY(CAST(:job_ids AS uuid[])) AND j.state = 'running' AND j.segments_total > 0
        FOR NO KEY UPDATE SKIP LOCKED
    ), part AS MATERIALIZED (
        SELECT s.job_id, sum(least(1.0, s.progress_done::float8 / s.progress_total)) AS segments
        FROM segments s JOIN free f ON s.job_id = f.id
        WHERE s.state = 'claimed' AND s.kind = 'infer' AND s.progress_total > 0
        GROUP BY s.job_id
    )
    UPDATE jobs j SET updated_at = clock_timestamp(), progress = greatest(j.progress,
        least(0.99, (j.segments_total - j.segments_left + p.segments) / j.segments_total))
    FROM part p WHERE j.id = p.job_id
""")

_HOLDS = text("""
    SELECT EXISTS (SELECT FROM segments WHERE id = ANY(CAST(:ids AS uuid[]))
        AND claim_id = CAST(:claim_id AS uuid) AND state IN ('claimed', 'ready', 'waiting'))
""")


class SqlClaims:
    """``storage.claims.Claims`` on a Database; one per process, safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: claims that ended in an error, where only the answer may have been lost, and others that nobody knows of
        self._doubtful: dict[str, str] = {}

    def claim(
        self,
        worker_id: str,
        *,
        lanes: Sequence[str],
        size_classes: Sequence[str],
        serves: Sequence[tuple[str, int]],
        limit: int,
    ) -> Claim | None:
        """Take the first ready segment by tag, and up to ``limit - 1`` like it; see ``Claims.claim``.

        Raises: DatabaseUnavailable; what the lost statement may have taken is given back before the next claim.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        pairs = tuple((lane, size_class) for lane in lanes for size_class in size_classes)
        self._give_back_doubtful()
        claim_id = new_id()
        try:
            with self._database.transaction() as connection:
                claim = take(connection, claim_id, worker_id, Wanted(pairs, tuple(serves), limit))
                all_marked = claim is None or mark_free(connection, claim)
        except BaseException:
            self._doubtful[claim_id] = worker_id
            raise
        if claim is not None and not all_marked:
            self._mark_running(claim)
        return claim

    def plan_all(self, claim: Claim, plans: Mapping[str, Plan]) -> Planned:
        """Carry out plans in one transaction; see ``Claims.plan_all``. May be repeated after DatabaseUnavailable."""
        with self._database.transaction() as connection:
            return carry_out(connection, claim, plans)

    def plan(
        self,
        claim: Claim,
        segment_id: str,
        plans: Sequence[SegmentPlan],
        *,
        media: Mapping[str, Any],
        warnings: Sequence[Mapping[str, Any]] = (),
    ) -> ClaimedSegment | None:
        """Carry out one plan; see ``Claims.plan``. May be repeated after DatabaseUnavailable."""
        planned = self.plan_all(claim, {segment_id: Plan(plans, media, warnings)})
        if segment_id in planned.lost:
            raise ClaimLost(f"claim {claim.id} does not hold segment {segment_id}")
        return planned.infers.get(segment_id)

    def finish(self, claim: Claim, outcomes: Sequence[Outcome]) -> Mapping[str, bool]:
        """Write outcomes in one transaction; see ``Claims.finish``. May be repeated after DatabaseUnavailable."""
        with self._database.transaction() as connection:
            return finish(connection, claim, outcomes)

    def heartbeat(
        self, worker_id: str, progress: Mapping[str, tuple[int, int]], *, in_hand: Collection[str] | None = None
    ) -> Heartbeat:
        """Renew the worker's row, store progress, tell what is still held; see ``Claims.heartbeat``."""
        with self._database.transaction() as connection:
            state = connection.execute(_RENEW, {"worker_id": worker_id}).scalar_one_or_none()
            rows = connection.execute(_HELD, {"worker_id": worker_id, "left_behind": LEFT_BEHIND_SECONDS}).all()
        if in_hand is not None:
            self._doubtful |= {row.claim_id: worker_id for row in rows if row.old and row.claim_id not in in_hand}
            # a heartbeat waits for nobody; what fails now is tried again by the next one
            with suppress(DatabaseUnavailable):
                self._give_back_doubtful(lock_timeout_seconds=1)
        if progress and state is not None:
            self._store_progress(worker_id, progress)
        held = frozenset(row.claim_id for row in rows)
        return Heartbeat(held=held, draining=state == "draining", lost=state is None)

    def holds(self, claim: Claim) -> bool:
        """Whether a finish of any of its segments would still be accepted."""
        with self._database.transaction() as connection:
            ids = [segment.id for segment in claim.segments]
            return bool(connection.execute(_HOLDS, {"ids": ids, "claim_id": claim.id}).scalar_one())

    def _store_progress(self, worker_id: str, progress: Mapping[str, tuple[int, int]]) -> None:
        given = [{"id": key, "done": done, "total": total} for key, (done, total) in progress.items()]
        with self._database.transaction() as connection:
            found = connection.execute(_PROGRESS, {"worker_id": worker_id, "progress": dump(given)})
            job_ids = found.scalars().all()
            if job_ids:
                connection.execute(_JOB_PROGRESS, {"job_ids": list(job_ids)})

    def _mark_running(self, claim: Claim) -> None:
        try:
            with self._database.transaction() as connection:
                mark_running(connection, claim)
        except DatabaseUnavailable:
            # The claim stands and its finish does not need the mark; raising here would lose the claim.
            return

    def _give_back_doubtful(self, *, lock_timeout_seconds: int = 0) -> None:
        for claim_id, worker_id in list(self._doubtful.items()):
            with self._database.transaction() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = '{lock_timeout_seconds}s'"))
                give_back(connection, worker_id, claim_id=claim_id)
            self._doubtful.pop(claim_id, None)
