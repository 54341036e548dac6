"""What follows an erasure: every worker forgets the input, and objects that were just being written go as well.

A row lives a day. Who was silent for longer than that forgets everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import text

from storage.database import Database
from storage.objects.keys import own_prefixes
from storage.objects.port import ObjectStore
from storage.ownership import LATE_SECONDS

KEPT = timedelta(days=1)
#: keys told at once; who missed more forgets everything
TOLD_MAX = 1000
#: a transaction that erases may commit so much later than it wrote its row
COMMITTED_LATE = timedelta(seconds=30)
#: seconds after an erasure at which its objects are looked for: whoever was ill then, was writing, or is stale
LOOKS_SECONDS = (15.0, 600.0, LATE_SECONDS)
OBJECTS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """What was erased since somebody last asked."""

    keys: Sequence[str]
    #: give it to the next question
    now: datetime
    #: there was more than can be told: forget everything
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Erasure:
    """One row of ``erasures``."""

    job_id: str
    input_key: str | None
    looks: int


_SINCE = text("""
    SELECT clock_timestamp() AS now, ARRAY(
        SELECT e.input_key FROM erasures e WHERE e.at > CAST(:after AS timestamptz) AND e.input_key IS NOT NULL
        ORDER BY e.at LIMIT :limit) AS keys
""")

_DUE = text("""
    SELECT job_id::text AS job_id, input_key, looks FROM erasures WHERE look_at <= (SELECT clock_timestamp())
    ORDER BY look_at LIMIT :limit
""")
_LOOKED = text("""
    UPDATE erasures SET looks = looks + 1, look_at = at + make_interval(secs => CAST(:seconds AS float8))
    WHERE job_id = CAST(:job_id AS uuid) AND looks = :looks
""")
_FORGET = text("""
    DELETE FROM erasures WHERE job_id IN (
        SELECT job_id FROM erasures WHERE at < (SELECT clock_timestamp() - CAST(:kept AS interval)) AND look_at IS NULL
        LIMIT :limit)
""")


class Erasures:
    """Asked by workers with each heartbeat, worked off by the dispatcher."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, after: datetime | None) -> Told:
        """Return input keys erased since ``after``, the ``now`` of an earlier answer; None never asked."""
        where = {"after": None if after is None else after - COMMITTED_LATE, "limit": TOLD_MAX + 1}
        with self._database.transaction() as connection:
            row = connection.execute(_SINCE, where).one()
        if after is None or after < row.now - KEPT or len(row.keys) > TOLD_MAX:
            return Told([], row.now, everything=True)
        return Told(row.keys, row.now)

    def due(self, limit: int = 100) -> Sequence[Erasure]:
        """Erasures whose objects should be looked for now."""
        with self._database.transaction() as connection:
            return [Erasure(**row._mapping) for row in connection.execute(_DUE, {"limit": limit})]

    def looked(self, erasure: Erasure) -> None:
        """Note that nothing is left; the next look comes later, after the last there is none."""
        later = LOOKS_SECONDS[erasure.looks + 1 :]
        row = {"job_id": erasure.job_id, "looks": erasure.looks, "seconds": later[0] if later else None}
        with self._database.transaction() as connection:
            connection.execute(_LOOKED, row)

    def forget(self, limit: int = 1000) -> int:
        """Delete rows that everybody has heard of."""
        with self._database.transaction() as connection:
            return connection.execute(_FORGET, {"kept": KEPT, "limit": limit}).rowcount


def delete_objects(objects: ObjectStore, job_id: str, named: Sequence[str]) -> int:
    """Delete what an erased job named, and everything below its own prefixes; return how many were found there.

    Raises: ObjectStoreUnavailable.
    """
    objects.delete(named)
    found = 0
    for prefix in own_prefixes(job_id):
        while keys := [item.key for item in islice(objects.list(prefix), OBJECTS_AT_ONCE)]:
            objects.delete(keys)
            found += len(keys)
    return found
