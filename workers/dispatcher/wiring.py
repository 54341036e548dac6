"""Where the dispatcher is put together."""

from __future__ import annotations

from contextlib import ExitStack

from prometheus_client import start_http_server

from storage.database import Database
from storage.fleet import Fleet
from storage.settings import open_database
from storage.upkeep import Upkeep
from workers.dispatcher.batch_duties import batch_duties
from workers.dispatcher.doorbells import Doorbells
from workers.dispatcher.due import DueWork
from workers.dispatcher.duty import Duty
from workers.dispatcher.keeping_duties import keeping_duties
from workers.dispatcher.lost import LostClaims
from workers.dispatcher.object_duties import object_duties
from workers.dispatcher.process import Dispatcher
from workers.dispatcher.webhook_duties import webhook_duties
from workers.doorbell import Bell, Doorbell
from workers.settings import DispatcherSettings

#: each duty may hold the connection of its lock and one for its statements
CONNECTIONS_PER_DUTY = 2


def build(settings: DispatcherSettings, resources: ExitStack) -> Dispatcher:
    """Open what the duties need, to be closed with ``resources``."""
    least = 11 * CONNECTIONS_PER_DUTY + settings.ingest_concurrency
    database = open_database(settings, pool_size=max(settings.database_pool_size, least))
    resources.callback(database.close)
    redis_url = settings.redis_url.get_secret_value()
    doorbell = Doorbell(redis_url)
    resources.callback(doorbell.close, 0.5)
    upkeep = Upkeep(database)
    duties = _duties(settings, database, doorbell, resources.enter_context(Bell(redis_url)))
    duties += batch_duties(settings, database, doorbell, resources)
    duties += object_duties(settings, database, doorbell, resources)
    duties += keeping_duties(settings, database, doorbell, resources)
    duties += webhook_duties(settings, resources)
    return Dispatcher(duties, upkeep.duty, alive_file=settings.alive_file)


def serve_metrics(settings: DispatcherSettings) -> None:
    """Serve Prometheus metrics, if a port is set."""
    if settings.dispatcher_metrics_port:
        start_http_server(settings.dispatcher_metrics_port, addr=settings.metrics_host)


def _duties(settings: DispatcherSettings, database: Database, doorbell: Doorbell, bell: Bell) -> list[Duty]:
    upkeep, fleet = Upkeep(database), Fleet(database)
    lost = LostClaims(fleet, upkeep, doorbell)
    return [
        Duty("lost", lost, interval_seconds=1.0, before=lost.look),
        Duty("due", DueWork(upkeep, doorbell), interval_seconds=1.0),
        Duty("doorbells", Doorbells(upkeep, fleet, bell, cap=settings.ring_cap), interval_seconds=1.0),
    ]
