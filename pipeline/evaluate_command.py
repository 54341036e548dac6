"""``python -m pipeline evaluate``: the quality of each system on real inputs, as pages and as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import ParamsError
from pipeline.evaluating import Figure, Report, as_json_text, as_markdown, figure_cells, table_lines
from pipeline.models.base import ModelShelf
from pipeline.settings import PipelineSettings

#: each has ``evaluate(data, shelf) -> Report``; imported only when asked for
SYSTEMS = {
    "deepfake": "pipeline.deepfake.evaluate",
    "nutrition": "pipeline.nutrition.evaluate",
    "pose": "pipeline.pose.evaluate",
    "steps": "pipeline.steps.evaluate",
    "describe": "pipeline.describe.evaluate",
}
#: figures of a system that a page shows besides those that missed their bar
SHOWN = 3
#: what a page that shows the figures has around them
BEGIN, END = "<!-- evaluated: begin; make evaluate -->", "<!-- evaluated: end -->"


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
    options.out.mkdir(parents=True, exist_ok=True)
    with closing(settings.open_shelf(mirror=settings.model_mirror or str(options.models))) as shelf:
        reached = [_evaluated(name, options, shelf) for name in names]
    head = ["# Evaluation", "", "What `make evaluate` measured; each system's page has its cases one by one.", ""]
    page = "\n".join([*head, *summary_lines(options.out)]) + "\n"
    (options.out / "README.md").write_text(page, encoding="utf-8")
    if options.readme is not None:
        put_between_marks(options.readme, short_lines(options.out))
    print("\n".join(summary_lines(options.out)))
    return 0 if all(reached) else 1


def _evaluated(name: str, options: argparse.Namespace, shelf: ModelShelf) -> bool:
    """Measure one system and keep its report; return whether it reached every bar. Raises: PipelineError."""
    started = time.perf_counter()
    try:
        report: Report = importlib.import_module(SYSTEMS[name]).evaluate(options.data, shelf)
    except FileNotFoundError as error:
        raise ParamsError(f"{name} cannot be evaluated: there is no {error.filename or error}") from error
    _keep(options.out, report, options.data, time.perf_counter() - started)
    return all(figure.reached is not False for figure in report.figures)


def summary_lines(folder: Path) -> list[str]:
    """Return one table of every figure that has a bar, from the reports in a folder."""
    rows = [
        (f"[{name}]({name}.md)", *figure_cells(figure, missed="**missed**"), report["date"])
        for name, report in _reports(folder)
        for figure in _barred(report)
    ]
    return table_lines(("system", "figure", "measured", "bar", "", "date"), rows)


def short_lines(folder: Path) -> list[str]:
    """Return a line per system: its first figures, how many bars were reached, and which were missed."""
    rows = []
    for name, report in _reports(folder):
        figures = _barred(report)
        missed = [figure for figure in figures if not figure.reached]
        reached = f"{len(figures) - len(missed)} of {len(figures)}"
        told = [f"{what} {measured} ({bar})" for what, measured, bar, _ in map(figure_cells, figures[:SHOWN])]
        misses = [f"{what} {measured} ({bar})" for what, measured, bar, _ in map(figure_cells, missed)]
        rows.append((f"[{name}]({folder}/{name}.md)", "; ".join(told), reached, "; ".join(misses), report["date"]))
    return table_lines(("system", "among other things", "bars reached", "missed", "date"), rows)


def _reports(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    paths = [(name, folder / f"{name}.json") for name in SYSTEMS]
    return [(name, json.loads(path.read_text(encoding="utf-8"))) for name, path in paths if path.is_file()]


def _barred(report: Mapping[str, Any]) -> list[Figure]:
    names = [one.name for one in fields(Figure)]
    figures = [Figure(**{name: told[name] for name in names}) for told in report["figures"]]
    return [figure for figure in figures if figure.bar is not None]


def put_between_marks(page: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the marks of a page. Raises: ParamsError where it has none."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ParamsError(f"{page} lacks the marks {BEGIN} and {END}")
    page.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")


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
    parser.add_argument("--readme", type=Path, metavar="FILE", help="page that shows the figures between its marks")
    parser.add_argument("--out", type=Path, default=Path("docs/evaluation"), help="where reports are written")
    return parser
