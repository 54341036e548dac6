"""What a plan decides about sampling: the frames, where the video may be cut, and the threshold that keeps a budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import sampling
from pipeline.adaptive import Rule, anchors, starts_at_anchors
from pipeline.cage import Cage
from pipeline.cage_wire import Tick, no_tick
from pipeline.media import MediaInfo, PacketIndex

#: frames that the first pass may decode: about 4 s of processor time in 720p
FIRST_PASS_FRAMES = 3000
#: candidates it takes from one place of the video at most, where there are many places
_STRETCH = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """What is sampled.

    places: int64, (k,), as ``sampling.choose``. cuts: the index whose keys are where segments may begin. media: with
    what the plan chose in ``extra["sampler"]``. kept_share: of the places, those that are likely to be inferred.
    """

    places: NDArray[np.int64]
    cuts: PacketIndex
    media: MediaInfo
    kept_share: float = 1.0
    warnings: tuple[Mapping[str, Any], ...] = ()


def choose_for_plan(
    cage: Cage, path: Path, index: PacketIndex, media: MediaInfo, sampler: Mapping[str, Any], *, tick: Tick = no_tick
) -> Choice:
    """Choose the frames of an input, and the threshold where the sampler names a budget.

    ``tick`` as in ``Cage.index``. Raises: ParamsError, MediaError, CageError, CageUnavailable, what ``tick`` raises.
    """  # fmt: skip
    places, rule = sampling.choose(index, sampler), sampling.adaptive_rule(sampler)
    warnings = sampling.left_out(index, sampler)
    if rule is None or not len(places):
        return Choice(places, index, media, warnings=tuple(warnings))
    cuts, budget = starts_at_anchors(index, rule.max_gap_seconds), sampler.get("budget")
    if budget is None:
        return Choice(places, cuts, media)
    seen = first_pass(index, places, rule)
    wanted = round(budget * len(index) * len(seen) / len(places))
    threshold, kept = cage.pick_threshold(path, seen, rule.as_json(), wanted, tick)
    share = kept / len(seen)
    chosen = {"threshold": threshold, "expected_share": round(share * len(places) / len(index), 4)}
    if kept > 1.1 * wanted + 1:
        warnings.append(
            {
                "code": "sampler.over_budget",
                "message": f"The budget of {budget:g} cannot be kept: with max_gap_seconds {rule.max_gap_seconds:g} "
                f"about {chosen['expected_share']:g} of all frames are kept whatever they show.",
            }
        )
    changed = replace(media, extra={**media.extra, "sampler": chosen})
    return Choice(places, cuts, changed, max(share, 0.01), tuple(warnings))


def first_pass(index: PacketIndex, places: NDArray[np.int64], rule: Rule) -> NDArray[np.int64]:
    """Return the candidates that a first pass looks at: all of a short video, else stretches spread over it.

    Each stretch begins where the rule starts afresh, so that it decides there as it will in the run.
    """
    limit = max(_STRETCH, FIRST_PASS_FRAMES * len(places) // len(index))
    if len(places) <= limit:
        return places
    heads = np.unique(np.searchsorted(places, anchors(index, rule.max_gap_seconds)))
    heads = heads[heads < len(places)]
    lengths = np.diff(np.append(heads, len(places)))
    stretch = max(min(_STRETCH, int(np.median(lengths))), limit // len(heads))
    count = min(len(heads), max(1, limit // stretch))
    taken = np.unique(np.linspace(0, len(heads) - 1, count).round().astype(np.int64))

    def stretches() -> Iterator[NDArray[np.int64]]:
        for number in taken.tolist():
            first = int(heads[number])
            yield places[first : first + min(stretch, int(lengths[number]))]

    return np.concatenate(list(stretches())).astype(np.int64)
