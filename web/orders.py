"""What a client asks for: the fields of POST /v1/jobs, checked, whichever way they came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.spec import canonical_json
from storage.job import Priority
from web.errors import Problem
from web.incoming import check_text, parse
from web.webhook_urls import CHARACTERS_MAX, check_webhook_url

METADATA_BYTES_MAX = 16 * 1024
#: how far ahead a job may be put off
RUN_AFTER_MAX = timedelta(days=30)
EXPIRES_SECONDS_MAX = 30 * 86400
#: fields of a form whose text is JSON
_JSON_FIELDS = ("params", "metadata")

Scalar = str | int | float | bool | None


class Order(BaseModel):
    """What to do with an input."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipeline: str = Field(
        min_length=1, max_length=100, description="Name of a pipeline; see GET /v1/pipelines.", examples=["motion"]
    )
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="Parameters of the pipeline; missing ones take their defaults.",
        examples=[{"sampler": {"stride": 5}}],
    )
    priority: Priority = Field(Priority.NORMAL, description="Share of the machine; urgent needs scope operate.")
    metadata: dict[Annotated[str, Field(min_length=1, max_length=64)], Scalar] = Field(
        default_factory=dict,
        max_length=50,
        description="Your own labels; GET /v1/jobs?metadata.<name>= finds by them.",
        examples=[{"camera": "7"}],
    )
    run_after: AwareDatetime | None = Field(None, description="Not before this instant, at most 30 days ahead.")
    expires_in_seconds: int | None = Field(
        None, ge=1, le=EXPIRES_SECONDS_MAX, description="Fail with job.expired when no worker has begun by then."
    )

    allow_partial: bool = Field(
        False,
        description="Succeed without the parts of a video that could not be run; missing_ranges names them.",
    )

    webhook_url: str | None = Field(
        None,
        max_length=CHARACTERS_MAX,
        description="Told of each end of the job; needs a secret first, see POST /v1/webhooks/secrets.",
        examples=["https://example.org/hooks/framequeue"],
    )

    batch_id: str | None = Field(None, max_length=64, description="An open batch of yours that the job belongs to.")
    batch_key: str | None = Field(None, min_length=1, max_length=255, description="Your own unique name of it there.")

    @model_validator(mode="after")
    def _key_of_a_batch(self) -> Order:
        if self.batch_key is not None and self.batch_id is None:
            raise ValueError("batch_key names an item of a batch: give batch_id too")
        return self

    @field_validator("webhook_url")
    @classmethod
    def _sendable(cls, value: str | None) -> str | None:
        return None if value is None else check_webhook_url(value)

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        if len(canonical_json(value).encode()) > METADATA_BYTES_MAX:
            raise ValueError(f"may have {METADATA_BYTES_MAX} bytes as JSON")
        return value

    @field_validator("run_after")
    @classmethod
    def _not_too_far(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        if value > datetime.now(UTC) + RUN_AFTER_MAX:
            raise ValueError("lies more than 30 days ahead")
        return value.astimezone(UTC)


class InputSource(BaseModel):
    """Where the input is: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    upload_id: str | None = Field(None, max_length=64, description="A completed upload of POST /v1/uploads.")
    url: str | None = Field(None, max_length=4096, description="An http(s) address that the server may fetch.")
    object: str | None = Field(None, max_length=1200, description="s3://bucket/key that the server may read.")

    @model_validator(mode="after")
    def _one(self) -> InputSource:
        given = [name for name in ("upload_id", "url", "object") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of upload_id, url, object")
        return self

    @field_validator("url")
    @classmethod
    def _plain_http(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not value.isprintable() or " " in value:
            raise ValueError("must be an absolute http(s) URL")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user name or password")
        return value

    @field_validator("object")
    @classmethod
    def _s3(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme != "s3" or not parts.netloc or len(parts.path) < 2:
            raise ValueError("must be s3://bucket/key")
        return value


class JsonOrder(Order):
    """An order whose input is somewhere else already."""

    input: InputSource


class ReplayOrder(BaseModel):
    """What may change in a new run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    params: dict[str, Any] | None = Field(
        None, description="New parameters (complete, not a patch); without them done segments are kept."
    )


def order_from_form(fields: Mapping[str, str]) -> Order:
    """Read an order from the text fields of a form; an empty one is as good as none.

    Raises: Problem with code request.invalid, every fault listed.
    """
    values: dict[str, Any] = {name: value for name, value in fields.items() if value}
    faults: list[dict[str, str]] = []
    for name in _JSON_FIELDS:
        if name in values:
            try:
                values[name] = parse(values[name])
            except ValueError as error:
                faults.append({"path": f"/{name}", "message": f"is not JSON: {error}"})
                del values[name]
    try:
        for name, value in fields.items():
            check_text(name)
            check_text(value)
        order = Order.model_validate(values)
    except ValidationError as error:
        faults += faults_of(error)
    except ValueError as error:
        faults.append({"path": "/", "message": str(error)})
    if faults:
        raise Problem("request.invalid", "see faults", faults=faults)
    return order


def faults_of(error: ValidationError) -> list[dict[str, str]]:
    """Name every fault that pydantic found, without echoing the input."""
    return [
        {"path": "/" + "/".join(map(str, item["loc"])), "message": item["msg"]}
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
