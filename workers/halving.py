"""Finding the culprit of a claim: after an error that is nobody's in particular, each half runs on its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from storage.claims import ClaimLost
from storage.job import ClaimedSegment
from workers.hand import Hand, Stopped
from workers.logs import get_logger
from workers.retry import TimedOut, concerns_everyone, decide
from workers.segments import run_infers

log = get_logger(__name__)


def run_halved(hand: Hand, segments: Sequence[ClaimedSegment]) -> None:
    """Run like segments together; where that fails, by halves, until the one that cannot be run is alone.

    Only that one is charged, and the others are done within this very claim.
    Raises: ClaimLost, Stopped, TimedOut, and faults of the infrastructure.
    """
    if not segments:
        return
    try:
        run_infers(hand, segments)
    except (ClaimLost, Stopped, TimedOut):
        raise
    except Exception as error:
        left = [hand.open[segment.id] for segment in segments if segment.id in hand.open]
        if concerns_everyone(error) or not left:
            raise
        if len(left) == 1:
            log.warning("segment.failed", job_id=left[0].job_id, error=repr(error), exc_info=True)
            hand.collect(decide(error, left[0], datetime.now(UTC), worker=hand.claim.worker_id))
            return
        log.warning("claim.halved", segments=len(left), error=repr(error))
        middle = len(left) // 2
        run_halved(hand, left[:middle])
        run_halved(hand, left[middle:])
