"""The duties that carry batches, put together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from storage.batches.expanding import BatchExpander
from storage.batches.making import BatchMaker
from storage.batches.replaying import BatchReplayer
from storage.database import Database
from workers.dispatcher.batches import Batches
from workers.dispatcher.duty import Duty
from workers.dispatcher.object_duties import remote_sources
from workers.dispatcher.prefixes import Prefixes
from workers.doorbell import Doorbell
from workers.hints import CANCELS, Hints
from workers.settings import DispatcherSettings


def batch_duties(
    settings: DispatcherSettings, database: Database, doorbell: Doorbell, resources: ExitStack
) -> Sequence[Duty]:
    """Open what these duties need, to be closed with ``resources``.

    Neither takes turns by the database's lock: each step has a lock of its batch, or a cursor that only one can move.
    """
    redis_url = settings.redis_url.get_secret_value()
    hints, cancels = Hints(redis_url), Hints(redis_url, stream=CANCELS)
    resources.callback(hints.close)
    resources.callback(cancels.close)
    batches = Batches(
        BatchMaker(database), BatchReplayer(database), doorbell, tell=hints.tell, tell_canceled=cancels.tell
    )
    prefixes = Prefixes(
        BatchExpander(database), remote_sources(settings), patience_seconds=settings.ingest_patience_seconds
    )
    return [
        Duty("batches", batches, interval_seconds=1.0, exclusive=False),
        Duty("prefixes", prefixes, interval_seconds=1.0, exclusive=False),
    ]
