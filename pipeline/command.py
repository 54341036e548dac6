"""``python -m pipeline PATH``: the whole route on one file, in this process."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import telling
from pipeline.cage import MEMORY_BYTES, Cage
from pipeline.errors import ParamsError
from pipeline.illustrating import Illustrated, Shown, illustrate
from pipeline.memory import Peak, peak
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Pipeline, Row
from pipeline.pipelines.catalog import load_pipelines
from pipeline.rows import RowWriter, read_rows
from pipeline.run import Plan, Work, WorkResult, batch_size_for, plan_input, run_works
from pipeline.settings import PipelineSettings
from pipeline.spec import ParamsInvalid, canonical_params, with_defaults


def run(arguments: Sequence[str], settings: PipelineSettings) -> int:
    """Return the exit code. Raises: PipelineError."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        return _list(settings)
    if options.path is None:
        parser.error("give a PATH, or --list")
    if not options.path.is_file():
        parser.error(f"{options.path} is not a file")
    pipeline = next(iter(load_pipelines([options.pipeline]).values()))
    params = _params(pipeline, options, settings.default_params)
    shelf = settings.open_shelf()
    with Cage(device=settings.decode_device) as cage:
        plan = plan_input(pipeline, options.path, params, cage, shelf, segment_seconds=options.segment_seconds)
        if options.explain:
            held = peak(
                plan.media,
                width=params.get("width"),
                batch_size=batch_size_for(pipeline, settings.batch_size),
                cage_memory_bytes=MEMORY_BYTES,
                rows=max(span.frames for span in plan.ranges),
            )
            _explain(pipeline, params, plan, shelf, held=held, decoder=_decoder(cage, settings.decode_device))
            return 0
        try:
            return _run(pipeline, plan, params, cage=cage, shelf=shelf, options=options, batch_size=settings.batch_size)
        finally:
            shelf.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="Run a pipeline on a file, with no services. Beside it: python -m pipeline models | evaluate",
    )
    parser.add_argument("path", nargs="?", type=Path, metavar="PATH", help="image or video")
    parser.add_argument("--pipeline", default="motion", metavar="NAME", help="see --list; or module:Class")
    parser.add_argument("--params", default="{}", metavar="JSON", help="parameters as a job would carry them")
    parser.add_argument("--model", metavar="NAME", help="short for --params '{\"model\": ...}'")
    parser.add_argument("--stride", type=int, metavar="N", help="look at every Nth frame")
    parser.add_argument("--width", type=int, metavar="W", help="shrink frames to at most W pixels wide")
    parser.add_argument("--rows", type=int, default=8, metavar="N", help="rows to show, spread evenly (default 8)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep all rows as gzip JSON lines")
    parser.add_argument("--json", action="store_true", help="all rows as JSON lines, the last line is the summary")
    parser.add_argument(
        "--artifacts", type=Path, metavar="DIR", help="draw what was found: picture or film, thumbnails"
    )
    parser.add_argument("--explain", action="store_true", help="say what would be run, and how it is cut; run nothing")
    parser.add_argument("--list", action="store_true", help="list the pipelines and their parameters")
    parser.add_argument("--segment-seconds", type=float, default=30.0, metavar="S", help=argparse.SUPPRESS)
    return parser


def _params(pipeline: Pipeline, options: argparse.Namespace, defaults: Mapping[str, Any]) -> dict[str, Any]:
    try:
        params = json.loads(options.params)
    except ValueError as error:
        raise ParamsError(f"--params is not JSON: {error}") from error
    if not isinstance(params, dict):
        raise ParamsError("--params must be a JSON object")
    if options.stride is not None:
        params["sampler"] = {"policy": "stride", "stride": options.stride}
    for name in ("width", "model"):
        if getattr(options, name) is not None:
            params[name] = getattr(options, name)
    if options.artifacts is not None:
        params.setdefault("artifacts", ["annotated", "thumbnails"])
    try:
        return canonical_params(with_defaults(pipeline.spec.params_schema, defaults), params)
    except ParamsInvalid as error:
        raise ParamsError(str(error), advice="See python -m pipeline --list.") from error


