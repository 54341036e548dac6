"""Versions of models: list, look, activate, roll back."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from web.answers import answer
from web.auth import scope
from web.context import caller, services
from web.model_documents import ModelDocument, ModelList, ModelVersionDocument, model_document, version_document

bp = APIBlueprint("models", __name__, url_prefix="/v1/models", tag="Pipelines and models")


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
