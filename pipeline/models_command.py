"""``python -m pipeline models list|pull|check|bench|export|evaluate``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.device import bounded_threads
from pipeline.errors import ParamsError, PipelineError
from pipeline.models.card import ModelCard
from pipeline.models.shelf import FolderShelf
from pipeline.settings import PipelineSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: written beside a card by ``evaluate``
EVALUATION_FILE = "evaluation.json"
MAX_PICTURES = 500


def run(arguments: Sequence[str], settings: PipelineSettings) -> int:
    """Return the exit code: 0 all well, 1 something is missing, broken or not good enough. Raises: PipelineError."""
    options = _parser().parse_args(arguments)
    shelf = settings.open_shelf(mirror=getattr(options, "mirror", None))
    try:
        return _act(options, shelf, settings)
    finally:
        shelf.close()


def _act(options: argparse.Namespace, shelf: FolderShelf, settings: PipelineSettings) -> int:
    names = getattr(options, "names", None) or [card.name for card in shelf.cards()]
    if options.action == "list":
        return _list(shelf)
    if options.action == "pull":
        return _each(names, lambda name: f"{name}: {shelf.pull(name)}")
    if options.action == "bench":
        return _each(names, lambda name: _benched(shelf, name, options.seconds, settings))
    if options.action == "export":
        return _each([options.name], lambda name: _exported(shelf, name, options, settings))
    if options.action == "evaluate":
        return _each([options.name], lambda name: _evaluated(shelf, name, options))
    code = _each(names, lambda name: _checked(shelf, name))
    for name, fault in sorted(shelf.faults.items()):
        print(f"{name}: {fault.message}", file=sys.stderr)
    return 1 if shelf.faults else code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline models", description="Model cards and their weights.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="cards on offer and whether their weights are here")
    pull = actions.add_parser("pull", help="fetch weights by digest into the cache (all, or those named)")
    check = actions.add_parser("check", help="validate every card, load each model and run it on a sample")
    bench = actions.add_parser("bench", help="latency, throughput, time to load and memory on this machine")
    bench.add_argument(
        "--seconds", type=float, default=3.0, metavar="S", help="measured at each batch size (default 3)"
    )
    for action in (pull, check, bench):
        action.add_argument("names", nargs="*", metavar="NAME")
    export = actions.add_parser("export", help="write a package in another format, if it is proved to tell the same")
    export.add_argument("--to", required=True, choices=("onnx", "torchscript", "int8"))
    export.add_argument("--out", type=Path, metavar="FOLDER", help="default: FQ_MODEL_DIR/<name>-<format>")
    evaluate = actions.add_parser("evaluate", help="mAP50 or accuracy on pictures whose truth is known")
    evaluate.add_argument("--truth", type=Path, required=True, metavar="FILE", help="COCO JSON, or CSV of file,label")
    evaluate.add_argument("--out", type=Path, metavar="FILE", help=f"default: {EVALUATION_FILE} beside the card")
    for action in (export, evaluate):
        action.add_argument("name", metavar="NAME")
    export.add_argument("--pictures", type=Path, metavar="FOLDER", help="to compare on, and for int8 to calibrate with")
    evaluate.add_argument("--pictures", type=Path, required=True, metavar="FOLDER")
    for action in (pull, check, bench, export, evaluate):
        action.add_argument("--mirror", help="folder or URL prefix that holds the weights")
    return parser


def _list(shelf: FolderShelf) -> int:
    rows = [("NAME", "VERSION", "TASK", "RUNTIME", "LANE", "LICENCE", "WEIGHTS")]
    rows += [
        (card.name, card.version, card.task, card.runtime, card.lane, card.licence, _state(shelf, card))
        for card in shelf.cards()
    ]
    print(_aligned(rows))
    for name, fault in sorted(shelf.faults.items()):
        print(f"{name}: broken card, {fault.message}", file=sys.stderr)
    return 0


def _state(shelf: FolderShelf, card: ModelCard) -> str:
    try:
        return "here" if shelf.weights(card.name) else "to be pulled"
    except PipelineError as error:
        return f"broken: {error.message}"


def _checked(shelf: FolderShelf, name: str) -> str:
    """Load a model and say that it passes the self-check. Raises: PipelineError."""
    from pipeline.errors import ModelError  # noqa: PLC0415 - beside its only use
    from pipeline.models.check import self_check  # noqa: PLC0415 - `list` and `pull` need no arrays

    report = self_check(shelf.load(name), shelf.folder(name))
    shelf.evict(name)
    if not report.ok:
        raise ModelError(f"{name}: " + "; ".join(report.faults), code="model.check_failed")
    what = "a made picture" if report.picture == "generated" else report.picture
    milliseconds = f"{report.seconds * 1000:.1f} ms"
    return f"{name}: ok ({report.findings} findings on {what}, {milliseconds}, sha256 {shelf.digest(name)})"


def _benched(shelf: FolderShelf, name: str, seconds: float, settings: PipelineSettings) -> str:
    from pipeline.models.bench import bench  # noqa: PLC0415 - as above

    threads = bounded_threads(settings.model_threads)
    report = bench(shelf, name, seconds=seconds, device=settings.device, threads=threads)
    shelf.evict(name)
    rows = [("BATCH", "CALLS", "P50 MS", "P95 MS", "PICTURES/S")]
    rows += [
        (str(one.batch), str(one.calls), f"{one.p50_ms:.2f}", f"{one.p95_ms:.2f}", f"{one.pictures_per_second:.1f}")
        for one in report.batches
    ]
    head = f"{name} {report.version}: loaded in {report.load_seconds} s, process {report.rss_bytes / 2**20:.0f} MiB"
    return f"{head}, {report.machine}\n{_aligned(rows)}\n{json.dumps(report.as_json())}"


def _exported(shelf: FolderShelf, name: str, options: argparse.Namespace, settings: PipelineSettings) -> str:
    from pipeline.models.exporting import export  # noqa: PLC0415 - as above

    target = options.out
    if target is None:
        if settings.model_dir is None:
            raise ParamsError("Say where to with --out, or set FQ_MODEL_DIR.")
        target = settings.model_dir / f"{name}-{options.to}"
    report = export(shelf, name, options.to, target, pictures=_pictures(options.pictures))
    return f"{target}: equal to {name}\n{json.dumps(report)}"


def _evaluated(shelf: FolderShelf, name: str, options: argparse.Namespace) -> str:
    from pipeline.models.scoring import evaluate  # noqa: PLC0415 - as above
    from pipeline.models.truth import read_truth  # noqa: PLC0415 - as above

    target = options.out or shelf.folder(name) / EVALUATION_FILE
    if not os.access(target.parent, os.W_OK):
        raise ParamsError(f"{target} cannot be written.", advice="Give another place with --out.")
    truth = read_truth(options.truth, shelf.card(name).task)
    report: dict[str, Any] = {"digest": shelf.digest(name), "truth": options.truth.name}
    report |= evaluate(shelf.load(name), options.pictures, truth)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    figure = "accuracy" if "accuracy" in report else "map50"
    return f"{name}: {figure} {report[figure]} on {report['pictures']} pictures, see {target}"


def _pictures(folder: Path | None) -> list[NDArray[np.uint8]]:
    """Return the pictures of a folder, in order of their names. Raises: ParamsError where there are none."""
    from pipeline.models.check import read_picture  # noqa: PLC0415 - as above

    if folder is None:
        return []
    paths = sorted(path for path in folder.rglob("*") if path.is_file())[:MAX_PICTURES]
    found = [picture for picture in map(read_picture, paths) if picture is not None]
    if not found:
        raise ParamsError(f"There are no pictures in {folder}.")
    return found


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _each(names: Sequence[str], act: Callable[[str], str]) -> int:
    code = 0
    for name in names:
        try:
            print(act(name))
        except (PipelineError, OSError) as error:
            fault = error if isinstance(error, PipelineError) else ParamsError(str(error))
            code = 1
            print(f"error {fault.code}: {fault.message}", file=sys.stderr)
            if fault.advice:
                print(f"  {fault.advice}", file=sys.stderr)
    return code
