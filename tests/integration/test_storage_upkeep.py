"""The dispatcher's queries, the registry, keys and depth on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from storage.access import KeyStore
from storage.audit import Actor
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.job import Done, Fault, GiveBack, JobState, Retry, Rows, SegmentPlan
from storage.ownership import LATE_SECONDS
from storage.registry import Registry
from storage.upkeep import Upkeep
from storage.uploads import Upload, UploadStore
from tests.fakes.sql_queue import SqlQueue
from tests.integration.racing import together

WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]}
DAY = timedelta(days=1)


@pytest.fixture
def queue(database: Database) -> SqlQueue:
    queue = SqlQueue(database)
    queue.register("worker")
    return queue


# duties


def test_a_duty_is_held_by_one_at_a_time_and_each_duty_by_itself(queue: SqlQueue) -> None:
    with queue.upkeep.duty("lost") as mine, queue.upkeep.duty("lost") as theirs, queue.upkeep.duty("due") as other:
        assert (mine, theirs, other) == (True, False, True)
    with queue.upkeep.duty("lost") as again:
        assert again


def test_a_replica_cut_off_within_its_duty_loses_it(queue: SqlQueue, database_url: str) -> None:
    other = Database(database_url, pool_size=2)

    def frozen() -> None:
        with queue.upkeep.duty("lost"):
            found = queue.execute("SELECT current_setting('idle_in_transaction_session_timeout') AS timeout")
            assert found[0].timeout != "5s", "only the duty's own transaction is cut off so soon"
            with other.transaction() as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE state = 'idle in transaction' AND datname = current_database()"
                )
            with Upkeep(other).duty("lost") as taken_over:
                assert taken_over

    with pytest.raises(DatabaseUnavailable):
        frozen()
    other.close()


def test_the_clock_is_aware(queue: SqlQueue) -> None:
    assert abs(queue.upkeep.clock() - datetime.now(UTC)) < timedelta(seconds=60)


def test_due_segments_are_woken_in_batches_by_any_number_of_dispatchers(queue: SqlQueue) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    jobs = [queue.add_job(run_after=later) for _ in range(20)]
    assert queue.upkeep.wake_due() == frozenset()
    queue.execute("UPDATE segments SET run_after = clock_timestamp()")
    assert queue.upkeep.wake_due(limit=5) == {("cpu", "short")}
    together(*[partial(queue.upkeep.wake_due, 15)] * 4)
    assert {segment.state for job_id in jobs for segment in queue.segments(job_id)} == {"ready"}
    assert [event["kind"] for event in queue.store.events(jobs[0])] == ["submitted", "due"]


def test_queued_jobs_past_their_time_fail_once_and_running_ones_go_on(queue: SqlQueue) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    running = queue.add_job(expires_at=past)
    queue.claim("worker", limit=1, **WANTED)
    expired = queue.add_job(expires_at=past)
    queue.add_job(expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert (queue.upkeep.expire(), queue.upkeep.expire()) == (1, 0)
    job = queue.job(expired)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "job.expired"
    assert queue.job(running).state is JobState.RUNNING


def test_a_job_whose_input_never_came_expires_and_one_that_was_started_before_does_not(queue: SqlQueue) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    started = queue.add_job(expires_at=past)
    claim = queue.claim("worker", limit=1, **WANTED)
    assert claim is not None
    queue.finish(claim, [GiveBack(claim.segments[0].id)])
    uploading = queue.add_job(expires_at=past, state=JobState.UPLOADING)
    assert queue.upkeep.expire() == 1
    assert queue.job(uploading).state is JobState.FAILED
    assert queue.job(started).state is JobState.QUEUED


def test_a_job_in_a_workers_hand_does_not_expire_although_the_mark_of_its_start_was_lost(queue: SqlQueue) -> None:
    job_id = queue.add_job(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    claim = queue.claim("worker", limit=1, **WANTED)
    assert claim is not None
    queue.execute("UPDATE jobs SET state = 'queued', started_at = NULL, stage = NULL")
    assert queue.upkeep.expire() == 0
    queue.plan(claim, claim.segments[0].id, [SegmentPlan()], media={})
    queue.finish(claim, [Done(claim.segments[0].id, summary={"ok": 1})])
    assert queue.job(job_id).state is JobState.SUCCEEDED


def test_standing_in_the_queue_is_no_hold_up(queue: SqlQueue) -> None:
    """A lane paused for a day between two short outages must not bury what waits in it."""
    queue.add_job()
    fault = Fault("storage.unavailable", "away")
    for _ in range(2):
        claim = queue.claim("worker", limit=1, **WANTED)
        assert claim is not None
        queue.finish(claim, [Retry(claim.segments[0].id, fault, 0.0, charged=False)])
        queue.execute("UPDATE segments SET held_up_since = held_up_since - :by, ready_at = ready_at - :by", by=DAY)
    claim = queue.claim("worker", limit=1, **WANTED)
    assert claim is not None
    (segment,) = claim.segments
    assert segment.holdups == 2
    assert segment.held_up_since is not None
    assert datetime.now(UTC) - segment.held_up_since < timedelta(minutes=1)


def test_ready_segments_are_counted_per_lane_and_class_without_what_is_paused(queue: SqlQueue) -> None:
    queue.add_many(3)
    queue.add_many(2, lane="gpu", size_class="long")
    queue.add_job(lane="gpu", tenant="paused")
    assert queue.upkeep.ready_by_lane() == {("cpu", "short"): 3, ("gpu", "long"): 2, ("gpu", "short"): 1}
    queue.pause("tenant", "paused")
    queue.pause("lane", "cpu")
    assert queue.upkeep.ready_by_lane() == {("gpu", "long"): 2}


# litter


def test_an_object_is_litter_only_when_no_row_names_it(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    found = queue.claim("worker", limit=1, **WANTED)
    assert found is not None
    (segment,) = found.segments
    queue.plan(found, segment.id, [SegmentPlan()], media={})
    kept = f"results/{job_id}/1/{segment.id}/{found.id}.jsonl.gz"
    stale = f"results/{job_id}/1/{segment.id}/{new_id()}.jsonl.gz"
    gone, source = f"inputs/{new_id()}/source", f"inputs/{job_id}/source"
    keys = {key: key.split("/")[1] for key in (kept, stale, gone, source)} | {"odd/key": "key"}
    assert queue.upkeep.unowned(keys) == [gone]
    queue.finish(found, [Done(segment.id, Rows(1, 1, "x", key=kept), {})])
    assert queue.upkeep.unowned(keys) == [gone]
    queue.execute("UPDATE jobs SET finished_at = finished_at - :late", late=timedelta(seconds=LATE_SECONDS + 1))
    assert queue.upkeep.unowned(keys) == [gone, stale]


def test_an_upload_is_owned_while_open_and_afterwards_by_its_job(queue: SqlQueue) -> None:
    uploads, ids = UploadStore(queue.database), [new_id() for _ in range(3)]
    for upload_id in ids:
        key = f"uploads/{upload_id}/source"
        now = datetime.now(UTC)
        uploads.create(Upload(upload_id, "tenant", "open", key, "m", 1, 1, None, None, None, now, now))
    keys = {f"uploads/{upload_id}/source": upload_id for upload_id in ids}
    assert queue.upkeep.unowned(keys) == []
    queue.execute("UPDATE uploads SET state = 'expired' WHERE id = CAST(:id AS uuid)", id=ids[0])
    queue.execute("UPDATE uploads SET state = 'taken' WHERE id = CAST(:id AS uuid)", id=ids[1])
    job_id = queue.add_job()
    queue.execute(
        "UPDATE jobs SET upload_id = CAST(:upload AS uuid), input_key = :key WHERE id = CAST(:id AS uuid)",
        upload=ids[1],
        key=f"uploads/{ids[1]}/source",
        id=job_id,
    )
    assert queue.upkeep.unowned(keys) == [f"uploads/{ids[0]}/source"]


# depth and pauses


def test_depth_tells_states_age_and_cost_per_lane(queue: SqlQueue) -> None:
    queue.add_many(3, cost_seconds=2.0)
    queue.add_job(run_after=datetime.now(UTC) + timedelta(hours=1))
    queue.claim("worker", limit=1, **WANTED)
    (lane,) = queue.depth.lanes()
    assert (lane.lane, lane.size_class, lane.waiting, lane.ready, lane.claimed) == ("cpu", "short", 1, 2, 1)
    assert lane.cost_ahead_seconds == 6.0
    assert lane.oldest_ready_seconds is not None
    assert 0 <= lane.oldest_ready_seconds < 60
    counts = queue.depth.jobs_by_state()
    assert (counts["queued"], counts["running"], counts["dead"]) == (3, 1, 0)
    assert set(counts) == {state.value for state in JobState}


def test_job_counts_past_the_limit_are_estimated_from_statistics(
    queue: SqlQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.depth.COUNTED_JOBS", 10)
    queue.add_many(40)
    assert queue.depth.jobs_by_state()["queued"] == 11
    queue.execute("ANALYZE jobs")
    assert queue.depth.jobs_by_state()["queued"] == 40


def test_a_pause_says_who_and_since_when_and_happens_once(queue: SqlQueue) -> None:
    assert queue.depth.pause("pipeline", "motion", by=Actor("op"))
    assert not queue.depth.pause("pipeline", "motion", by=Actor("other"))
    (pause,) = queue.depth.pauses()
    assert (pause["kind"], pause["name"], pause["by"]) == ("pipeline", "motion", "op")
    assert datetime.fromisoformat(pause["since"]).tzinfo is not None
    assert queue.depth.resume("pipeline", "motion")
    assert not queue.depth.resume("pipeline", "motion")
    with pytest.raises(ValueError, match="paused"):
        queue.depth.pause("job", "x", by=Actor("op"))


# keys


def test_a_key_is_found_by_its_secret_until_it_is_revoked_or_expires(database: Database) -> None:
    keys = KeyStore(database)
    key, secret = keys.issue(tenant="acme", name="ci", scopes=["submit", "read", "read"])
    assert keys.find(secret) == key
    assert (key.tenant, key.scopes, key.last4) == ("acme", frozenset({"submit", "read"}), secret[-4:])
    assert keys.revoke(key.id)
    assert not keys.revoke(key.id)
    assert not keys.revoke("no id")
    assert keys.find(secret) is None
    _, expired = keys.issue(tenant="acme", name="old", scopes=["read"], expires_at=datetime.now(UTC))
    assert keys.find(expired) is None
    assert [row.name for row in keys.list("acme")] == ["old", "ci"]
    assert keys.list("other") == []


def test_a_mistyped_key_never_reaches_the_database() -> None:
    keys = KeyStore(Database("postgresql://nobody@127.0.0.1:1/none"))
    for secret in ("", "fq_", "fq_" + "A" * 49, "hunter2", "fq_\u00e9" + "A" * 48):
        assert keys.find(secret) is None


def test_the_secret_is_not_stored_and_its_use_is_noted_once_a_minute(queue: SqlQueue) -> None:
    keys = KeyStore(queue.database)
    _, secret = keys.issue(tenant="acme", name="ci", scopes=["admin"])
    stored = str(queue.execute("SELECT api_keys::text FROM api_keys")[0])
    assert secret not in stored
    assert secret.encode().hex() not in stored
    keys.find(secret)
    first = queue.execute("SELECT last_used_at FROM api_keys")[0].last_used_at
    keys.find(secret)
    assert first is not None
    assert queue.execute("SELECT last_used_at FROM api_keys")[0].last_used_at == first
    queue.execute("UPDATE api_keys SET last_used_at = last_used_at - interval '61 seconds'")
    keys.find(secret)
    assert queue.execute("SELECT last_used_at FROM api_keys")[0].last_used_at > first


def test_a_key_has_scopes_that_exist(database: Database) -> None:
    for scopes in ([], ["root"], ["read", "root"]):
        with pytest.raises(ValueError, match="scopes"):
            KeyStore(database).issue(tenant="acme", name="ci", scopes=scopes)


# registry


def test_an_older_worker_never_replaces_a_newer_pipeline(database: Database) -> None:
    registry = Registry(database)
    registry.register_pipeline("motion", spec_version=2, lane="cpu", spec={"v": 2})
    registry.register_pipeline("motion", spec_version=1, lane="gpu", spec={"v": 1})
    registry.register_pipeline("detect", spec_version=1, lane="gpu", spec={})
    assert [(row.name, row.lane) for row in registry.pipelines()] == [("detect", "gpu"), ("motion", "cpu")]
    before = registry.pipelines()
    registry.register_pipeline("motion", spec_version=2, lane="cpu", spec={"v": 2})
    assert registry.pipelines() == before
    registry.register_pipeline("motion", spec_version=2, lane="cpu", spec={"v": 3})
    assert [row.spec for row in registry.pipelines()] == [{}, {"v": 3}]
