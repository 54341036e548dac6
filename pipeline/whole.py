"""A pipeline on one whole file, all of its rows held at once: for evaluations and plain use in Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.cage import Cage
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Pipeline, Row
from pipeline.run import Plan, Work, filled_params, plan_input, run_works


def summary_of(
    pipeline: Pipeline, path: Path, given: Mapping[str, Any], *, cage: Cage, shelf: ModelShelf
) -> dict[str, Any]:
    """Return a file's summary, as a worker would come to it. given: params; defaults are filled in.

    Raises: PipelineError.
    """
    params = filled_params(pipeline, given)
    plan = plan_input(pipeline, path, params, cage, shelf)
    return pipeline.summarize(rows_of(pipeline, path, plan, params, cage=cage, shelf=shelf), plan.media, params)


def rows_of(
    pipeline: Pipeline, path: Path, plan: Plan, params: Mapping[str, Any], *, cage: Cage, shelf: ModelShelf
) -> list[Row]:
    """Return all rows of a file that was planned. Raises: PipelineError."""
    works = [Work(str(number), path, span, plan.media) for number, span in enumerate(plan.ranges)]
    rows: list[Row] = []
    for result in run_works(pipeline, works, params, cage, shelf, checkpoint=lambda done, total: None):
        if result.error is not None:
            raise result.error
        rows += result.rows
    return rows
