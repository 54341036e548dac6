"""Where a video cuts: rows whose coarse pictures differ as nothing around them does."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

#: mean difference of the cells' grey, of 255, under which nothing is a cut
MIN_DIFFERENCE = 10.0
#: and how many times what the frames before differed by; shuffling hands stay under 4, cuts between trays are over 7
TIMES_USUAL = 4.0
REMEMBERED = 5


class Cuts:
    """Say of each frame whether a cut lies before it."""

    def __init__(self) -> None:
        self._last: Sequence[int] | None = None
        self._usual: deque[float] = deque(maxlen=REMEMBERED)

    def step(self, look: Sequence[int]) -> bool:
        """Go to the next frame; ``look`` as ``look_of`` makes it."""
        last, self._last = self._last, look
        if last is None:
            return False
        difference = sum(abs(one - other) for one, other in zip(look, last, strict=True)) / len(look)
        usual = median(self._usual) if self._usual else 0.0
        if difference >= max(MIN_DIFFERENCE, TIMES_USUAL * usual):
            self._usual.clear()
            return True
        self._usual.append(difference)
        return False
