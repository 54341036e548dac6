"""An event is told again until its receiver has it, is gone, or three days are over."""

from __future__ import annotations

import pytest

from storage.audit import SHELL
from storage.errors import WebhookDisabled
from tests.fakes.webhook_receiver import Behaviour, Receiver, closing, half_a_head, nonsense, status, webhook_receiver
from tests.integration.webhooks.bed import TENANT, Bed
from tests.integration.webhooks.behaviours import drip, endless, held

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
