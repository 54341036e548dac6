"""Pipelines as web offers them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import pytest

from pipeline.pipelines.motion import Motion
from storage.registry import PipelineRow, Registry
from web.catalog import Catalog
from web.errors import Problem
from web.settings import WebSettings


class Registered:
    """A registry that knows ``motion``."""

    def pipelines(self) -> list[PipelineRow]:
        spec = Motion.spec
        return [PipelineRow(spec.name, spec.spec_version, spec.lane, spec.as_json(), datetime.now(UTC))]


def catalog(**settings: int) -> Catalog:
    values = WebSettings(
        database_url="postgresql://nobody@127.0.0.1/none", redis_url="redis://127.0.0.1", store="file:///nowhere",
        store_secret="s" * 32, public_url="http://127.0.0.1", **settings,
    )  # fmt: skip
    return Catalog(cast(Registry, Registered()), values.default_params)


def test_a_job_that_does_not_say_gets_the_defaults_of_this_installation() -> None:
    _, params = catalog(default_stride=10, default_width=320).params("motion", {})
    assert (params["sampler"]["stride"], params["width"]) == (10, 320)
    _, said = catalog(default_stride=10, default_width=320).params("motion", {"width": 64, "sampler": {"stride": 2}})
    assert (said["sampler"]["stride"], said["width"]) == (2, 64)


def test_where_the_installation_says_nothing_the_pipelines_own_defaults_stand() -> None:
    _, params = catalog().params("motion", {})
    own = Motion.spec.params_schema["properties"]
    assert (params["sampler"]["stride"], params["width"]) == (5, own["width"]["default"])


def test_the_offered_schema_shows_the_same_defaults() -> None:
    (row,) = catalog(default_width=320).pipelines()
    assert row.spec["params_schema"]["properties"]["width"]["default"] == 320


def test_an_unknown_pipeline_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(Problem) as told:
        catalog().pipeline("levitate")
    assert (told.value.code, told.value.extra["pipelines"]) == ("pipeline.unknown", ["motion"])
