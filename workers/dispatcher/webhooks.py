"""Duty: send webhooks, each until its receiver has it or 72 h are over.

Any number of dispatchers share the work: an event is claimed with a lease, so that no two send it at once, and one
whose sender died is sent again. Receivers take turns; a slow one holds a bounded number of threads.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import tenacity
from prometheus_client import Counter, Gauge

from storage.errors import DatabaseUnavailable
from storage.webhooks.outbox import FIRST, Attempt, ClaimedEvent, Receiver, WebhookOutbox
from storage.webhooks.secrets import WebhookSecretStore
from workers.dispatcher.crew import Crew
from workers.dispatcher.webhook_schedule import next_delay
from workers.dispatcher.webhook_sender import Answer
from workers.dispatcher.webhook_turns import Bounds, share_out
from workers.logs import get_logger

log = get_logger(__name__)

ATTEMPTS = Counter(
    "framequeue_webhook_attempts_total", "Attempts to deliver a webhook, by what became of the event.", ["outcome"]
)
PENDING = Gauge("framequeue_webhook_pending", "Webhook events that are not delivered yet.")
OVERDUE = Gauge("framequeue_webhook_overdue_seconds", "How long the most overdue webhook event has been due.")
FAILING = Gauge("framequeue_webhook_failing_endpoints", "Endpoints failing for a day or more, counted to 20.")

#: an event whose sender says nothing for so long is due again; four times the longest attempt
LEASE_SECONDS = 60.0
#: how long one pass goes on claiming while there is something to send
PASS_SECONDS = 2.0
#: how often it looks for what has become due meanwhile
LOOK_SECONDS = 0.5
#: receivers looked at in one claim
LOOKED_AT = 1000
#: receivers remembered as troubled
TROUBLED_MAX = 10_000
CHORES_SECONDS = 15.0
FAILING_HOURS = 24.0
#: an endpoint that keeps failing is named in the log this often
REPORT_SECONDS = 6 * 3600.0


class Sender(Protocol):
    """``WebhookSender``, as this duty uses it."""

    def send(self, event: ClaimedEvent) -> Answer:
        """Try once."""


class Webhooks:
    """Owns the threads that send: at most ``concurrency``."""

    def __init__(
        self, outbox: WebhookOutbox, secrets: WebhookSecretStore, sender: Sender, *, base_url: str,
        concurrency: int = 32, retry_scale: float = 1.0, keep_days: float = 30.0,
        lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """``base_url``: the API as clients reach it. ``retry_scale``: of every delay, and of the 72 h."""
        self._outbox = outbox
        self._secrets = secrets
        self._sender = sender
        self._base_url = base_url
        self._bounds = Bounds.of(concurrency)
        self._retry_scale = retry_scale
        self._keep_days = keep_days
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._crew = Crew(concurrency, self._deliver, name="webhook")
        self._stop = threading.Event()
        #: guards the next four; told whenever an attempt has ended
        self._mutex = threading.Condition()
        self._ended = 0
        self._in_hand: Tally[Receiver] = Tally()
        self._troubled: OrderedDict[Receiver, None] = OrderedDict()
        self._last = FIRST
        self._chores_at = self._report_at = float("-inf")

    def run_pass(self) -> None:
        """Send what is due for about two seconds; then look after the rest. Raises: DatabaseUnavailable."""
        until = self._clock() + PASS_SECONDS
        while not self._stop.is_set() and (left := until - self._clock()) > 0:
            ended = self._ended
            free = self._crew.wait_for_room(left)
            if not self._claim(free):
                break
            self._wait_for_turn(ended)
        if self._clock() >= self._chores_at:
            self._chores_at = self._clock() + CHORES_SECONDS
            self._chores()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for all attempts that were begun; return whether they have ended."""
        return self._crew.wait(timeout_seconds)

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Begin nothing more; what is cut off in an attempt is sent again once its lease is over."""
        self._stop.set()
        self._crew.close(timeout_seconds)

    def _claim(self, free: int) -> bool:
        """Give free threads something to send; return whether to look again in this pass."""
        seen = self._outbox.receivers(self._last, LOOKED_AT)
        due = [receiver for receiver, is_due in seen.items() if is_due]
        with self._mutex:
            rooms = share_out(free, due, self._in_hand, self._troubled, self._bounds)
        self._last = list(rooms)[-1] if rooms else list(seen)[-1] if len(seen) == LOOKED_AT else FIRST
        if not rooms:
            return bool(due)
        events = self._outbox.claim(rooms, lease_seconds=self._lease_seconds, base_url=self._base_url)
        with self._mutex:
            self._in_hand.update(event.receiver for event in events)
        self._crew.add({event.claim_id + event.id: event for event in events})
        return bool(events)

    def _wait_for_turn(self, ended: int) -> None:
        """Wait until an attempt has ended since ``ended`` was read, for its place may be wanted; not for long."""
        with self._mutex:
            self._mutex.wait_for(lambda: self._ended != ended or not self._in_hand, LOOK_SECONDS)

    def _deliver(self, event: ClaimedEvent) -> None:
        """One event in its thread; whatever happens is settled or logged here."""
        try:
            answer = self._sent(event)
            self._note_trouble(event.receiver, troubled=not answer.attempt.delivered)
            ATTEMPTS.labels(self._settled_with_retries(event, answer)).inc()
        except Exception:
            # the outcome could not be written: the lease runs out, and it is sent again
            log.exception("webhook.interrupted", event_id=event.id, job_id=event.job_id)
        finally:
            with self._mutex:
                self._in_hand -= Tally([event.receiver])
                self._ended += 1
                self._mutex.notify_all()

    def _sent(self, event: ClaimedEvent) -> Answer:
        try:
            return self._sender.send(event)
        except Exception as error:
            # a fault of ours is told like one of theirs, without its words, and tried again like it
            log.exception("webhook.error", event_id=event.id, job_id=event.job_id)
            return Answer(Attempt(None, f"it could not be sent: {type(error).__name__}", 0.0))

    def _settled_with_retries(self, event: ClaimedEvent, answer: Answer) -> str:
        """Write the outcome, through an outage of the database if need be: else the receiver is told twice."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(DatabaseUnavailable),
            stop=tenacity.stop_after_delay(self._lease_seconds / 2) | tenacity.stop_when_event_set(self._stop),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=3),
            sleep=tenacity.sleep_using_event(self._stop),
            reraise=True,
        )
        return retrying(self._settled, event, answer)

    def _settled(self, event: ClaimedEvent, answer: Answer) -> str:
        """Write the outcome and return its name. Raises: DatabaseUnavailable."""
        attempt = answer.attempt
        if attempt.delivered:
            ours, outcome = self._outbox.delivered(event, attempt), "delivered"
        elif answer.gone:
            ours, outcome = self._outbox.gone(event, attempt), "disabled"
        elif (delay := self._delay(event, answer)) is not None:
            ours, outcome = self._outbox.postponed(event, attempt, delay), "postponed"
        else:
            ours, outcome = self._outbox.failed(event, attempt), "failed"
        told = log.info if outcome == "delivered" else log.warning
        if not ours:
            outcome = "superseded"
        told(
            f"webhook.{outcome}",
            event_id=event.id,
            job_id=event.job_id,
            status=attempt.status,
            error=attempt.error,
            attempts=event.attempts + 1,
        )
        return outcome

    def _delay(self, event: ClaimedEvent, answer: Answer) -> float | None:
        age_seconds = event.age_seconds + answer.attempt.seconds
        jitter = random.random()  # noqa: S311 - spreads retries
        return next_delay(
            event.retries, age_seconds, jitter, retry_after=answer.retry_after_seconds, scale=self._retry_scale
        )

    def _note_trouble(self, receiver: Receiver, *, troubled: bool) -> None:
        with self._mutex:
            self._troubled.pop(receiver, None)
            if troubled:
                self._troubled[receiver] = None
                if len(self._troubled) > TROUBLED_MAX:
                    self._troubled.popitem(last=False)

    def _chores(self) -> None:
        pending = self._outbox.pending()
        PENDING.set(pending.count)
        OVERDUE.set(pending.overdue_seconds)
        self._outbox.forget(self._keep_days)
        self._secrets.forget_expired()
        self._report_failing()

    def _report_failing(self) -> None:
        failing = self._outbox.failing(FAILING_HOURS)
        FAILING.set(len(failing))
        if self._clock() < self._report_at:
            return
        self._report_at = self._clock() + REPORT_SECONDS
        for endpoint in failing:
            log.warning(
                "webhook.endpoint_failing",
                endpoint_id=endpoint.id,
                tenant=endpoint.tenant,
                receiver=endpoint.receiver,
                hours=round(endpoint.hours),
                status=endpoint.last_status,
            )
