"""One job as its events tell it: a small machine that knows what may follow what, and says where the history does not.

It is the protocol once more, written from the promises and not from the SQL: whatever the statements do, a history that
this machine cannot follow is one in which something was lost or done twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.faults.history import Event
from bench.faults.violations import Violation, of_event

ENDS = frozenset({"succeeded", "failed", "dead", "canceled"})
#: outcomes of a claim -> where they leave the segment
OUTCOMES = {
    "done": "done",
    "rejected": "dead",
    "buried": "dead",
    "retried": "free",
    "held_up": "free",
    "given_back": "free",
    "lost": "kept",
}
#: what says nothing of the state of a run, and may come after its end
REMARKS = frozenset({"refused", "webhook"})
#: what moves a segment that nobody holds
_STEPS = frozenset({"due", "merging"})
KNOWN = ENDS | OUTCOMES.keys() | REMARKS | _STEPS | {"submitted", "queued", "running", "claimed", "planned", "replayed"}


@dataclass(slots=True)
class SegmentLife:
    """A segment: ``free``, ``held`` by a claim, ``kept`` for a lost claim that nobody replaced, or ended."""

    state: str = "free"
    claim_id: str | None = None
    #: plan or infer; a merge goes with its run
    merge: bool = False
    #: a plan was carried out on it
    planned: bool = False
    #: cut into others: not a part of the result itself
    cut: bool = False
    #: dead, but its job goes on without it
    missing: bool = False
    #: belongs to an earlier run and has no future
    gone: bool = False
    #: claims of all its runs, in order
    claims: list[Event] = field(default_factory=list)
    last: Event | None = None
    accepted: Event | None = None


class JobLife:
    """Follows the events of one job in order; what is wrong is in ``violations``."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.run = 1
        self.state: str | None = None
        self.segments: dict[str, SegmentLife] = {}
        #: run -> the event that ended it
        self.ends: dict[int, Event] = {}
        #: run -> states it is recorded to have had
        self.states: dict[int, set[str]] = {}
        #: parts of this run, once it is planned
        self.parts = 0
        self.charged = 0
        self.violations: list[Violation] = []
        self._merging: Event | None = None

    def follow(self, events: Sequence[Event]) -> JobLife:
        """Take all events; return itself."""
        for event in events:
            self._take(event)
        return self

    @property
    def ended(self) -> Event | None:
        """The event that ended the run that is going on, if it has ended."""
        return self.ends.get(self.run)

    def _take(self, event: Event) -> None:
        kind = event.kind
        if kind in REMARKS or kind not in KNOWN:
            return
        if kind == "replayed":
            self._replay(event)
        elif self.ended is not None:
            rule = "end.twice" if kind in ENDS and event.run == self.run else "terminal.left"
            self._break(rule, f"{kind} after the run had ended", event, self.ended)
        elif event.run != self.run:
            self._break("finish.unheld", f"{kind} of run {event.run} while run {self.run} goes on", event)
        elif kind in ENDS:
            self._end(event)
        elif event.segment_id is not None:
            self._touch(event)
        else:
            self._become("queued" if kind == "submitted" and not event.data else kind, event)

    def _become(self, kind: str, event: Event) -> None:
        self.state = str((event.data or {}).get("state", kind)) if kind == "submitted" else kind
        self.states.setdefault(self.run, set()).add(self.state)

    def _touch(self, event: Event) -> None:
        assert event.segment_id is not None
        life = self.segments.setdefault(event.segment_id, SegmentLife())
        if event.kind == "claimed":
            self._claim(life, event)
        elif event.kind == "planned":
            self._plan(life, event)
        elif event.kind == "merging":
            self._merge(life, event)
        elif event.kind in OUTCOMES:
            self._outcome(life, event)
        life.last = event

    def _claim(self, life: SegmentLife, event: Event) -> None:
        if life.state == "held":
            self._break("claim.overlap", f"claimed while claim {life.claim_id} held it", event, life.last)
        elif life.state not in ("free", "kept") or life.gone:
            self._break("claim.again", f"claimed after it was {life.state}", event, life.accepted or life.last)
        life.state, life.claim_id = "held", event.claim_id
        life.claims.append(event)

    def _plan(self, life: SegmentLife, event: Event) -> None:
        if not self._holds(life, event):
            return
        life.planned = True
        self.parts = int((event.data or {}).get("segments", 0))
        if self.parts > 1:
            life.state, life.claim_id, life.cut, life.accepted = "done", None, True, event

    def _merge(self, life: SegmentLife, event: Event) -> None:
        ended = sum(one.state == "done" or one.missing for one in self._parts())
        if self._merging is not None:
            self._break("merge.wrong", "a second merge of this run", event, self._merging)
        elif ended != self.parts:
            self._break("merge.wrong", f"merged with {ended} of {self.parts} segments ended", event)
        self._merging = event
        life.merge = True

    def _outcome(self, life: SegmentLife, event: Event) -> None:
        if event.kind == "done" and life.state == "done":
            self._break("finish.twice", "a second result was accepted", event, life.accepted)
            return
        if not self._holds(life, event):
            return
        data = event.data or {}
        self.charged += bool(data.get("charged"))
        life.state = OUTCOMES[event.kind]
        life.claim_id = event.claim_id if life.state == "kept" else None
        life.missing = bool(data.get("missing"))
        if event.kind == "done":
            life.accepted = event

    def _holds(self, life: SegmentLife, event: Event) -> bool:
        """Whether the claim may write; a lost claim may still bring results, but it cannot plan or be lost again."""
        late = event.kind in OUTCOMES and event.kind != "lost"
        if event.claim_id == life.claim_id and (life.state == "held" or (life.state == "kept" and late)):
            return True
        newest = life.claims[-1] if life.claims else None
        replaced = newest is not None and any(one.claim_id == event.claim_id for one in life.claims[:-1])
        if replaced and newest is not None and newest.claim_id != event.claim_id:
            self._break("finish.replaced", f"{event.kind} was accepted of a claim that was replaced", event, newest)
        else:
            why = f"while the segment was {life.state}" + (f" under {life.claim_id}" if life.claim_id else "")
            self._break("finish.unheld", f"{event.kind} was accepted {why}", event, life.last)
        return False

    def _end(self, event: Event) -> None:
        self._become(event.kind, event)
        self.ends[self.run] = event
        if event.kind == "succeeded":
            self._succeed(event)
        if event.kind == "dead" and not any(one.state == "dead" and not one.gone for one in self.segments.values()):
            self._break("end.unfounded", "dead, and no segment was given up", event)
        for life in self.segments.values():
            if life.state not in ("done", "dead"):
                life.state, life.claim_id = "dropped", None

    def _succeed(self, event: Event) -> None:
        parts = list(self._parts())
        whole = sum(one.state == "done" for one in parts) + sum(one.missing for one in parts)
        merged = any(one.merge and not one.gone and one.state == "done" for one in self.segments.values())
        if self.parts == 0 or whole != self.parts or (self.parts > 1 and not merged):
            unmerged = ", unmerged" if self.parts > 1 and not merged else ""
            self._break("success.gap", f"succeeded with {whole} of {self.parts} segments{unmerged}", event)

    def _replay(self, event: Event) -> None:
        data = event.data or {}
        if self.ended is None or event.run != self.run + 1 or data.get("from") != self.state:
            self._break("replay.unended", f"run {event.run} was begun when run {self.run} was {self.state}", event)
        self.run, self.state, self.charged, self._merging = event.run, "queued", 0, None
        self.states.setdefault(self.run, set()).update({"queued", "uploading"})
        for life in self.segments.values():
            if life.gone:
                continue
            if not data.get("kept") or life.merge:
                life.state, life.claim_id, life.gone = "dropped", None, True
            elif life.state != "done":
                life.state, life.claim_id, life.missing = "free", None, False
        if not data.get("kept"):
            self.parts = 0

    def _parts(self) -> Iterator[SegmentLife]:
        return (one for one in self.segments.values() if not (one.cut or one.merge or one.gone))

    def _break(self, rule: str, message: str, event: Event, *others: Event | None) -> None:
        self.violations.append(of_event(rule, message, event, *others))
