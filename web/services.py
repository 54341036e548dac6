"""Everything a request may use, built once per process and passed to the views."""

from __future__ import annotations

from dataclasses import dataclass

from storage.access import KeyStore
from storage.audit import Audit
from storage.batches.store import BatchStore
from storage.database import Database
from storage.dead.letters import DeadLetters
from storage.dead.replay_orders import ReplayOrders
from storage.depth import Depth
from storage.fleet import Fleet
from storage.jobs import JobStore
from storage.models import Models
from storage.objects.open_store import open_store
from storage.objects.port import ObjectStore
from storage.registry import Registry
from storage.settings import open_database
from storage.uploads import UploadStore
from storage.webhooks.deliveries import WebhookStore
from storage.webhooks.secrets import WebhookSecretStore
from web.catalog import Catalog
from web.settings import WebSettings
from web.situation import Situation
from web.waiting import WaitingRoom
from workers.doorbell import Doorbell
from workers.hints import CANCELS, Hints


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of the views; nothing here connects to anything before its first use."""

    settings: WebSettings
    database: Database
    objects: ObjectStore
    jobs: JobStore
    uploads: UploadStore
    batches: BatchStore
    dead: DeadLetters
    replays: ReplayOrders
    audit: Audit
    webhooks: WebhookStore
    webhook_secrets: WebhookSecretStore
    keys: KeyStore
    registry: Registry
    models: Models
    depth: Depth
    fleet: Fleet
    doorbell: Doorbell
    hints: Hints
    #: heard by the workers: a canceled job stops running at once instead of at the next heartbeat
    cancels: Hints
    catalog: Catalog
    situation: Situation
    waiting: WaitingRoom

    def close(self) -> None:
        """Stop the threads and give the connections back."""
        self.doorbell.close()
        self.hints.close()
        self.cancels.close()
        self.database.close()


def build_services(settings: WebSettings) -> Services:
    """Wire the process; call it after a fork."""
    database = open_database(settings)
    redis_url = settings.redis_url.get_secret_value()
    registry = Registry(database)
    depth, fleet = Depth(database), Fleet(database)
    hints = Hints(redis_url)
    jobs = JobStore(database)
    return Services(
        settings=settings,
        database=database,
        objects=open_store(settings),
        jobs=jobs,
        uploads=UploadStore(database),
        batches=BatchStore(database),
        dead=DeadLetters(database),
        replays=ReplayOrders(database),
        audit=Audit(database),
        webhooks=WebhookStore(database),
        webhook_secrets=WebhookSecretStore(database),
        keys=KeyStore(database),
        registry=registry,
        models=Models(database),
        depth=depth,
        fleet=fleet,
        doorbell=Doorbell(redis_url),
        hints=hints,
        cancels=Hints(redis_url, stream=CANCELS),
        catalog=Catalog(registry, settings.default_params),
        situation=Situation(depth, fleet),
        waiting=WaitingRoom(jobs, hints, seats=settings.web_threads // 2, recheck_seconds=settings.recheck_seconds),
    )
