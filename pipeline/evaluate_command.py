"""``python -m pipeline evaluate``: the quality of each system on real inputs, as pages and as JSON."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import ParamsError
from pipeline.evaluating import Report, as_json_text, as_markdown, table_lines
from pipeline.models.shelf import open_shelf
from pipeline.settings import PipelineSettings

#: each has ``evaluate(data, shelf) -> Report``; imported only when asked for
SYSTEMS = {
    "deepfake": "pipeline.deepfake.evaluate",
    "nutrition": "pipeline.nutrition.evaluate",
    "pose": "pipeline.pose.evaluate",
    "steps": "pipeline.steps.evaluate",
    "describe": "pipeline.describe.evaluate",
}


def run(arguments: Sequence[str], settings: PipelineSettings) -> int:
    """Return the exit code: 0 every bar reached, 1 some missed. Raises: PipelineError."""
    options = _parser().parse_args(arguments)
    names = options.names or list(SYSTEMS)
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        raise ParamsError(
            f"There is no evaluation of {', '.join(unknown)}.", advice=f"There are: {', '.join(SYSTEMS)}."
        )
    if not options.data.is_dir():
        raise ParamsError(f"{options.data} is not a folder", advice="Name the test data with --data.")
    mirror = settings.model_mirror or str(options.models)
    shelf = open_shelf(
        model_dir=settings.model_dir, cache_dir=settings.model_cache, mirror=mirror, device=settings.device
    )
    options.out.mkdir(parents=True, exist_ok=True)
    reports = []
    for name in names:
        started = time.perf_counter()
        report: Report = importlib.import_module(SYSTEMS[name]).evaluate(options.data, shelf)
        _keep(options.out, report, options.data, time.perf_counter() - started)
        reports.append(report)
    shelf.close()
    print("\n".join(summary_lines(reports)))
    return 0 if all(figure.reached is not False for report in reports for figure in report.figures) else 1


def summary_lines(reports: Sequence[Report]) -> list[str]:
    """Return one table of every figure that has a bar."""
    rows = [
        (
            report.system,
            figure.name,
            f"{figure.measured:.4g} {figure.unit}".strip(),
            f"{'at least' if figure.higher_is_better else 'at most'} {figure.bar:g}",
            "reached" if figure.reached else "missed",
        )
        for report in reports
        for figure in report.figures
        if figure.bar is not None
    ]
    return table_lines(("system", "figure", "measured", "bar", ""), rows)


def _keep(folder: Path, report: Report, data: Path, seconds: float) -> None:
    facts = {
        "command": shlex.join(["python", "-m", "pipeline", "evaluate", report.system, "--data", str(data)]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.python_implementation()} "
        f"{platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "took": f"{seconds:.0f} s",
    }
    (folder / f"{report.system}.json").write_text(as_json_text(report, facts), encoding="utf-8")
    (folder / f"{report.system}.md").write_text(as_markdown(report, facts), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline evaluate", description="Measure the built-in systems.")
    parser.add_argument("names", nargs="*", metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}; all unless named")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of test data")
    parser.add_argument("--models", type=Path, default=Path("../shared/models"), help="mirror of the weights")
    parser.add_argument("--out", type=Path, default=Path("docs/evaluation"), help="where reports are written")
    return parser
