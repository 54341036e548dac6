"""Pipelines by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pipeline.errors import ParamsError
from pipeline.pipelines.catalog import BUILT_IN, load_pipelines
from pipeline.spec import canonical_params

ROOT = Path(__file__).resolve().parents[3]


def test_built_in_pipelines_are_known_by_the_name_of_their_spec():
    found = load_pipelines(list(BUILT_IN))
    assert list(found) == list(BUILT_IN)
    assert all(name == pipeline.spec.name for name, pipeline in found.items())


def test_a_pipeline_of_ones_own_is_named_by_module_and_class():
    assert list(load_pipelines(["motion", " tests.fakes.fake_pipeline:FakePipeline "])) == ["motion", "fake"]


@pytest.mark.parametrize(
    "names",
    [
        ["nothing"],
        ["no.such.module:Class"],
        ["pipeline.spec:Absent"],
        ["pipeline.frame:Frame"],
        ["builtins:dict"],
        ["motion", "motion"],
    ],
)
def test_a_name_that_is_no_pipeline_is_told(names):
    with pytest.raises(ParamsError) as caught:
        load_pipelines(names)
    assert caught.value.code == "pipeline.unknown"


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_parameter_has_a_description_and_a_default_or_is_required(name):
    schema = load_pipelines([name])[name].spec.params_schema
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    for field, part in schema["properties"].items():
        assert part["description"]
        assert "default" in part or field in schema["required"]
    canonical_params(schema, dict.fromkeys(schema.get("required", ()), "x"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_spec_is_plain_json_with_every_summary_field_explained(name):
    spec = load_pipelines([name])[name].spec
    assert json.loads(json.dumps(spec.as_json()))["name"] == name
    assert spec.summary_fields
    assert spec.description


def test_a_worker_that_serves_motion_alone_loads_no_model_runtime():
    code = (
        "import sys; from pipeline.pipelines.catalog import load_pipelines;"
        "from pipeline.models.shelf import open_shelf;"
        "import pipeline.run; load_pipelines(['motion', 'detect', 'classify']); open_shelf().cards();"
        "print(sorted({'torch', 'onnxruntime', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
