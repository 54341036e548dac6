"""What is forgotten, counted, logged and reported of webhooks."""

from __future__ import annotations

from structlog.testing import capture_logs

from tests.fakes.webhook_receiver import Receiver, status
from tests.integration.webhooks.bed import TENANT, Bed
from workers.dispatcher.webhooks import ATTEMPTS, FAILING


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
