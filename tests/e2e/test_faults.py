"""What a client still gets while parts of the stack die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psycopg2
import pytest
import redis

from bench.embedded import EmbeddedStack, eventually
from deploy.local.demo import SAMPLE
from tests.e2e.clips import joined, moving_clip
from tests.e2e.embedded import finished, frames_of, job_of, submit, submitted


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four minutes, which a plan cuts into several segments."""
    folder = tmp_path_factory.mktemp("clips")
    short = moving_clip(folder / "short.mp4", width=640, height=360, seconds=20)
    return joined(short, folder / "long.mp4", times=12)


def segment_history(stack: EmbeddedStack, job_id: str) -> Sequence[tuple[str, str, float]]:
    """(segment, kind of event, seconds since the epoch) in order."""
    with psycopg2.connect(stack.state.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT segment_id::text, kind, extract(epoch FROM at)::float FROM job_events"
            " WHERE job_id = %s AND segment_id IS NOT NULL ORDER BY id",
            (job_id,),
        )
        rows = cursor.fetchall()
    connection.close()
    return rows


def holder(stack: EmbeddedStack, job_id: str) -> int | None:
    """The pid of a worker process that holds a segment of the job now."""
    with psycopg2.connect(stack.state.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT w.pid FROM segments s JOIN workers w ON w.id = s.worker_id"
            " WHERE s.job_id = %s AND s.state = 'claimed' AND s.kind = 'infer' LIMIT 1",
            (job_id,),
        )
        row = cursor.fetchone()
    connection.close()
    return None if row is None else int(row[0])


def test_a_worker_process_killed_in_the_middle_of_a_long_video_costs_only_the_segment_in_hand(
    stack: EmbeddedStack, client: httpx2.Client, long_clip: Path
) -> None:
    job_id = submitted(client, long_clip, params='{"sampler": {"policy": "stride", "stride": 1}}')

    def some_are_done_and_some_are_not() -> bool:
        segments = job_of(client, job_id)["segments"]
        return 0 < segments["left"] < segments["total"] and holder(stack, job_id) is not None

    eventually(some_are_done_and_some_are_not, 90, lambda: str(job_of(client, job_id)["segments"]))
    victim = holder(stack, job_id)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    killed_at = time.time()
    job = finished(client, job_id, 150)

    assert job["state"] == "succeeded", job["error"]
    assert job["segments"]["total"] > 2
    assert len(frames_of(client, job_id)) == job["frames"] == 12 * 20 * 25
    history = segment_history(stack, job_id)
    done = [segment for segment, kind, _ in history if kind == "done"]
    assert len(done) == len(set(done)), "a finished segment ran again"
    lost = [(segment, at) for segment, kind, at in history if kind == "lost" and at > killed_at - 1]
    assert lost, history
    for segment, lost_at in lost:
        taken_again = min(at for other, kind, at in history if other == segment and kind == "claimed" and at > lost_at)
        assert taken_again - killed_at < 20


def test_the_killed_process_is_replaced(stack: EmbeddedStack) -> None:
    eventually(lambda: len(stack.worker_children()) == 2, 30, lambda: stack.log_tail("worker"))


def test_flushing_redis_with_hundreds_of_jobs_queued_loses_none(
    stack: EmbeddedStack, client: httpx2.Client, shared: Path
) -> None:
    photo = next(path for path in sorted((shared / "data/images/scenes").iterdir()) if path.suffix in (".jpg", ".png"))
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: submitted(client, photo), range(300)))
    assert len(set(jobs)) == 300
    with redis.Redis.from_url(stack.state.redis_url) as broker:
        broker.flushall()
    states = {finished(client, job_id, 150)["state"] for job_id in jobs}
    assert states == {"succeeded"}


def test_without_redis_a_submission_is_still_taken_at_once_and_runs_when_redis_is_back(
    stack: EmbeddedStack, client: httpx2.Client
) -> None:
    with stack.held("redis"):
        begun = time.monotonic()
        answer = submit(client, SAMPLE)
        took = time.monotonic() - begun
    assert answer.status_code == 202, answer.text
    assert took < 2.5
    assert finished(client, answer.json()["id"], 90)["state"] == "succeeded"


def test_with_a_redis_that_is_frozen_a_submission_is_still_taken_at_once(
    stack: EmbeddedStack, client: httpx2.Client
) -> None:
    frozen = stack.pid("redis")
    os.kill(frozen, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        answer = submit(client, SAMPLE)
        took = time.monotonic() - begun
    finally:
        os.kill(frozen, signal.SIGCONT)
    assert answer.status_code == 202, answer.text
    assert took < 2.5
    assert finished(client, answer.json()["id"], 90)["state"] == "succeeded"


def test_without_postgresql_a_submission_is_refused_with_503_and_works_again_after(
    stack: EmbeddedStack, client: httpx2.Client
) -> None:
    with stack.held("postgres"):
        answer = submit(client, SAMPLE)
        ready = client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["code"] == "database.unavailable"
    assert "Retry-After" in answer.headers
    assert ready.status_code == 503
    assert client.get("/health").status_code == 200
    assert finished(client, submitted(client, SAMPLE), 90)["state"] == "succeeded"


def test_a_web_process_that_is_killed_is_started_again(stack: EmbeddedStack, client: httpx2.Client) -> None:
    before = stack.pid("web")
    os.kill(before, signal.SIGKILL)
    eventually(
        lambda: stack.part("web").status == "up" and stack.part("web").pid != before, 60, lambda: stack.log_tail("web")
    )
    assert finished(client, submitted(client, SAMPLE))["state"] == "succeeded"
