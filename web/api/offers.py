"""What this installation can run: pipelines; models have a module of their own."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response

from web.answers import answer
from web.auth import scope
from web.context import services
from web.documents import PipelineDocument, PipelineList
from web.errors import Problem
from web.shapes import pipeline_document

bp = APIBlueprint("offers", __name__, url_prefix="/v1", tag="Pipelines")


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
