"""What we send, in the OpenAPI description: the webhook and its body."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from storage.job import TERMINAL_STATES, JobState
from web.documents import Document

_REFERENCE = "#/components/schemas/{model}"
_HEADERS = {
    "webhook-id": "The event's id, the same at every attempt: handle each once.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
    "webhook-signature": "v1,<base64> of HMAC-SHA256 over <id>.<timestamp>.<body>; one word for each live secret.",
}


class EndedJobUrls(Document):
    """Where to go on."""

    model_config = ConfigDict(extra="allow")

    self: str
    frames: str
    result: str
    replay: str


class EndedJob(Document):
    """The job whose run has ended."""

    model_config = ConfigDict(extra="allow")

    id: str
    run: int
    state: JobState
    pipeline: str
    metadata: Mapping[str, Any]
    batch_id: str | None
    error: Mapping[str, Any] | None = Field(description="code, message and advice, when it did not succeed.")
    urls: EndedJobUrls


class WebhookEvent(Document):
    """One terminal state of one run; more members may come."""

    model_config = ConfigDict(extra="allow")

    type: Literal["job.succeeded", "job.failed", "job.dead", "job.canceled"]
    timestamp: datetime = Field(description="When the run ended.")
    data: EndedJob


def add_webhooks(spec: dict[str, Any]) -> None:
    """Describe what a ``webhook_url`` is sent."""
    schema = WebhookEvent.model_json_schema(ref_template=_REFERENCE)
    schemas = spec["components"]["schemas"]
    schemas |= schema.pop("$defs", {})
    schemas["WebhookEvent"] = schema
    reference = {"$ref": "#/components/schemas/WebhookEvent"}
    operation = {
        "summary": "A run of a job has ended",
        "description": "Sent to the job's webhook_url by the Standard Webhooks specification, at least once.",
        "tags": ["Webhooks"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": text}
            for name, text in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}},
        "responses": {
            "2XX": {"description": "Taken; nothing of the answer but its status is read."},
            "410": {"description": "Send nothing to this URL any more."},
        },
    }
    ends = [state for state in JobState if state in TERMINAL_STATES]
    spec["webhooks"] = {f"job.{end}": {"post": operation | {"operationId": f"job_{end}"}} for end in ends}
