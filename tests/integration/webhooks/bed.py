"""What tests of webhooks share: jobs that end, receivers on loopback, and duties as several dispatchers have them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from sqlalchemy import text

from storage.audit import SHELL
from storage.database import Database
from storage.webhooks.deliveries import Delivery, DeliveryState, WebhookStore
from storage.webhooks.outbox import WebhookOutbox
from storage.webhooks.secrets import WebhookSecretStore
from tests.fakes.sql_queue import SqlQueue
from tests.fakes.webhook_receiver import Receiver
from workers.dispatcher.webhook_sender import WebhookSender
from workers.dispatcher.webhooks import Webhooks
from workers.remote_request import FetchRules

TENANT = "tenant"
#: the first retry after 10 ms, the last after 8 min
QUICK = 0.002


class Bed:
    """A queue, its webhooks, and as many dispatchers as a test wants."""

    def __init__(self, database: Database, receiver: Receiver) -> None:
        self.database = database
        self.queue = SqlQueue(database)
        self.queue.register("worker")
        self.outbox = WebhookOutbox(database)
        self.secrets = WebhookSecretStore(database)
        self.store = WebhookStore(database)
        self.receiver = receiver
        self.private = {receiver.address}
        _, self.secret = self.secrets.create(TENANT, overlap_seconds=0, by=SHELL)
        self._open = ExitStack()

    def duty(self, *, ssl_context: ssl.SSLContext | None = None, timeout: float = 5.0, **changes: Any) -> Webhooks:
        """A dispatcher's duty; ``ssl_context`` and ``timeout`` are its sender's."""
        rules = FetchRules(
            max_bytes=0, private_hosts=frozenset(self.private), connect_seconds=timeout, stall_seconds=timeout,
            total_seconds=timeout,
        )  # fmt: skip
        sender = WebhookSender(rules, ssl_context=ssl_context)
        given: dict[str, Any] = {"base_url": "https://queue.example.org", "retry_scale": QUICK} | changes
        duty = Webhooks(self.outbox, self.secrets, sender, **given)
        self._open.callback(duty.close, 5.0)
        return duty

    def ended(self, url: str | None = None, **fields: Any) -> str:
        """A job that was canceled; return its id."""
        job_id = self.queue.add_job(webhook_url=url or self.receiver.url(), **fields)
        assert self.queue.cancel(job_id)
        return job_id

    def of(self, job_id: str) -> list[Delivery]:
        return list(self.store.list(TENANT, job_id=job_id, limit=100).deliveries)

    def event(self, job_id: str) -> Delivery:
        """The only event of a job."""
        (found,) = self.of(job_id)
        return found

    def states(self) -> list[str]:
        return [one.state for one in self.store.list(TENANT, limit=1000).deliveries]

    def run_until(self, good: Callable[[], bool], *duties: Webhooks, seconds: float = 30.0) -> None:
        """Let the duties run passes until something holds; fails when it does not come."""
        deadline = time.monotonic() + seconds
        while not good():
            assert time.monotonic() < deadline, [(one.state, one.last_error) for one in self._all()]
            for duty in duties:
                duty.run_pass()

    def settle(self, *duties: Webhooks, seconds: float = 30.0) -> None:
        """Run until nothing is pending."""
        self.run_until(lambda: DeliveryState.PENDING not in self.states(), *duties, seconds=seconds)

    def attempt(self, job_id: str, duty: Webhooks, count: int = 1) -> Delivery:
        """Run until an event has been tried so often; return it."""
        self.run_until(lambda: self.event(job_id).attempts >= count, duty)
        return self.event(job_id)

    def age(self, job_id: str, hours: float) -> None:
        """Make an event older than it is, and due."""
        self.execute(
            "UPDATE webhook_events SET since = since - make_interval(secs => :s), next_at = clock_timestamp(), "
            "created_at = created_at - make_interval(secs => :s) "
            "WHERE job_id = CAST(:id AS uuid) AND state = 'pending'",
            s=hours * 3600, id=job_id,
        )  # fmt: skip

    def execute(self, statement: str, **values: Any) -> None:
        with self.database.transaction() as connection:
            connection.execute(text(statement), values)

    def told(self, job_id: str) -> list[str]:
        """States of its webhook as the job's history has them."""
        return [event["data"]["state"] for event in self.queue.store.events(job_id) if event["kind"] == "webhook"]

    def close(self) -> None:
        self._open.close()

    def _all(self) -> list[Delivery]:
        return list(self.store.list(TENANT, limit=1000).deliveries)
