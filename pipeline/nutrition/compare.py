"""``python -m pipeline.nutrition.compare BEFORE AFTER``: what was eaten between two pictures.

In Python: ``eaten_between(Path("before.jpg"), Path("after.jpg"), {"plate_diameter_cm": 24}, shelf)``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.cage import Cage
from pipeline.errors import MediaError, ParamsError, PipelineError
from pipeline.models.base import ModelShelf
from pipeline.nutrition.summary import Meal
from pipeline.pipelines.base import Row
from pipeline.pipelines.nutrition import DISCLAIMER, Nutrition
from pipeline.run import filled_params, plan_input
from pipeline.settings import PipelineSettings
from pipeline.whole import rows_of


def eaten_between(before: Path, after: Path, params: Mapping[str, Any], shelf: ModelShelf) -> dict[str, Any]:
    """Return the summary of what was there before, with ``eaten``, from two pictures.

    params: as a job would carry them; ``compare`` is before_after unless given. The pictures are two scenes, however
    alike they look.
    Raises: MediaError, ParamsError, ModelError, ModelUnavailable, CageError.
    """
    pipeline = Nutrition()
    filled = filled_params(pipeline, {"compare": "before_after", **params})
    meal = Meal(filled)
    with Cage() as cage:
        for place, path in enumerate((before, after)):
            if place:
                meal.cut()
            meal.add({**_row(pipeline, path, filled, cage=cage, shelf=shelf), "pts_seconds": float(place)})
    return {**meal.finish(), "disclaimer": DISCLAIMER}


def _row(pipeline: Nutrition, path: Path, params: Mapping[str, Any], *, cage: Cage, shelf: ModelShelf) -> Row:
    """Return the row of one picture."""
    plan = plan_input(pipeline, path, params, cage, shelf)
    if plan.media.kind != "image":
        raise MediaError(f"{path.name} is not a picture", code="media.unsupported", advice="Run the pipeline on it.")
    (row,) = rows_of(pipeline, path, plan, params, cage=cage, shelf=shelf)
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 an error of the input or of ours."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.nutrition.compare", description="Tell what was eaten.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--params", default="{}", metavar="JSON", help="parameters as a job would carry them")
    options = parser.parse_args(arguments)
    for path in (options.before, options.after):
        if not path.is_file():
            parser.error(f"{path} is not a file")
    shelf = PipelineSettings().open_shelf()
    try:
        found = eaten_between(options.before, options.after, _given(options.params), shelf)
    except PipelineError as error:
        print(f"error {error.code}: {error.message}", *filter(None, [error.advice]), sep="\n  ", file=sys.stderr)
        return 1
    finally:
        shelf.close()
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return 0


def _given(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise ParamsError(f"--params is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ParamsError("--params is not a JSON object")
    return given


if __name__ == "__main__":
    sys.exit(main())
