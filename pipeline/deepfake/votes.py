"""One score from many: a weighted mean without the extremes, in memory that does not grow."""

from __future__ import annotations

#: scores are kept in so many bins between 0 and 1
BINS = 100
#: share of the weight that is left out at either end before the mean is taken
TRIMMED = 0.1


class Vote:
    """Scores of one face over time, each with a weight; a weighted trimmed mean and quantiles of them.

    The mean over frames is what MesoNet's authors aggregate by (section IV of the paper); trimming keeps a few frames
    in which the detector slipped, or a hand passed, from moving it. A mean rather than the median, because this
    network's scores crowd at 0 and 1, where a median jumps from one to the other.
    """

    def __init__(self) -> None:
        self.weight = 0.0
        #: bin -> weight and weighted sum of its scores, so that a mean is exact but for the two bins that are cut
        self._bins: dict[int, tuple[float, float]] = {}

    def add(self, score: float, weight: float) -> None:
        """Add one score from 0 to 1; weight above 0."""
        place = min(BINS - 1, int(score * BINS))
        total, weighted = self._bins.get(place, (0.0, 0.0))
        self._bins[place] = (total + weight, weighted + weight * score)
        self.weight += weight

    def mean(self) -> float:
        """Return the weighted mean of the scores between the quantiles 0.1 and 0.9."""
        low, high = TRIMMED * self.weight, (1 - TRIMMED) * self.weight
        below = kept = summed = 0.0
        for place in sorted(self._bins):
            weight, weighted = self._bins[place]
            part = max(0.0, min(below + weight, high) - max(below, low))
            kept += part
            summed += part * weighted / weight
            below += weight
        return summed / kept

    def quantile(self, share: float) -> float:
        """Return the mean score of the bin in which the weighted quantile ``share`` lies."""
        below, found = 0.0, 0.0
        for place in sorted(self._bins):
            weight, weighted = self._bins[place]
            found = weighted / weight
            below += weight
            if below >= share * self.weight:
                break
        return found
