"""Pictures of a result: drawn before its segment is done, put under the claim's key, named with the result or never.

A picture is worth less than the result: whatever fails on the way is a warning ``artifacts.failed``. Only what would
stop any work (a cancel, a shutdown, the store being away) stops this too, the last for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from pipeline.media import MediaInfo
from pipeline.pipelines.base import Row
from storage.artifacts import Artifact
from storage.claims import ClaimLost
from storage.job import ClaimedSegment, Done
from storage.objects.keys import artifact_key
from workers.hand import Hand, Stopped, outlasting_hiccups
from workers.inputs import Lent
from workers.logs import get_logger
from workers.retry import TimedOut, concerns_everyone

if TYPE_CHECKING:
    from pipeline.illustrating import Artifact as Drawn

log = get_logger(__name__)

#: longest that the pictures of one result may take, and the share of the claim's remaining time
MAX_SECONDS = 600.0
SHARE = 0.5
#: faults of the infrastructure that a segment waits out before it goes on without pictures
MAX_HOLDUPS = 3


def wanted(segment: ClaimedSegment) -> bool:
    """Whether the job asked for pictures and this segment ends it."""
    return bool(segment.params.get("artifacts")) and (segment.segments_total == 1 or segment.kind == "merge")


def with_artifacts(
    hand: Hand,
    segment: ClaimedSegment,
    done: Done,
    *,
    media: MediaInfo,
    rows: Callable[[], Iterable[Row]],
    lend: Callable[[], AbstractContextManager[Lent]],
) -> Done:
    """Return the outcome with the pictures its job asked for, which lie in the store by then.

    rows: gives all rows of the job from the first on, each time it is called. lend: lends the input.
    Raises: ClaimLost, Stopped, TimedOut, and faults of the infrastructure, those at most three times.
    """
    if not wanted(segment):
        return done
    if segment.attempts and segment.attempts + 1 >= segment.max_attempts:
        return _warned(done, "left out, so that the last attempt does not fail by them")
    started = time.perf_counter()
    try:
        with lend() as given, TemporaryDirectory(dir=hand.station.scratch.folder, prefix="artifacts-") as folder:
            done = _illustrated(hand, segment, done, media=media, rows=rows, given=given, folder=Path(folder))
    except Exception as error:
        if _stops(segment, error):
            raise
        log.warning("artifacts.failed", job_id=segment.job_id, error=repr(error), exc_info=True)
        done = _warned(done, "the input or a picture could not be read or kept")
    return replace(done, timings={**done.timings, "artifacts": round(time.perf_counter() - started, 4)})


def _illustrated(
    hand: Hand,
    segment: ClaimedSegment,
    done: Done,
    *,
    media: MediaInfo,
    rows: Callable[[], Iterable[Row]],
    given: Lent,
    folder: Path,
) -> Done:
    # the encoder and the fonts take memory: only a worker that is asked for pictures loads them
    from pipeline.illustrating import Shown, illustrate  # noqa: PLC0415

    pipeline = hand.station.pipelines[segment.pipeline]
    shown = Shown(pipeline, given.path, media, segment.params, done.summary or {}, rows, given.parts)
    ends = time.monotonic() + min(MAX_SECONDS, SHARE * hand.seconds_left)
    made = illustrate(
        shown,
        hand.station.cage,
        folder,
        tick=hand.checkpoint,
        enough=lambda: time.monotonic() >= ends,
        stops=lambda error: _stops(segment, error),
    )
    for error in made.errors:
        log.warning("artifacts.failed", job_id=segment.job_id, error=repr(error), exc_info=error)
    kept = [_kept(hand, segment, one) for one in made.artifacts]
    return replace(done, artifacts=kept, warnings=[*done.warnings, *made.warnings])


def _kept(hand: Hand, segment: ClaimedSegment, drawn: Drawn) -> Artifact:
    key = artifact_key(segment.job_id, segment.run, segment.id, hand.claim.id, drawn.name)
    size_bytes, sha256 = _put(hand, key, drawn.path, drawn.content_type)
    return Artifact(drawn.name, key, drawn.content_type, size_bytes, sha256, drawn.caption)


@outlasting_hiccups
def _put(hand: Hand, key: str, path: Path, content_type: str) -> tuple[int, str]:
    hand.checkpoint()
    with path.open("rb") as file:
        body = cast("BinaryIO", _Lively(file, hand.checkpoint))
        stored = hand.station.objects.put(key, body, content_type=content_type)
    assert stored.sha256 is not None  # all bytes passed through us
    return stored.size_bytes, stored.sha256


class _Lively:
    """A file whose reader shows life with every piece: a film takes longer to send than a claim may be silent."""

    def __init__(self, file: IO[bytes], tick: Callable[[], None]) -> None:
        self._file = file
        self._tick = tick

    def read(self, size: int = -1) -> bytes:
        """Return the next piece. Raises: what the tick raises."""
        self._tick()
        return self._file.read(size)


def _stops(segment: ClaimedSegment, error: Exception) -> bool:
    """Whether an error ends the work in hand, not only a picture."""
    if isinstance(error, ClaimLost | Stopped | TimedOut):
        return True
    return concerns_everyone(error) and segment.holdups < MAX_HOLDUPS


def _warned(done: Done, why: str) -> Done:
    warning = {"code": "artifacts.failed", "message": f"Pictures of the result were not made: {why}."}
    return replace(done, warnings=[*done.warnings, warning])
