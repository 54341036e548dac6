"""Many events, several dispatchers, slow receivers: each once, and nobody delays another."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler

from storage.database import Database
from storage.migrate import upgrade
from storage.webhooks.outbox import FIRST, Attempt
from storage.webhooks.outbox import Receiver as Place
from tests.fakes.webhook_receiver import Receiver, status, webhook_receiver
from tests.integration.racing import together
from tests.integration.webhooks.bed import TENANT, Bed
from tests.integration.webhooks.behaviours import held
from tests.services import running_postgres


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
