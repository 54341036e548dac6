"""``python -m bench.skipping``: a table of what each policy keeps of the every-frame answer, a plot, one JSON line.

The every-frame run of a pipeline is the truth; what it gets wrong about the world is not asked here. Frames go the
product's whole way (plan, cage, sampler, rows, summary). What a picture gave is remembered, as the same gives the same.
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
from bench.skipping.answers import ANSWERS, Told, held
from bench.skipping.cases import BAR, BUDGET, CASES, POLICIES, Case, named
from bench.skipping.plot import Point, svg
from pipeline.cage import Cage
from pipeline.frame import Frame
from pipeline.models.base import ModelShelf
from pipeline.models.shelf import open_shelf
from pipeline.nutrition.tray_evaluation import masks_shelf
from pipeline.pipelines.base import Params, Pipeline, Row
from pipeline.pipelines.catalog import load_pipelines
from pipeline.run import plan_input
from pipeline.spec import canonical_params
from pipeline.whole import rows_of

SHARED = Path(os.environ.get("FQ_SHARED") or Path(__file__).resolve().parents[3] / "shared")
EVERY_FRAME: Mapping[str, Any] = {"policy": "stride", "stride": 1}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy on one clip: share of frames inferred, and share of the answer kept. still: the camera's."""

    clip: str
    pipeline: str
    answer: str
    policy: str
    inferred: float
    kept: float
    still: bool


class Remembering:
    """A pipeline that infers each frame of a clip once, and where it keeps no state makes each row once."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._known: dict[int, Any] = {}
        self._rows: dict[int, Row] = {}

    def __getattr__(self, name: str) -> Any:
        """Return the pipeline's own."""
        return getattr(self._pipeline, name)

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> list[Any]:
        """Return what is known of these frames, inferring the others."""
        new = [frame for frame in frames if frame.index not in self._known]
        for frame, item in zip(new, self._pipeline.infer(new, params, shelf) if new else (), strict=True):
            self._known[frame.index] = item
        return [self._known[frame.index] for frame in frames]

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Return the frame's row: the one known, where no other frame has a part in it."""
        if state is not None:
            return self._pipeline.observe(state, frame, inferred, params)
        if frame.index not in self._rows:
            self._rows[frame.index] = self._pipeline.observe(state, frame, inferred, params)
        return dict(self._rows[frame.index])


def run(
    pipeline: Any, path: Path, given: Mapping[str, Any], cage: Cage, shelf: ModelShelf
) -> tuple[list[Row], Mapping[str, Any]]:
    """Return the rows and the summary of a whole run. Raises: PipelineError."""
    params = canonical_params(pipeline.spec.params_schema, given)
    plan = plan_input(pipeline, path, params, cage, shelf, segment_seconds=1e9)
    rows = rows_of(pipeline, path, plan, params, cage=cage, shelf=shelf)
    return rows, pipeline.summarize(rows, plan.media, params)


def outcomes(case: Case, cage: Cage, shelf: ModelShelf) -> Iterator[Outcome]:
    """Yield what each policy keeps of a system's answers on a clip."""
    pipeline = Remembering(load_pipelines([case.pipeline])[case.pipeline])
    (path,) = (SHARED / "data" / "videos").glob(f"{case.clip}.*")
    rows, summary = run(pipeline, path, {**case.given, "sampler": EVERY_FRAME}, cage, shelf)
    truth = Told(rows, summary)
    for sampler in POLICIES:
        rows, summary = run(pipeline, path, {**case.given, "sampler": dict(sampler)}, cage, shelf)
        inferred = sum(row.get("carried_from") is None for row in rows) / len(truth.held)
        told = Told(held(rows, len(truth.held)), summary)
        for answer, kept in ANSWERS[case.pipeline].items():
            share = kept(truth, told)
            if share is not None:
                yield Outcome(
                    case.clip, case.pipeline, answer, named(sampler), round(inferred, 4), round(share, 4), case.still
                )


