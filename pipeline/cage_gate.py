"""The adaptive rule at work in the cage: what it passes over is told in short messages and never converted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.adaptive import Cells, Gate, Rule
from pipeline.media import PacketIndex

#: candidates passed over that one message may name; a long still stretch must go on giving signs of progress
SKIPPED_IN_MESSAGE = 64

Message = tuple[Mapping[str, Any], bytes]


class Sieve:
    """Parts the candidates of one request into frames to hand over and those passed over; without a rule, all pass."""

    def __init__(self, gate: Mapping[str, float] | None, index: PacketIndex) -> None:
        self._gate = Gate(Rule.of(gate), index) if gate is not None else None
        self._index = index
        self._skipped: list[int] = []

    def keeps(self, place: int, look: Callable[[], Cells]) -> bool:
        """Return whether the candidate is to be handed over; else it is noted."""
        if self._gate is None or self._gate.keeps(place, look):
            return True
        self._skipped.append(place)
        return False

    def told(self, at_least: int = 1) -> Iterator[Message]:
        """Yield a message that names the candidates passed over since the last one, if there are that many."""
        if len(self._skipped) >= at_least:
            places, self._skipped = self._skipped, []
            yield {"type": "skipped", "frames": [self._told(place) for place in places]}, b""

    def _told(self, place: int) -> dict[str, Any]:
        pts = int(self._index.pts[place])
        return {"place": place, "pts": pts, "seconds": float(pts * self._index.time_base), "scale": 1.0}
