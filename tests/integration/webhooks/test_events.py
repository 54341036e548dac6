"""One event for each end of a run, signed, and the same at every attempt."""

from __future__ import annotations

import json

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from storage.audit import SHELL
from storage.ending import JobEnd, end_jobs, lock_jobs
from storage.job import Bury, Done, Failed, Fault, JobState, Outcome, SegmentPlan
from tests.fakes.sql_queue import rows_of
from tests.fakes.webhook_receiver import Receiver
from tests.integration.racing import together
from tests.integration.webhooks.bed import TENANT, Bed

FAULT = Fault("model.failed", "it broke", advice="look", stack="Traceback ...", worker="worker-7")


def end(bed: Bed, state: JobState, **fields: object) -> str:
    """A job that a worker brought to this end; return its id."""
    job_id = bed.queue.add_job(webhook_url=bed.receiver.url(), **fields)
    if state is JobState.CANCELED:
        assert bed.queue.cancel(job_id)
        return job_id
    claim = bed.queue.claim("worker", lanes=["cpu"], size_classes=["short"], serves=[("motion", 1)], limit=1)
    assert claim is not None
    segment_id = claim.segments[0].id
    outcomes: dict[JobState, Outcome] = {
        JobState.FAILED: Failed(segment_id, FAULT),
        JobState.DEAD: Bury(segment_id, FAULT),
    }
    if state is JobState.SUCCEEDED:
        planned = bed.queue.plan(claim, segment_id, [SegmentPlan()], media={"kind": "image"})
        assert planned is not None
        outcomes[state] = Done(planned.id, rows_of(1), summary={"frames": 1})
    assert all(bed.queue.finish(claim, [outcomes[state]]).values())
    assert bed.queue.job(job_id).state is state
    return job_id


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.DEAD, JobState.CANCELED])
def test_each_terminal_state_is_told_once_and_signed(bed: Bed, receiver: Receiver, state: JobState) -> None:
    job_id = end(bed, state, metadata={"camera": "7"})
    bed.settle(bed.duty())
    job, event = bed.queue.job(job_id), bed.event(job_id)
    (got,) = receiver.got
    body = got.verified(bed.secret)
    assert (body["type"], event.kind, event.state) == (f"job.{state}", f"job.{state}", "delivered")
    assert got.event_id == event.id
    assert job.finished_at is not None
    assert body["timestamp"] == job.finished_at.isoformat().replace("+00:00", "Z")
    own = f"https://queue.example.org/v1/jobs/{job_id}"
    assert body["data"] == {
        "id": job_id, "run": 1, "state": str(state), "pipeline": "motion", "metadata": {"camera": "7"},
        "batch_id": None,
        "error": {"code": "model.failed", "message": "it broke", "advice": "look"} if job.error else None,
        "urls": {"self": own, "frames": f"{own}/frames", "result": f"{own}/result", "replay": f"{own}/replay"},
    }  # fmt: skip
    assert got.headers["Content-Type"] == "application/json"
    assert bed.told(job_id) == ["pending", "delivered"]


def test_a_job_without_a_webhook_url_makes_no_event(bed: Bed) -> None:
    job_id = bed.queue.add_job()
    bed.queue.cancel(job_id)
    assert bed.of(job_id) == []


def test_an_end_that_is_rolled_back_tells_nobody(bed: Bed) -> None:
    job_id = bed.queue.add_job(webhook_url=bed.receiver.url())
    with bed.database.transaction() as connection:
        lock_jobs(connection, [job_id])
        assert end_jobs(connection, [JobEnd(job_id, JobState.CANCELED)]) == {job_id}
        connection.rollback()
    assert bed.of(job_id) == []
    assert bed.queue.job(job_id).state is JobState.QUEUED


def test_ends_that_race_leave_one_event(bed: Bed) -> None:
    job_id = bed.queue.add_job(webhook_url=bed.receiver.url())
    together(*[lambda: bed.queue.cancel(job_id) for _ in range(6)])
    assert len(bed.of(job_id)) == 1


def test_each_run_has_its_own_event(bed: Bed, receiver: Receiver) -> None:
    job_id = bed.ended()
    bed.queue.store.replay(job_id)
    bed.queue.cancel(job_id)
    bed.settle(bed.duty())
    runs = [json.loads(got.body)["data"]["run"] for got in receiver.got]
    assert sorted(runs) == [1, 2]
    assert len({got.event_id for got in receiver.got}) == 2


def test_every_attempt_has_the_same_id_and_bytes_and_a_signature_of_its_own_time(bed: Bed, receiver: Receiver) -> None:
    receiver.behave("/hook", 500, 200)
    job_id = bed.ended(metadata={"z": 1.5, "a": "\u00e9\u4e16", "b": None})
    bed.attempt(job_id, bed.duty())
    bed.settle(bed.duty(base_url="https://moved.example.org"))
    first, second = receiver.got
    assert first.event_id == second.event_id == bed.event(job_id).id
    assert first.body == second.body
    assert second.verified(bed.secret)["data"]["metadata"] == {"z": 1.5, "a": "\u00e9\u4e16", "b": None}


def test_during_a_rotation_both_secrets_verify_and_then_only_the_new_one(bed: Bed, receiver: Receiver) -> None:
    _, new = bed.secrets.create(TENANT, overlap_seconds=3600, by=SHELL)
    duty = bed.duty()
    bed.ended()
    bed.settle(duty)
    assert len(receiver.got[0].headers["webhook-signature"].split(" ")) == 2
    assert receiver.got[0].verified(bed.secret) == receiver.got[0].verified(new)
    bed.execute("UPDATE webhook_secrets SET expires_at = clock_timestamp() WHERE expires_at IS NOT NULL")
    bed.ended()
    bed.settle(duty)
    assert receiver.got[1].verified(new)
    with pytest.raises(WebhookVerificationError):
        receiver.got[1].verified(bed.secret)


def test_without_a_secret_events_wait_for_one_and_nothing_goes_out_unsigned(bed: Bed, receiver: Receiver) -> None:
    for secret in bed.secrets.list(TENANT):
        bed.secrets.delete(secret.id, TENANT, by=SHELL)
    job_id, duty = bed.ended(), bed.duty()
    event = bed.attempt(job_id, duty, 2)
    assert (event.state, event.last_error) == ("pending", "the tenant has no webhook secret to sign with")
    assert receiver.got == []
    _, secret = bed.secrets.create(TENANT, overlap_seconds=0, by=SHELL)
    bed.settle(duty)
    assert receiver.got[0].verified(secret)
