"""Every built-in pipeline that can show something lets a job ask for it, and the other way round."""

from __future__ import annotations

import pytest

from pipeline.illustrating import wishes
from pipeline.pipelines.catalog import BUILT_IN, load_pipelines

ALL = {"artifacts": ["annotated", "every_frame", "thumbnails"]}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_pipeline_offers_artifacts_exactly_where_it_can_show_something(name):
    (pipeline,) = load_pipelines([name]).values()
    offers = "artifacts" in pipeline.spec.params_schema.get("properties", {})
    assert offers == bool(wishes(pipeline, ALL)), f"{name}: `artifacts=ARTIFACTS` goes with marks or moments"
    assert offers or "sensor" in pipeline.spec.accepts
