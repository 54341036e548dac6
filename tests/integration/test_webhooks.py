"""Webhooks: one event for each end of a run, delivered whatever the receiver does in between."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from standardwebhooks.webhooks import WebhookVerificationError
from structlog.testing import capture_logs

from storage.audit import SHELL
from storage.database import Database
from storage.ending import JobEnd, end_jobs, lock_jobs
from storage.errors import WebhookDisabled
from storage.job import Bury, Done, Failed, Fault, JobState, Outcome, SegmentPlan
from storage.migrate import upgrade
from storage.webhooks.outbox import FIRST, Attempt
from storage.webhooks.outbox import Receiver as Place
from tests.fakes.sql_queue import rows_of
from tests.fakes.webhook_receiver import (
    Behaviour,
    Receiver,
    closing,
    half_a_head,
    nonsense,
    status,
    webhook_receiver,
)
from tests.integration.racing import together
from tests.integration.webhook_bed import TENANT, Bed
from tests.services import running_postgres
from workers.dispatcher.webhooks import ATTEMPTS, FAILING

FAULT = Fault("model.failed", "it broke", advice="look", stack="Traceback ...", worker="worker-7")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


@pytest.fixture
def bed(database: Database, receiver: Receiver) -> Iterator[Bed]:
    made = Bed(database, receiver)
    yield made
    made.close()


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


def held(receiver: Receiver) -> tuple[threading.Event, Behaviour]:
    """A behaviour that answers 204 once it is let go, and what lets it go."""
    go = threading.Event()

    def handle(handler: BaseHTTPRequestHandler) -> None:
        while not go.wait(0.05) and not receiver.stopped.is_set():
            pass
        status(204)(handler)

    return go, handle


def endless(receiver: Receiver, code: int) -> Behaviour:
    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.end_headers()
        while not receiver.stopped.is_set():
            handler.wfile.write(b"x" * 65536)

    return handle


def drip(receiver: Receiver) -> Behaviour:
    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not receiver.stopped.wait(0.05):
            handler.wfile.write(b"x: y\r\n")

    return handle


MISBEHAVIOURS = [
    "closing", "half_a_head", "nonsense", "silent", "drip", "endless 500",
    "400", "401", "404", "500", "503", "301", "304",
]  # fmt: skip


@pytest.mark.parametrize("kind", MISBEHAVIOURS)
def test_a_receiver_that_misbehaves_is_told_again_until_it_has_it(bed: Bed, receiver: Receiver, kind: str) -> None:
    _, silent = held(receiver)
    known: dict[str, Behaviour] = {
        "closing": closing, "half_a_head": half_a_head, "nonsense": nonsense, "silent": silent,
        "drip": drip(receiver), "endless 500": endless(receiver, 500),
    }  # fmt: skip
    bad = known.get(kind) or status(int(kind))
    receiver.behave("/hook", bad, bad, 202)
    job_id = bed.ended()
    bed.settle(bed.duty(timeout=0.5))
    event = bed.event(job_id)
    assert (event.state, event.attempts, event.last_status, event.last_error) == ("delivered", 3, 202, None)
    assert len({got.event_id for got in receiver.got}) == 1
    assert len(receiver.got) == 3
    told = [(entry["status"], bool(entry["error"])) for entry in event.log]
    answered = kind.removeprefix("endless ").isdigit()
    expected = int(kind.removeprefix("endless ")) if answered else None
    assert told == [(expected, True)] * 2 + [(202, False)]
    assert all(entry["seconds"] < 3 for entry in event.log)


def test_a_success_with_a_body_that_never_ends_is_a_success(bed: Bed, receiver: Receiver) -> None:
    receiver.behave("/hook", endless(receiver, 200))
    job_id = bed.ended()
    bed.settle(bed.duty())
    assert bed.event(job_id).attempts == 1


def test_a_redirect_is_not_followed_wherever_it_leads(bed: Bed, receiver: Receiver) -> None:
    with webhook_receiver() as inside:
        bed.private.add(inside.address)
        receiver.behave("/hook", *(status(code, Location=inside.url()) for code in (301, 302, 307, 308)), 200)
        job_id = bed.ended()
        bed.settle(bed.duty())
        assert inside.got == []
    assert [entry["status"] for entry in bed.event(job_id).log] == [301, 302, 307, 308, 200]
    assert set(receiver.paths()) == {"/hook"}


def test_a_receiver_that_is_down_is_told_when_it_is_back(bed: Bed) -> None:
    with webhook_receiver() as first:
        port, url = first.port, first.url()
    bed.private.add(f"127.0.0.1:{port}")
    job_id, duty = bed.ended(url), bed.duty()
    event = bed.attempt(job_id, duty, 3)
    assert (event.state, event.last_status) == ("pending", None)
    assert event.last_error is not None
    with webhook_receiver(port=port) as back:
        bed.settle(duty)
        assert [got.event_id for got in back.got] == [event.id]


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_puts_the_next_attempt_off(bed: Bed, receiver: Receiver, code: int) -> None:
    receiver.behave("/hook", status(code, Retry_After="300"))
    job_id = bed.ended()
    event = bed.attempt(job_id, bed.duty(retry_scale=1.0))
    assert event.next_at is not None
    assert 290 < (event.next_at - event.created_at).total_seconds() < 330


def test_gone_disables_the_endpoint_until_it_is_enabled_again(bed: Bed, receiver: Receiver) -> None:
    receiver.behave("/hook", 500, 410)
    waiting = [bed.ended() for _ in range(3)]
    other = bed.ended(receiver.url("/other"))
    duty = bed.duty(concurrency=1)
    bed.settle(duty)
    assert [bed.event(job_id).state for job_id in waiting] == ["disabled"] * 3
    assert bed.event(other).state == "delivered"
    bed.execute("UPDATE webhook_endpoints SET used_at = used_at - interval '31 days'")
    later, asked = bed.ended(), len(receiver.got)
    bed.settle(duty)
    bed.outbox.forget(30.0)
    assert bed.event(later).state == "disabled"
    assert bed.told(later) == ["pending", "disabled"]
    assert len(receiver.got) == asked, "a disabled endpoint was told of something"
    endpoints = {one.url: one for one in bed.store.endpoints(TENANT, limit=10).endpoints}
    assert set(endpoints) == {receiver.url()}, "only the one that is in use is kept"
    gone = endpoints[receiver.url()]
    assert (gone.last_status, gone.disabled_why) == (410, "the receiver answers 410")
    assert gone.disabled_at is not None
    with pytest.raises(WebhookDisabled):
        bed.store.resend(bed.event(later).id, TENANT, by=SHELL)
    receiver.behave("/hook", 200)
    bed.store.enable(gone.id, TENANT, by=SHELL)
    assert bed.store.resend(bed.event(later).id, TENANT, by=SHELL).state == "pending"
    newest = bed.ended()
    bed.settle(duty)
    assert [bed.event(job_id).state for job_id in (later, newest)] == ["delivered"] * 2


def test_after_three_days_an_event_is_given_up_and_its_endpoint_reported(bed: Bed, receiver: Receiver) -> None:
    receiver.behave("/hook", 500)
    job_id, duty = bed.ended(), bed.duty()
    bed.attempt(job_id, duty, 2)
    bed.execute("UPDATE webhook_endpoints SET failing_since = failing_since - interval '50 hours'")
    bed.age(job_id, 73)
    bed.settle(duty)
    event = bed.event(job_id)
    assert (event.state, event.next_at, bed.told(job_id)) == ("failed", None, ["pending", "failed"])
    (failing,) = bed.outbox.failing(24.0)
    assert (failing.tenant, failing.receiver, failing.last_status) == (TENANT, f"http://{receiver.address}", 500)
    assert 49 < failing.hours < 51
    # by hand it is sent again: the same id, what was tried stays told, and another three days to go
    receiver.behave("/hook", 500, 200)
    assert bed.store.resend(event.id, TENANT, by=SHELL).state == "pending"
    bed.settle(duty)
    again = bed.event(job_id)
    assert (again.id, again.state) == (event.id, "delivered")
    assert again.attempts == event.attempts + 2 == len(again.log)
    assert bed.outbox.failing(24.0) == []


def test_a_delivered_event_can_be_sent_again_under_its_id(bed: Bed, receiver: Receiver) -> None:
    job_id, duty = bed.ended(), bed.duty()
    bed.settle(duty)
    bed.store.resend(bed.event(job_id).id, TENANT, by=SHELL)
    bed.settle(duty)
    first, second = receiver.got
    assert (first.event_id, first.body) == (second.event_id, second.body)
    assert bed.told(job_id) == ["pending", "delivered", "pending", "delivered"]


def test_many_events_through_two_dispatchers_come_once_each(bed: Bed, receiver: Receiver) -> None:
    job_ids = [bed.ended(receiver.url(f"/{number % 5}")) for number in range(80)]
    one, two = bed.duty(), bed.duty()

    together(lambda: bed.settle(one), lambda: bed.settle(two))
    assert one.wait(10)
    assert two.wait(10)
    assert Counter(got.event_id for got in receiver.got) == Counter(bed.event(job_id).id for job_id in job_ids)


def test_half_of_all_answers_being_errors_loses_nothing(bed: Bed, receiver: Receiver) -> None:
    for number in range(6):
        receiver.behave(f"/{number}", *([500, 204] * 40))
    job_ids = [bed.ended(receiver.url(f"/{number % 6}")) for number in range(60)]
    bed.settle(bed.duty(), seconds=60)
    assert {bed.event(job_id).state for job_id in job_ids} == {"delivered"}
    assert {got.event_id for got in receiver.got} == {bed.event(job_id).id for job_id in job_ids}


def test_what_a_dead_dispatcher_held_is_sent_by_another_after_its_lease(bed: Bed, receiver: Receiver) -> None:
    job_id, duty = bed.ended(), bed.duty()
    place = Place(TENANT, f"http://{receiver.address}")
    (taken,) = bed.outbox.claim({place: 5}, lease_seconds=1.0, base_url="https://queue.example.org")
    assert bed.outbox.receivers(FIRST, 10) == {place: False}
    duty.run_pass()
    assert receiver.got == [], "it was sent while another held it"
    bed.settle(duty)
    assert [got.event_id for got in receiver.got] == [taken.id]
    # the dead one was only frozen, and tells what it found: too late
    assert not bed.outbox.postponed(taken, Attempt(500, "late", 1.0), 1.0)
    assert bed.event(job_id).state == "delivered"
    assert bed.event(job_id).attempts == 1


def test_a_dispatcher_stopped_within_an_attempt_leaves_it_to_the_next(bed: Bed, receiver: Receiver) -> None:
    go, slow = held(receiver)
    receiver.behave("/hook", slow, 200)
    job_id, first = bed.ended(), bed.duty(lease_seconds=2.0, timeout=30.0)
    starter = threading.Thread(target=first.run_pass)
    starter.start()
    receiver.wait()
    first.close(0.0)
    starter.join(10)
    bed.settle(bed.duty())
    assert len(receiver.got) == 2
    go.set()
    assert first.wait(10)
    event = bed.event(job_id)
    assert (event.state, event.attempts) == ("delivered", 1)


def test_a_slow_receiver_holds_a_bounded_number_of_threads(bed: Bed, receiver: Receiver) -> None:
    go, slow = held(receiver)
    with webhook_receiver() as quick:
        bed.private.add(quick.address)
        receiver.behave("/hook", slow)
        slow_ids = [bed.ended() for _ in range(40)]
        quick_ids = [bed.ended(quick.url()) for _ in range(40)]
        duty = bed.duty(concurrency=8, timeout=30.0)
        bed.run_until(lambda: len(quick.got) == 40, duty)
        assert len(receiver.got) == 2, "a quarter of eight threads"
        go.set()
        receiver.behave("/hook", 204)
        bed.settle(duty)
        assert {bed.event(job_id).attempts for job_id in slow_ids + quick_ids} == {1}


def test_a_receiver_whose_last_attempt_failed_gets_one_at_a_time(bed: Bed, receiver: Receiver) -> None:
    receiver.behave("/hook", 500)
    first, duty = bed.ended(), bed.duty(concurrency=8, retry_scale=1.0, timeout=30.0)
    bed.attempt(first, duty)
    go, slow = held(receiver)
    receiver.behave("/hook", slow)
    for _ in range(10):
        bed.ended()
    duty.run_pass()
    assert len(receiver.got) == 2
    go.set()
    receiver.behave("/hook", 204)
    bed.run_until(lambda: bed.states().count("delivered") == 10, duty)


def test_a_receiver_with_many_events_lets_others_go_in_turn(bed: Bed, receiver: Receiver) -> None:
    for _ in range(150):
        bed.ended(receiver.url("/flood"))
    before: list[int] = []

    def counting(handler: BaseHTTPRequestHandler) -> None:
        before.append(len(receiver.got))
        status(204)(handler)

    with webhook_receiver() as other:
        bed.private.add(other.address)
        other.behave("/hook", counting)
        bed.ended(other.url())
        bed.settle(bed.duty(concurrency=4))
    assert before[0] < 20
    assert len(receiver.got) == 150


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


def test_an_erased_job_takes_its_webhooks_along(bed: Bed, receiver: Receiver) -> None:
    job_id = bed.ended()
    bed.queue.store.erase(job_id)
    duty = bed.duty()
    duty.run_pass()
    assert duty.wait(5)
    assert (bed.of(job_id), receiver.got) == ([], [])


def test_settled_events_and_unused_endpoints_are_forgotten_in_time_and_pending_ones_are_not(
    bed: Bed, receiver: Receiver
) -> None:
    receiver.behave("/later", status(503, Retry_After="3600"))
    old, young, waiting = bed.ended(receiver.url("/old")), bed.ended(), bed.ended(receiver.url("/later"))
    duty = bed.duty(retry_scale=1.0)
    bed.run_until(lambda: all(bed.event(one).attempts for one in (old, young, waiting)), duty)
    bed.execute(
        "UPDATE webhook_events SET created_at = created_at - interval '31 days' "
        "WHERE job_id = ANY(CAST(:ids AS uuid[]))",
        ids=[old, waiting],
    )
    bed.execute("UPDATE webhook_endpoints SET used_at = used_at - interval '31 days' WHERE url LIKE '%/old'")
    assert bed.outbox.forget(30.0) == 1
    assert [bool(bed.of(job_id)) for job_id in (old, young, waiting)] == [False, True, True]
    assert {one.url for one in bed.store.endpoints(TENANT, limit=9).endpoints} == {
        receiver.url(),
        receiver.url("/later"),
    }


def test_what_waits_is_counted(bed: Bed, receiver: Receiver) -> None:
    assert bed.outbox.pending().count == 0
    job_id = bed.ended()
    bed.ended()
    bed.execute(
        "UPDATE webhook_events SET next_at = next_at - interval '1 hour' WHERE job_id = CAST(:id AS uuid)", id=job_id
    )
    pending = bed.outbox.pending()
    assert pending.count == 2
    assert 3590 < pending.overdue_seconds < 3700


def test_log_lines_and_metrics_tell_how_it_goes_and_nothing_of_what_is_sent(bed: Bed, receiver: Receiver) -> None:
    receiver.behave("/hook-token-abc", 500, 200)
    before = ATTEMPTS.labels("delivered")._value.get(), ATTEMPTS.labels("postponed")._value.get()
    job_id = bed.ended(receiver.url("/hook-token-abc"), metadata={"patient": "Jane"})
    bed.execute("UPDATE webhook_events SET next_at = next_at - interval '90 seconds'")
    with capture_logs() as lines:
        bed.settle(bed.duty())
    assert [line["event"] for line in lines] == ["webhook.postponed", "webhook.delivered"]
    assert {line["job_id"] for line in lines} == {job_id}
    for hidden in ("token-abc", "Jane", bed.secret, "whsec", "v1,"):
        assert hidden not in str(lines)
    after = ATTEMPTS.labels("delivered")._value.get(), ATTEMPTS.labels("postponed")._value.get()
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


def test_an_endpoint_that_fails_for_days_is_named_in_the_log_without_its_path(bed: Bed, receiver: Receiver) -> None:
    receiver.behave("/hook-token-abc", 500)
    bed.attempt(bed.ended(receiver.url("/hook-token-abc")), bed.duty())
    bed.execute("UPDATE webhook_endpoints SET failing_since = failing_since - interval '30 hours'")
    with capture_logs() as lines:
        bed.duty().run_pass()
    (line,) = [line for line in lines if line["event"] == "webhook.endpoint_failing"]
    assert (line["tenant"], line["receiver"], line["hours"]) == (TENANT, f"http://{receiver.address}", 30)
    assert "token" not in str(lines)
    assert FAILING._value.get() == 1


def test_a_database_that_restarts_during_a_send_does_not_make_it_sent_twice(receiver: Receiver) -> None:
    with running_postgres() as postgres:
        upgrade(url := postgres.create_database("fq"))
        database = Database(url)
        bed = Bed(database, receiver)
        job_id, duty = bed.ended(), bed.duty()

        go, slow = held(receiver)
        receiver.behave("/hook", slow)
        duty.run_pass()
        receiver.wait()
        postgres.stop()
        go.set()
        postgres.start()
        assert duty.wait(40)
        assert (bed.event(job_id).state, len(receiver.got)) == ("delivered", 1)
        bed.close()
        database.close()
