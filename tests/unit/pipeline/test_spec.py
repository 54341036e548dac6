"""Parameters: defaults filled in, faults all told, an installation's own defaults."""

from __future__ import annotations

import pytest

from pipeline.pipelines.catalog import BUILT_IN, load_pipelines
from pipeline.spec import ParamsInvalid, batch_key, canonical_params, with_defaults

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "width": {"type": "integer", "minimum": 16, "default": 640},
        "sampler": {"type": "object", "default": {}, "properties": {"stride": {"type": "integer", "default": 5}}},
    },
}


def test_defaults_are_filled_in_at_every_depth_and_what_was_given_stays():
    assert canonical_params(SCHEMA, {}) == {"width": 640, "sampler": {"stride": 5}}
    assert canonical_params(SCHEMA, {"sampler": {"stride": 2}}) == {"width": 640, "sampler": {"stride": 2}}


def test_every_fault_is_told_with_its_place():
    with pytest.raises(ParamsInvalid) as told:
        canonical_params(SCHEMA, {"width": 3, "sampler": {"stride": "x"}, "colour": 1})
    assert [fault.path for fault in told.value.faults] == ["/", "/sampler/stride", "/width"]


def test_an_installation_has_its_own_defaults_and_the_schema_is_left_as_it_was():
    own = with_defaults(SCHEMA, {"width": 320, "sampler/stride": 10, "sampler/nothing": 1, "fps": 2})
    assert canonical_params(own, {}) == {"width": 320, "sampler": {"stride": 10}}
    assert canonical_params(own, {"width": 64}) == {"width": 64, "sampler": {"stride": 10}}
    assert canonical_params(SCHEMA, {})["width"] == 640


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_pipeline_takes_an_installations_stride_and_width(name):
    (pipeline,) = load_pipelines([name]).values()
    given = {"model": "any"} if name == "classify" else {}
    own = with_defaults(pipeline.spec.params_schema, {"width": 320, "sampler/stride": 10})
    params = canonical_params(own, given)
    accepts = set(pipeline.spec.accepts)
    assert ("sampler" in own["properties"]) == ("video" in accepts)  # of a still there is nothing to sample
    assert ("width" in own["properties"]) == (accepts != {"sensor"})
    assert params.get("sampler", {}).get("stride") == (10 if "video" in accepts else None)
    assert params.get("width") == (None if accepts == {"sensor"} else 320)


def test_a_batch_is_shared_by_equal_parameters_in_any_order_alone():
    assert batch_key("motion", 1, {"a": 1, "b": 2}) == batch_key("motion", 1, {"b": 2, "a": 1})
    assert batch_key("motion", 1, {"a": 1}) != batch_key("motion", 2, {"a": 1})
