"""``python -m bench.skipping``: a table of what each policy keeps of the every-frame answer, a plot, one JSON line.

The every-frame run of a pipeline is the truth; what it gets wrong about the world is not asked here. Frames go the
product's whole way (plan, cage, sampler, rows). A picture is inferred once and its inference remembered, since the same
picture gives the same one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.__main__ import machine
from bench.skipping.answers import ANSWERS, held
from bench.skipping.plot import Point, svg
from pipeline.cage import Cage
from pipeline.frame import Frame
from pipeline.models.base import ModelShelf
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.base import Pipeline
from pipeline.pipelines.catalog import load_pipelines
from pipeline.run import Work, plan_input, run_works

SHARED = Path(os.environ.get("FQ_SHARED") or Path(__file__).resolve().parents[3] / "shared")
STATIC = ("bottle_detection", "car_detection", "one_by_one_person")
MOVING = ("coffee_pour", "juggle")
#: kept of the every-frame answer at a tenth of the frames, on static cameras where a stride keeps less
BAR, BUDGET = 0.95, 0.1
POLICIES: tuple[Mapping[str, Any], ...] = (
    *({"policy": "stride", "stride": stride} for stride in (2, 5, 10, 20, 50)),
    {"policy": "keyframes"},
    *({"policy": "every", "every_seconds": seconds} for seconds in (0.5, 2.0)),
    {"policy": "adaptive", "stride": 1},
    {"policy": "adaptive", "stride": 5},
    *({"policy": "adaptive", "stride": 1, "budget": budget} for budget in (0.02, 0.05, BUDGET, 0.2)),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy on one clip: share of frames inferred, and share of the answer kept."""

    clip: str
    pipeline: str
    answer: str
    policy: str
    inferred: float
    kept: float


class Remembering:
    """A pipeline that infers each frame of a clip once."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._known: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """Return the pipeline's own."""
        return getattr(self._pipeline, name)

    def infer(self, frames: Sequence[Frame], params: Mapping[str, Any], shelf: ModelShelf) -> list[Any]:
        """Return what is known of these frames, inferring the others."""
        new = [frame for frame in frames if frame.index not in self._known]
        for frame, item in zip(new, self._pipeline.infer(new, params, shelf) if new else (), strict=True):
            self._known[frame.index] = item
        return [self._known[frame.index] for frame in frames]


def rows_of(pipeline: Any, path: Path, sampler: Mapping[str, Any], cage: Cage, shelf: ModelShelf) -> list[Any]:
    """Return the rows of a whole run."""
    params = {"sampler": dict(sampler)}
    plan = plan_input(pipeline, path, params, cage, shelf, segment_seconds=1e9)
    works = [Work(str(number), path, span, plan.media) for number, span in enumerate(plan.ranges)]
    rows = []
    for result in run_works(pipeline, works, params, cage, shelf, checkpoint=lambda done, total: None):
        if result.error is not None:
            raise result.error
        rows += result.rows
    return rows


def outcomes(clip: str, name: str, cage: Cage, shelf: ModelShelf) -> Iterator[Outcome]:
    """Yield what each policy keeps of a pipeline's answer on a clip."""
    pipeline, path = Remembering(load_pipelines([name])[name]), SHARED / "data" / "videos" / f"{clip}.mp4"
    truth = rows_of(pipeline, path, {"policy": "stride", "stride": 1}, cage, shelf)
    for sampler in POLICIES:
        rows = rows_of(pipeline, path, sampler, cage, shelf)
        inferred = sum(row.get("carried_from") is None for row in rows) / len(truth)
        told = held(rows, len(truth))
        for answer, kept in ANSWERS[name].items():
            yield Outcome(clip, name, answer, _named(sampler), round(inferred, 4), round(kept(truth, told), 4))


def _named(sampler: Mapping[str, Any]) -> str:
    policy = str(sampler["policy"])
    if policy == "adaptive":
        of = f", budget {sampler['budget']:g}" if "budget" in sampler else ""
        return f"adaptive, candidates 1 in {sampler['stride']}{of}"
    return " ".join([policy, *(f"{value:g}" for name, value in sampler.items() if name != "policy")])


def table(found: Sequence[Outcome]) -> str:
    """Return a markdown table: a line for each clip and policy, a column for each answer."""
    answers = [(name, answer) for name, each in ANSWERS.items() for answer in each]
    cells = {(one.clip, one.policy, one.pipeline, one.answer): one for one in found}
    lines = [
        "| clip | policy | frames inferred | " + " | ".join(f"{name}: {answer}" for name, answer in answers) + " |",
        "|---|---|---|" + "---|" * len(answers),
    ]
    for clip, policy in dict.fromkeys((one.clip, one.policy) for one in found):
        own = [cells.get((clip, policy, *answer)) for answer in answers]
        share = next(one.inferred for one in own if one is not None)
        kept = " | ".join("" if one is None else f"{one.kept:.3f}" for one in own)
        lines.append(f"| {clip} | {policy} | {100 * share:.1f} % | {kept} |")
    return "\n".join(lines)


def verdicts(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return, for each answer on each static clip, whether ``adaptive`` at the budget keeps the bar."""
    kept = {(one.clip, one.pipeline, one.answer, one.policy): one.kept for one in found}
    adaptive = next(_named(one) for one in POLICIES if one.get("budget") == BUDGET)
    uniform = next(_named(one) for one in POLICIES if one.get("stride") == round(1 / BUDGET))
    told = []
    for clip, name, answer in dict.fromkeys((one.clip, one.pipeline, one.answer) for one in found):
        own, other = (kept[clip, name, answer, policy] for policy in (adaptive, uniform))
        if clip in STATIC:
            case = "stride is enough" if other >= BAR else "kept" if own >= BAR else "missed"
            told.append({"clip": clip, "answer": f"{name}: {answer}", "adaptive": own, "stride": other, "case": case})
    return told


def _points(found: Sequence[Outcome]) -> list[Point]:
    """Return what is plotted: all but the adaptive policy with few candidates, which would cross its own line."""
    return [
        Point(
            f"{one.clip}, {one.pipeline}: {one.answer}", one.policy.replace(",", "").split()[0], one.inferred, one.kept
        )
        for one in found
        if "1 in 5" not in one.policy
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0 where something could be measured, whatever it shows."""
    parser = argparse.ArgumentParser(prog="python -m bench.skipping", description=__doc__)
    parser.add_argument("--clips", nargs="*", default=[*STATIC, *MOVING], metavar="NAME")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the plot there, as SVG")
    options = parser.parse_args(arguments)
    if not (SHARED / "models").is_dir():
        print(f"bench: no clips and models in {SHARED}: set FQ_SHARED", file=sys.stderr)
        return 2
    taken_on, taken_at = machine(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as cache, Cage() as cage:
        shelf = open_shelf(cache_dir=Path(cache), mirror=str(SHARED / "models"), device="cpu")
        for clip in options.clips:
            for name in ANSWERS:
                found += outcomes(clip, name, cage, shelf)
        shelf.close()
    print(f"{taken_at}, {taken_on}\n\n{table(found)}\n")
    for one in verdicts(found):
        print(
            f"{one['clip']}, {one['answer']}: adaptive {one['adaptive']:.3f}, stride {one['stride']:.3f}: {one['case']}"
        )
    if options.plot is not None:
        options.plot.write_text(svg(_points(found)), encoding="utf-8")
    document = {"taken_at": taken_at, "machine": taken_on, "outcomes": [asdict(one) for one in found]}
    print(json.dumps({**document, "verdicts": verdicts(found)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