def table(found: Sequence[Outcome]) -> str:
    """Return a markdown table: a column for each policy, a line for each answer on each clip.

    A line before them tells the share of frames inferred.
    """
    policies = list(dict.fromkeys(one.policy for one in found))
    lines = ["| clip | | " + " | ".join(policies) + " |", "|---|---|" + "---|" * len(policies)]
    last = None
    for clip, name, answer in dict.fromkeys((one.clip, one.pipeline, one.answer) for one in found):
        own = {one.policy: one for one in found if (one.clip, one.pipeline, one.answer) == (clip, name, answer)}
        shares = " | ".join(f"{100 * own[policy].inferred:.1f} %" for policy in policies)
        if (clip, shares) != last:
            last = clip, shares
            lines.append(f"| {clip} | frames inferred | {shares} |")
        kept = " | ".join(f"{own[policy].kept:.3f}" for policy in policies)
        lines.append(f"| | {name}: {answer} | {kept} |")
    return "\n".join(lines)


def verdicts(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return whether ``adaptive`` at the budget keeps the bar, for each answer where the camera stands still."""
    kept = {(one.clip, one.pipeline, one.answer, one.policy): one.kept for one in found}
    adaptive = next(named(one) for one in POLICIES if one.get("budget") == BUDGET)
    uniform = next(named(one) for one in POLICIES if one.get("stride") == round(1 / BUDGET))
    told = []
    for clip, name, answer in dict.fromkeys((one.clip, one.pipeline, one.answer) for one in found if one.still):
        own, other = (kept[clip, name, answer, policy] for policy in (adaptive, uniform))
        case = "stride is enough" if other >= BAR else "kept" if own >= BAR else "missed"
        told.append({"clip": clip, "answer": f"{name}: {answer}", "adaptive": own, "stride": other, "case": case})
    return told


def points(found: Sequence[Outcome]) -> list[Point]:
    """Return what is plotted: the answers of which some policy loses a thousandth or more.

    The adaptive policy with few candidates is left out: it would cross its own line.
    """
    family = {named(one): str(one["policy"]) for one in POLICIES}
    lost = {(one.clip, one.pipeline, one.answer) for one in found if one.kept <= 0.999}
    return [
        Point(one.clip, f"{one.pipeline}: {one.answer}", family[one.policy], one.inferred, one.kept)
        for one in found
        if (one.clip, one.pipeline, one.answer) in lost and "1 in" not in one.policy
    ]


def measure(cases: Sequence[Case]) -> list[Outcome]:
    """Return every policy's outcome on each case."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as cache, Cage() as cage:
        shelf = open_shelf(cache_dir=Path(cache), mirror=str(SHARED / "models"), device="cpu")
        with masks_shelf(SHARED / "data", shelf) as beside:
            for case in cases:
                print(f"{case.pipeline} on {case.clip} ...", file=sys.stderr, flush=True)
                found += outcomes(case, cage, beside)
        shelf.close()
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0 where something could be measured, whatever it shows."""
    parser = argparse.ArgumentParser(prog="python -m bench.skipping", description=__doc__)
    parser.add_argument("--pipelines", nargs="*", choices=[*ANSWERS], default=[*ANSWERS], metavar="NAME")
    parser.add_argument("--clips", nargs="*", metavar="NAME", help="all by default")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the plot there, as SVG")
    options = parser.parse_args(arguments)
    if not (SHARED / "models").is_dir():
        print(f"bench: no clips and models in {SHARED}: set FQ_SHARED", file=sys.stderr)
        return 2
    taken_on, taken_at = machine(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    cases = [one for one in CASES if one.pipeline in options.pipelines]
    found = measure([one for one in cases if options.clips is None or one.clip in options.clips])
    print(f"{taken_at}, {taken_on}\n\n{table(found)}\n")
    for one in verdicts(found):
        print(
            f"{one['clip']}, {one['answer']}: adaptive {one['adaptive']:.3f}, stride {one['stride']:.3f}: {one['case']}"
        )
    if options.plot is not None:
        options.plot.write_text(svg(points(found)), encoding="utf-8")
    document = {"taken_at": taken_at, "machine": taken_on, "outcomes": [asdict(one) for one in found]}
    print(json.dumps({**document, "verdicts": verdicts(found)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
