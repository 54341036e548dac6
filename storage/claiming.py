"""The claim: one statement takes the first ready segment and those like it; another marks their jobs as running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.job import Claim, ClaimedSegment, SegmentKind, SegmentPlan
from storage.job_rows import input_from_row

# Why it has this shape:
# - The pair (lane, class) with the foremost head is found first and without a lock; then one index scan over that pair
#   alone runs in the order of its index, so that the first row that passes is locked and no other.
# - Pauses and what the worker serves are plain filters on constant arrays: they are checked before the lock, so a
#   paused head blocks nobody, and no join can make the planner sort the whole queue.
# - SKIP LOCKED checks every row again after locking it: one that another claim took meanwhile is passed over.
# - The worker's own row is locked first: who declares the worker gone waits for a claim that a dying child left on its
#   way, and finds what it took; a claim that comes later finds its worker gone and takes nothing.
# - Each step is MATERIALIZED, so nothing is planned into a second execution of a locking scan.
# - Only short segments come together; a long one comes alone, that many workers may share a video.
# - How long a segment has been held up by the infrastructure does not grow while it stands in the queue.
# - Its commit does not wait for the disk: a claim that a crash of the server forgets leaves the segment ready again,
#   and the fence refuses what its worker brings. The next commit that waits (a plan, a finish) makes it durable too.
# - The planner cannot know how far into an index the first match lies, and the statistics of a queue are always stale;
#   left to itself it reads and sorts all of the queue at times. In this transaction it has only the indexes, and
#   IS NOT DISTINCT FROM, which no index serves, leaves only segments_alike for the like ones.
CLAIM = text("""
    SET LOCAL synchronous_commit = off;
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;
    WITH paused AS MATERIALIZED (
        SELECT coalesce(array_agg(name) FILTER (WHERE kind = 'pipeline'), '{}') AS pipelines,
            coalesce(array_agg(name) FILTER (WHERE kind = 'lane'), '{}') AS lanes,
            coalesce(array_agg(name) FILTER (WHERE kind = 'tenant'), '{}') AS tenants
        FROM pauses
    ), claimer AS MATERIALIZED (
        SELECT FROM workers WHERE id = :worker_id AND state = 'live' FOR SHARE
    ), best AS MATERIALIZED (
        SELECT pair.lane, pair.size_class
        FROM unnest(CAST(:lanes AS text[]), CAST(:size_classes AS text[])) AS pair (lane, size_class)
        CROSS JOIN LATERAL (
            SELECT s.tag, s.id FROM segments s
            WHERE s.state = 'ready' AND s.lane = pair.lane AND s.size_class = pair.size_class
                AND s.spec_version <= (CAST(:versions AS int[]))[array_position(CAST(:pipelines AS text[]), s.pipeline)]
                AND s.pipeline <> ALL ((SELECT pipelines FROM paused)::text[])
                AND s.tenant <> ALL ((SELECT tenants FROM paused)::text[])
            ORDER BY s.tag, s.id LIMIT 1
        ) AS first
        WHERE pair.lane <> ALL ((SELECT lanes FROM paused)::text[])
            AND EXISTS (SELECT FROM claimer)
        ORDER BY first.tag, first.id LIMIT 1
    ), head AS MATERIALIZED (
        SELECT s.id, s.lane, s.size_class, s.pipeline, s.spec_version, s.batch_key, s.kind,
            NOT s.solo AND s.kind <> 'merge' AND s.size_class = 'short' AS sociable
        FROM segments s
        WHERE s.state = 'ready'
            AND s.lane = (SELECT lane FROM best) AND s.size_class = (SELECT size_class FROM best)
            AND s.spec_version <= (CAST(:versions AS int[]))[array_position(CAST(:pipelines AS text[]), s.pipeline)]
            AND s.pipeline <> ALL ((SELECT pipelines FROM paused)::text[])
            AND s.tenant <> ALL ((SELECT tenants FROM paused)::text[])
        ORDER BY s.tag, s.id LIMIT 1 FOR NO KEY UPDATE OF s SKIP LOCKED
    ), alike AS MATERIALIZED (
        SELECT s.id FROM segments s
        WHERE s.state = 'ready' AND NOT s.solo AND (SELECT sociable FROM head)
            AND s.batch_key = (SELECT batch_key FROM head) AND s.kind = (SELECT kind FROM head)
            AND s.lane IS NOT DISTINCT FROM (SELECT lane FROM head)
            AND s.size_class IS NOT DISTINCT FROM (SELECT size_class FROM head)
            AND s.pipeline = (SELECT pipeline FROM head) AND s.spec_version = (SELECT spec_version FROM head)
            AND s.id <> (SELECT id FROM head)
            AND s.tenant <> ALL ((SELECT tenants FROM paused)::text[])
        ORDER BY s.tag, s.id LIMIT :others FOR NO KEY UPDATE OF s SKIP LOCKED
    ), picked AS MATERIALIZED (
        SELECT id FROM head UNION ALL SELECT id FROM alike
    ), taken AS (
        UPDATE segments s SET
            state = 'claimed', claim_id = CAST(:claim_id AS uuid), claim_size = (SELECT count(*) FROM picked),
            worker_id = :worker_id, claimed_at = clock_timestamp(), run_after = NULL,
            held_up_since = s.held_up_since + coalesce(clock_timestamp() - s.ready_at, interval '0'),
            progress_done = 0, progress_total = 0
        FROM picked WHERE s.id = picked.id AND s.state = 'ready'
        RETURNING s.*
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id)
        SELECT job_id, run, 'claimed', id, claim_id, worker_id FROM taken
    )
    SELECT best.lane AS best_lane, best.size_class AS best_class,
        t.id::text AS id, t.job_id::text AS job_id, t.run, t.index, t.kind, t.tenant, t.pipeline, t.spec_version,
        t.lane, t.size_class,
        t.batch_key, t.solo, t.attempts, t.max_attempts, t.holdups, t.held_up_since, t.start_pts, t.end_pts, t.frames,
        t.cost_seconds, j.params, j.media, j.segments_total, j.input_key, j.input_size_bytes, j.input_etag,
        j.input_sha256, j.input_filename, j.input_content_type, j.input_source_url, j.pins
    FROM best LEFT JOIN (taken t JOIN jobs j ON j.id = t.job_id) ON true
    ORDER BY t.tag, t.id