def _run(
    pipeline: Pipeline,
    plan: Plan,
    params: Mapping[str, Any],
    *,
    cage: Cage,
    shelf: ModelShelf,
    options: argparse.Namespace,
    batch_size: int,
) -> int:
    """Run all ranges, keep rows on disk, then summarize from there: memory does not grow with the input."""
    works = [Work(f"{number + 1}", options.path, span, plan.media) for number, span in enumerate(plan.ranges)]
    warnings, timings, decoder, started = list(plan.warnings), dict[str, float](), cage.decoder, time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="framequeue-") as scratch, telling.Progress(options.path.name) as progress:
        kept = options.out or Path(scratch) / "rows.jsonl.gz"
        with RowWriter(kept) as writer:
            for result in run_works(
                pipeline, works, params, cage, shelf, checkpoint=progress.show, batch_size=batch_size
            ):
                writer.write_all(_rows_or_error(result))
                warnings.extend(result.warnings)
                decoder = result.decoder
                for stage, seconds in result.timings.items():
                    timings[stage] = timings.get(stage, 0.0) + seconds
        progress.clear()
        seconds = time.perf_counter() - started
        summary = pipeline.summarize(read_rows(kept), plan.media, params)
        shown = Shown(pipeline, options.path, plan.media, params, summary, lambda: read_rows(kept))
        made = _illustrate(shown, cage, options.artifacts, warnings)
        if options.json:
            document = {"summary": summary, "warnings": warnings, "media": plan.media.as_json(), "timings": timings}
            did, used = decoder and decoder.as_json(), list(pipeline.models_used(params, shelf))
            _tell_json(kept, {**document, "decoder": did, "models": used}, made)
            return 0
        telling.tell_media(options.path, plan.media)
        telling.tell_run(pipeline.spec.name, len(works), writer.count, seconds, timings)
        telling.tell_rows(read_rows(kept), writer.count, options.rows)
        telling.tell_summary(summary)
        telling.tell_artifacts([(one.path, one.caption) for one in made.artifacts])
        telling.tell_warnings(warnings)
    return 0


def _rows_or_error(result: WorkResult) -> Sequence[Row]:
    if result.error is not None:
        raise result.error
    return result.rows


def _tell_json(kept: Path, document: Mapping[str, Any], made: Illustrated) -> None:
    for row in read_rows(kept):
        print(json.dumps(row, ensure_ascii=False))
    artifacts = [{"path": str(one.path), "caption": one.caption} for one in made.artifacts]
    print(json.dumps({**document, "artifacts": artifacts}, ensure_ascii=False))


def _illustrate(shown: Shown, cage: Cage, folder: Path | None, warnings: list[Mapping[str, Any]]) -> Illustrated:
    """Write the pictures that the params ask for into ``folder``; without one, none. Adds to ``warnings``."""
    if folder is None:
        return Illustrated()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParamsError(f"--artifacts: {folder}: {error.strerror}") from error
    made = illustrate(shown, cage, folder)
    warnings.extend(made.warnings)
    return made


def _decoder(cage: Cage, asked: str) -> dict[str, Any]:
    """Tell what is asked to decode, why it could not, and what did where the plan had to decode something."""
    did = cage.decoder.as_json() if cage.decoder is not None else None
    return {"asked": asked, "fault": cage.device_fault or None, "did": did}


def _explain(
    pipeline: Pipeline,
    params: Mapping[str, Any],
    plan: Plan,
    shelf: ModelShelf,
    *,
    held: Peak,
    decoder: Mapping[str, Any],
) -> None:
    document = {
        "pipeline": pipeline.spec.name,
        "params": params,
        "models": list(pipeline.models_used(params, shelf)),
        "media": plan.media.as_json(),
        "frames": sum(span.frames for span in plan.ranges),
        "cost_seconds": round(sum(span.cost_seconds for span in plan.ranges), 3),
        "memory": held.as_json(),
        "decoder": decoder,
        "segments": [asdict(span) for span in plan.ranges],
        "warnings": list(plan.warnings),
    }
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _list(settings: PipelineSettings) -> int:
    for pipeline in load_pipelines(settings.pipelines.split(",")).values():
        telling.tell_pipeline(pipeline.spec)
    return 0
