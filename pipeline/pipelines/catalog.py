"""Pipelines by name: the built-in ones, and an operator's own as ``module:Class``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from pipeline.errors import ParamsError
from pipeline.pipelines.base import Pipeline

#: imported only when asked for: each loads what it needs
BUILT_IN = {
    "motion": "pipeline.pipelines.motion:Motion",
    "detect": "pipeline.pipelines.detect:Detect",
    "classify": "pipeline.pipelines.classify:Classify",
    "deepfake": "pipeline.pipelines.deepfake:Deepfake",
    "describe": "pipeline.pipelines.describe:Describe",
    "pose": "pipeline.pipelines.pose:PoseOfObject",
    "nutrition": "pipeline.pipelines.nutrition:Nutrition",
    "steps": "pipeline.pipelines.steps:Steps",
}


def load_pipelines(names: Sequence[str]) -> dict[str, Pipeline]:
    """Return one instance of each pipeline, by the name in its spec.

    names: built-in names, or ``module:Class`` of a class that takes no arguments.
    Raises: ParamsError with code ``pipeline.unknown`` for a name that is neither, or two of the same name.
    """
    found: dict[str, Pipeline] = {}
    for name in names:
        one = _load(name.strip())
        if one.spec.name in found:
            raise ParamsError(f"two pipelines are called {one.spec.name!r}", code="pipeline.unknown")
        found[one.spec.name] = one
    return found


def _load(name: str) -> Pipeline:
    place = BUILT_IN.get(name, name)
    module_name, _, class_name = place.partition(":")
    if not module_name or not class_name:
        raise ParamsError(
            f"There is no pipeline {name!r}.",
            code="pipeline.unknown",
            advice=f"Built in: {', '.join(BUILT_IN)}; your own: module:Class.",
        )
    try:
        pipeline: Pipeline = getattr(importlib.import_module(module_name), class_name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise ParamsError(f"The pipeline {name!r} cannot be loaded: {error}", code="pipeline.unknown") from error
    missing = [part for part in _CONTRACT if not hasattr(pipeline, part)]
    if missing:
        raise ParamsError(f"{name!r} is not a pipeline: it lacks {', '.join(missing)}", code="pipeline.unknown")
    return pipeline


_CONTRACT = (
    "spec",
    "lead_in_seconds",
    "check",
    "cost_seconds",
    "start",
    "infer",
    "observe",
    "summarize",
    "models_used",
)
