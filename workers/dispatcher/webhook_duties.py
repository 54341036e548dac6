"""The duty that sends webhooks, put together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from storage.database import Database
from storage.webhooks.outbox import WebhookOutbox
from storage.webhooks.secrets import WebhookSecretStore
from workers.dispatcher.duty import Duty
from workers.dispatcher.webhook_sender import WebhookSender
from workers.dispatcher.webhooks import Webhooks
from workers.remote_request import FetchRules
from workers.settings import DispatcherSettings

#: connections of its own: threads that settle must not take those of other duties
CONNECTIONS = 4


def webhook_duties(settings: DispatcherSettings, resources: ExitStack) -> Sequence[Duty]:
    """Open what the duty needs, to be closed with ``resources``.

    It takes no turns by the database's lock: a pass lasts longer than that lock may be held idle, and each event is
    claimed on its own.
    """
    database = Database(settings.database_url.get_secret_value(), pool_size=CONNECTIONS)
    resources.callback(database.close)
    duty = Webhooks(
        WebhookOutbox(database),
        WebhookSecretStore(database),
        WebhookSender(webhook_rules(settings)),
        base_url=settings.public_url.rstrip("/"),
        concurrency=settings.webhook_concurrency,
        retry_scale=settings.webhook_retry_scale,
        keep_days=settings.webhook_keep_days,
    )
    # ended before what its threads use is closed
    resources.callback(duty.close)
    return [Duty("webhooks", duty, interval_seconds=0.5, exclusive=False)]


def webhook_rules(settings: DispatcherSettings) -> FetchRules:
    """Return where webhooks may go; networks that are closed to fetching are closed to them too."""
    return FetchRules(
        max_bytes=0,
        ports=frozenset(settings.webhook_ports),
        private_hosts=frozenset(host.lower() for host in settings.webhook_private_hosts),
        denied_networks=settings.ingest_denied_networks,
        total_seconds=settings.webhook_timeout_seconds,
        stall_seconds=settings.webhook_timeout_seconds,
    )
