"""Versions of models: list, look, activate, roll back."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from web.answers import answer
from web.auth import scope
from web.context import base_url, caller, services
from web.errors import Problem
from web.forms import read_form
from web.model_documents import ModelDocument, ModelList, ModelVersionDocument, model_document, version_document
from web.model_upload import add_version

bp = APIBlueprint("models", __name__, url_prefix="/v1/models", tag="Models")


class Activation(BaseModel):
    """Which version to use from now on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(min_length=1, max_length=100)


@bp.get("")
@scope("read")
@bp.output(ModelList)
def list_models() -> Response:
    """List the model versions known here."""
    return answer(ModelList(models=[version_document(row) for row in services().models.list()]))


@bp.post("")
@scope("operate")
@bp.output(ModelVersionDocument, 202)
def add_model() -> Response:
    """Add a version of a model: its card and its weights, as multipart.

    It may serve once a worker has loaded it and run it on a sample, which `state` and `error` tell; the first
    version of a name is then active, others when they are activated. The same version again changes nothing.
    """
    if request.mimetype != "multipart/form-data":
        raise Problem("type.unsupported", "send multipart/form-data")
    limit = services().settings.max_model_bytes
    row, fresh = read_form(limit, lambda form: add_version(services(), caller(), form))
    headers = {"Location": f"{base_url()}/v1/models/{row.name}"}
    return answer(version_document(row), 202 if fresh else 200, headers)


@bp.get("/<name>")
@scope("read")
@bp.output(ModelDocument)
def get_model(name: str) -> Response:
    """Look at one model: its versions with card, digest, state, what was measured, and how good each was found."""
    return answer(model_document(services().models.versions(name)))


@bp.post("/<name>/activate")
@scope("operate")
@bp.input(Activation)
@bp.output(ModelVersionDocument)
def activate_model(name: str, json_data: Activation) -> Response:
    """Switch new jobs to a version of a model; those that were submitted before keep theirs."""
    return answer(version_document(services().models.activate(name, json_data.version, by=caller().actor)))


@bp.post("/<name>/rollback")
@scope("operate")
@bp.output(ModelVersionDocument)
def roll_model_back(name: str) -> Response:
    """Switch new jobs to the version that was active before this one; once more, to the one before that."""
    return answer(version_document(services().models.rollback(name, by=caller().actor)))
