"""The duties around jobs that have ended, put together: replays of dead letters, retention, erasure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from storage.database import Database
from storage.dead.replay_steps import ReplaySteps
from storage.erasures import Erasures
from storage.objects.open_store import open_store
from storage.retention import Retention
from workers.dispatcher.duty import Duty
from workers.dispatcher.erasures import ErasuresDuty
from workers.dispatcher.replays import Replays
from workers.dispatcher.retention import RetentionDuty
from workers.doorbell import Doorbell
from workers.hints import Hints
from workers.settings import DispatcherSettings


def keeping_duties(
    settings: DispatcherSettings, database: Database, doorbell: Doorbell, resources: ExitStack
) -> Sequence[Duty]:
    """Open what these duties need, to be closed with ``resources``. Raises: ObjectStoreUnavailable (local folder).

    Those that delete objects take no turns by the database's lock: a store may take longer than it may be held idle.
    """
    objects = open_store(settings)
    hints = Hints(settings.redis_url.get_secret_value())
    resources.callback(hints.close)
    replays = Replays(ReplaySteps(database), doorbell, tell=hints.tell)
    retention = RetentionDuty(Retention(database, settings.keep), objects)
    return [
        Duty("replays", replays, interval_seconds=1.0),
        Duty("retention", retention, interval_seconds=10.0, exclusive=False),
        Duty("erasures", ErasuresDuty(Erasures(database), objects), interval_seconds=5.0, exclusive=False),
    ]
