"""What the API says of models, and how it follows from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from storage.model_rows import ModelVersion
from web.documents import Document
from web.shapes import public_fault


class Measurement(Document):
    """What a worker measured when it checked a version, or later when it was idle."""

    host: str
    device: str
    figures: Mapping[str, Any] = Field(
        description="load_seconds, first_seconds, seconds (one picture), batch, batch_seconds, pictures_per_second, at."
    )


class ModelVersionDocument(Document):
    """One version of a model."""

    name: str
    version: str
    digest: str = Field(description="SHA-256 of the weights; empty where no worker has them yet.")
    task: str
    active: bool = Field(description="Whether new jobs use this version.")
    state: str = Field(description="added (waits for its check by a worker), checked (may serve) or refused.")
    origin: str = Field(description="added (over HTTP, weights in the object store) or folder (of the workers).")
    size_bytes: int | None = Field(description="Of the weights, where they lie in the object store.")
    error: Mapping[str, Any] | None = Field(description="code, message and advice, when it was refused.")
    card: Mapping[str, Any]
    measured: Sequence[Measurement] = Field(description="By the workers that checked it.")
    evaluation: Mapping[str, Any] | None = Field(description="The evaluation.json that came with it.")
    created_at: datetime
    checked_at: datetime | None
    activated_at: datetime | None = Field(description="When it last became active, unless it was rolled back since.")


class ModelList(Document):
    """All model versions, by name, newest first."""

    models: Sequence[ModelVersionDocument]


class ModelDocument(Document):
    """One model with all its versions."""

    name: str
    active: str | None = Field(description="The version that new jobs use.")
    versions: Sequence[ModelVersionDocument] = Field(description="Newest first.")


class ModelForm(Document):
    """A new version of a model; everything else comes before the file."""

    card: str = Field(description="The text of model.toml.")
    labels: str | None = Field(None, description="The text of the labels file that the card names.")
    sha256: str | None = Field(None, description="Of the weights, unless the card has it: 64 hex digits.")
    evaluation: str | None = Field(None, description="How good it was found, a JSON object; told as it is.")
    file: str = Field(description="The weights.")


def model_form(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the request body of a new version, for the API's description; its schema goes into ``schemas``."""
    schema = ModelForm.model_json_schema()
    for part in schema["properties"].values():
        part.pop("anyOf", None)
        part.pop("default", None)
        part["type"] = "string"
    schema["properties"]["file"]["contentMediaType"] = "application/octet-stream"
    schemas["ModelForm"] = schema
    form = {"schema": {"$ref": "#/components/schemas/ModelForm"}}
    return {"required": True, "content": {"multipart/form-data": form}}


def version_document(row: ModelVersion) -> ModelVersionDocument:
    """Return the document of a version."""
    return ModelVersionDocument(
        name=row.name,
        version=row.version,
        digest=row.digest,
        task=row.task,
        active=row.active,
        state=row.state,
        origin="folder" if row.object_key is None else "added",
        size_bytes=row.size_bytes,
        error=public_fault(row.error) if row.error else None,
        card=row.card,
        measured=[_measurement(place, dict(figures)) for place, figures in sorted(row.measured.items())],
        evaluation=row.evaluation,
        created_at=row.created_at,
        checked_at=row.checked_at,
        activated_at=row.activated_at,
    )


def model_document(rows: Sequence[ModelVersion]) -> ModelDocument:
    """Return the document of a model with at least one version."""
    active = next((row.version for row in rows if row.active), None)
    return ModelDocument(name=rows[0].name, active=active, versions=[version_document(row) for row in rows])


def _measurement(place: str, figures: Mapping[str, Any]) -> Measurement:
    host, _, device = place.partition("/")
    return Measurement(host=host, device=device, figures=figures)