""")

#: fields of ClaimedSegment that are columns of the same name
_SAME = frozenset(ClaimedSegment.__dataclass_fields__) - {"kind", "input", "range"}

# Within the claim's transaction, which has locked segments already, jobs come after segments: so none is waited for.
_LOCK_FREE_JOBS = text("""
    SELECT id::text FROM jobs WHERE id = ANY(CAST(:job_ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")

# The mark is news, not truth: its commit does not wait for the disk.
_LOCK_JOBS = text("""
    SET LOCAL synchronous_commit = off;
    SELECT id::text FROM jobs WHERE id = ANY(CAST(:job_ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
""")

# Of jobs that are locked. The claim is looked at again under the job's lock: whoever took it back meanwhile has put the
# job to queued.
_MARK_RUNNING = text("""
    WITH begun AS (
        UPDATE jobs j SET
            state = 'running', started_at = coalesce(j.started_at, clock_timestamp()), updated_at = clock_timestamp(),
            stage = s.kind
        FROM (
            SELECT job_id, min(kind) AS kind FROM segments
            WHERE id = ANY(CAST(:segment_ids AS uuid[])) AND state = 'claimed' AND claim_id = CAST(:claim_id AS uuid)
            GROUP BY job_id
        ) s
        WHERE j.id = s.job_id AND j.state IN ('queued', 'running')
            AND (j.state, j.stage) IS DISTINCT FROM ('running', s.kind)
        RETURNING j.id, j.run, (SELECT q.state FROM jobs q WHERE q.id = j.id) AS before
    )
    INSERT INTO job_events (job_id, run, kind, claim_id, worker_id)
    SELECT id, run, 'running', CAST(:claim_id AS uuid), :worker_id FROM begun WHERE before = 'queued'
""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can run, as arrays of the claim statement."""

    pairs: tuple[tuple[str, str], ...]
    serves: tuple[tuple[str, int], ...]
    limit: int


def take(connection: Connection, claim_id: str, worker_id: str, wanted: Wanted) -> Claim | None:
    """Run the claim statement; None when nothing that the worker may have is ready.

    Where other claims hold every row of the foremost pair at this very moment, the next pair is tried.
    """
    pairs = list(wanted.pairs)
    while pairs:
        rows = connection.execute(CLAIM, _arrays(claim_id, worker_id, wanted, pairs)).all()
        if not rows:
            return None
        segments = tuple(segment_from_row(row) for row in rows if row.id is not None)
        if segments:
            return Claim(id=claim_id, worker_id=worker_id, segments=segments)
        pairs.remove((rows[0].best_lane, rows[0].best_class))
    return None


def mark_free(connection: Connection, claim: Claim) -> bool:
    """Set jobs of a claim ``running`` in its own transaction where nobody has them locked; say whether all were."""
    job_ids = {segment.job_id for segment in claim.segments}
    locked = set(connection.execute(_LOCK_FREE_JOBS, {"job_ids": sorted(job_ids)}).scalars())
    _mark(connection, claim, locked)
    return locked == job_ids


def mark_running(connection: Connection, claim: Claim) -> None:
    """Set the jobs of a claim ``running``; locks them by id, and looks again at what the claim still holds."""
    job_ids = sorted({segment.job_id for segment in claim.segments})
    _mark(connection, claim, set(connection.execute(_LOCK_JOBS, {"job_ids": job_ids}).scalars()))


def _mark(connection: Connection, claim: Claim, job_ids: set[str]) -> None:
    segment_ids = [segment.id for segment in claim.segments if segment.job_id in job_ids]
    if segment_ids:
        connection.execute(
            _MARK_RUNNING, {"claim_id": claim.id, "worker_id": claim.worker_id, "segment_ids": segment_ids}
        )


def segment_from_row(row: Row[tuple[object, ...]]) -> ClaimedSegment:
    """Return the ClaimedSegment of a row with segment and job columns."""
    fields = row._mapping
    return ClaimedSegment(
        kind=SegmentKind(fields["kind"]),
        input=input_from_row(row),
        range=SegmentPlan(fields["start_pts"], fields["end_pts"], fields["frames"], fields["cost_seconds"]),
        **{name: fields[name] for name in _SAME},
    )


def _arrays(
    claim_id: str, worker_id: str, wanted: Wanted, pairs: Sequence[tuple[str, str]]
) -> dict[str, str | int | list[str] | list[int]]:
    return {
        "claim_id": claim_id,
        "worker_id": worker_id,
        "lanes": [lane for lane, _ in pairs],
        "size_classes": [size_class for _, size_class in pairs],
        "pipelines": [name for name, _ in wanted.serves],
        "versions": [version for _, version in wanted.serves],
        "others": wanted.limit - 1,
    }
