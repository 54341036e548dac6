"""Which system is asked about which shared clip, and which samplers are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.nutrition.tray_truth import NAME as KNOWN_MASKS

#: of the frames, on cameras that stand still: there ``adaptive`` is held to ``BAR`` where a stride keeps less
BUDGET, BAR = 0.1, 0.95
POLICIES: tuple[Mapping[str, Any], ...] = (
    *({"policy": "stride", "stride": stride} for stride in (2, 5, 10, 20, 50)),
    {"policy": "keyframes"},
    *({"policy": "every", "every_seconds": seconds} for seconds in (0.5, 2.0)),
    {"policy": "adaptive", "stride": 1},
    {"policy": "adaptive", "stride": 5},
    *({"policy": "adaptive", "stride": 1, "budget": budget} for budget in (0.02, 0.05, BUDGET, 0.2)),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One system on one clip (its file name without the ending). still: whether the camera stands still."""

    pipeline: str
    clip: str
    still: bool
    given: Mapping[str, Any] = field(default_factory=dict)


#: detector and colours alone: reading takes seconds a frame, so its answer on every frame is not asked
_UNREAD = {"read_text": False, "width": 640}
#: food as a segmenter would find it, by masks that are known: FastestDet names no dish of these trays
_MASKED = {"detector": KNOWN_MASKS, "compare": "before_after"}
CASES: tuple[Case, ...] = (
    *(
        Case(pipeline, clip, still=clip not in ("coffee_pour", "juggle"))
        for clip in ("bottle_detection", "car_detection", "one_by_one_person", "coffee_pour", "juggle")
        for pipeline in ("detect", "motion")
    ),
    Case("deepfake", "face_selfie_square", still=True),
    Case("deepfake", "faces_head_pose_pair", still=True),
    Case("deepfake", "face_selfie_portrait", still=False),
    Case("nutrition", "fruit_vegetable", still=True),
    Case("nutrition", "meal_tray1_before_after", still=True, given=_MASKED),
    Case("nutrition", "meal_tray4_zoom", still=False, given=_MASKED),
    Case("describe", "cups", still=True, given=_UNREAD),
    Case("describe", "coffee_pour", still=False, given=_UNREAD),
)


def named(sampler: Mapping[str, Any]) -> str:
    """Return a policy in words. Budgets are those of ``adaptive`` with every frame a candidate."""
    policy = str(sampler["policy"])
    if "budget" in sampler:
        return f"budget {sampler['budget']:g}"
    if policy == "adaptive":
        return policy if sampler["stride"] == 1 else f"adaptive, 1 in {sampler['stride']}"
    return " ".join([policy, *(f"{value:g}" for name, value in sampler.items() if name != "policy")])
