"""The protocol of work: claim, plan, finish, give back, lose.

Every write names its claim and says whether it took effect. A job's end, whoever brings it, drops
the unfinished segments and clears their claim in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from storage.job import Claim, ClaimedSegment, Outcome, SegmentPlan


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The answer to a heartbeat: which claims are still held, and what the worker should do."""

    #: claims whose results would still be accepted, those of a lost worker that nobody took over among them
    held: frozenset[str]
    draining: bool
    #: this worker's row was declared lost; it must register anew before it claims again
    lost: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """Segments taken from a worker."""

    segments: int
    #: of those, ended dead
    buried: int
    #: (lane, size_class) of those ready again
    lanes: frozenset[tuple[str, str]]

    def __add__(self, other: Lost) -> Lost:
        return Lost(self.segments + other.segments, self.buried + other.buried, self.lanes | other.lanes)


#: age of a claim that its worker must know of by now
LEFT_BEHIND_SECONDS = 60.0
NOTHING_LOST = Lost(segments=0, buried=0, lanes=frozenset())


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planner found out about one input."""

    segments: Sequence[SegmentPlan]
    media: Mapping[str, Any]
    warnings: Sequence[Mapping[str, Any]] = ()
    #: of the input, where all its bytes passed through the planner
    input_sha256: str | None = None

    @property
    def cost_seconds(self) -> float:
        """Predicted work of the whole input."""
        return sum(part.cost_seconds for part in self.segments)


@dataclass(frozen=True, slots=True)
class Planned:
    """What became of plan segments, by id."""

    #: turned into the only infer segment of their job, still under the claim
    infers: Mapping[str, ClaimedSegment]
    #: made way for several infer segments, which are ready now
    cut: frozenset[str]
    #: not held by the claim any more; nothing was written
    lost: frozenset[str]


class Claims(Protocol):
    """What a runner needs of the queue; ``SqlClaims`` and the memory fake are held to one contract suite."""

    def claim(
        self,
        worker_id: str,
        *,
        lanes: Sequence[str],
        size_classes: Sequence[str],
        serves: Sequence[tuple[str, int]],
        limit: int,
    ) -> Claim | None:
        """Take the first ready segment by tag, and up to ``limit - 1`` more with the same batch key and kind.

        ``serves`` are (pipeline, spec_version) pairs: work of that version or an older one is taken. Solo segments,
        merge segments and those of size class ``long`` come alone. Nothing is given to a worker that is not ``live``.
        """

    def plan_all(self, claim: Claim, plans: Mapping[str, Plan]) -> Planned:
        """Carry out plans (segment id -> plan) in one transaction, each fenced by the claim.

        One part: the plan segment itself becomes the only infer segment, still under this claim. Several: they are
        inserted ``ready`` and the plan segment is done.
        Raises: ValueError when a plan has no part.
        """

    def plan(
        self,
        claim: Claim,
        segment_id: str,
        plans: Sequence[SegmentPlan],
        *,
        media: Mapping[str, Any],
        warnings: Sequence[Mapping[str, Any]] = (),
    ) -> ClaimedSegment | None:
        """Carry out one plan; return the infer segment it became, None when it made way for several.

        Raises: ClaimLost when the claim no longer holds the segment; ValueError.
        """

    def finish(self, claim: Claim, outcomes: Sequence[Outcome]) -> Mapping[str, bool]:
        """Write outcomes of some or all segments of the claim in one transaction; say for each whether it was accepted.

        Accepted from state ``claimed``, or ``ready``/``waiting`` after a loss, while the claim_id is still ours.
        The last infer segment inserts the merge segment; the merge, or the only infer segment, ends the job.
        """

    def heartbeat(
        self, worker_id: str, progress: Mapping[str, tuple[int, int]], *, in_hand: Collection[str] | None = None
    ) -> Heartbeat:
        """Renew the worker's row, store (done, total) frames per segment id, and tell what is still held.

        ``in_hand`` are all claims the worker knows of: what it has held for LEFT_BEHIND_SECONDS under any other goes
        back, uncharged. An answer that never came, or an outcome that could not be written, would else leave segments
        in nobody's hand while their worker lives.
        """

    def holds(self, claim: Claim) -> bool:
        """Whether any segment is still held under this claim."""


class ClaimLost(Exception):
    """Another worker, a cancel or a deletion has taken what this claim held; stop and write nothing."""
