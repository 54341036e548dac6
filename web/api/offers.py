"""What this installation can run: pipelines and models."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from web.answers import answer
from web.auth import scope
from web.context import caller, services
from web.documents import ModelDocument, ModelList, PipelineDocument, PipelineList
from web.errors import Problem
from web.shapes import model_document, pipeline_document

bp = APIBlueprint("offers", __name__, url_prefix="/v1", tag="Pipelines and models")


class Activation(BaseModel):
    """Which version to use from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(min_length=1, max_length=100)


@bp.get("/pipelines")
@scope("read")
@bp.output(PipelineList)
def list_pipelines() -> Response:
    """List the pipelines with the JSON Schema of their parameters."""
    scene = services().situation.scene()
    rows = services().catalog.pipelines()
    return answer(PipelineList(pipelines=[pipeline_document(row, scene) for row in rows]))


@bp.get("/pipelines/<name>")
@scope("read")
@bp.output(PipelineDocument)
def get_pipeline(name: str) -> Response:
    """Look at one pipeline."""
    for row in services().catalog.pipelines():
        if row.name == name:
            return answer(pipeline_document(row, services().situation.scene()))
    raise Problem("resource.unknown", "no such pipeline", advice="see GET /v1/pipelines")


@bp.get("/models")
@scope("read")
@bp.output(ModelList)
def list_models() -> Response:
    """List the model versions known here."""
    return answer(ModelList(models=[model_document(row) for row in services().registry.models()]))


@bp.post("/models/<name>/activate")
@scope("operate")
@bp.input(Activation)
@bp.output(ModelDocument)
def activate_model(name: str, json_data: Activation) -> Response:
    """Switch new jobs to a version of a model, or back."""
    if not services().registry.activate(name, json_data.version, by=caller().actor):
        raise Problem("model.unknown", "no such version of this model", advice="see GET /v1/models")
    for row in services().registry.models():
        if (row.name, row.version) == (name, json_data.version):
            return answer(model_document(row))
    raise Problem("model.unknown", "the version was removed meanwhile")
