"""What a client says of a batch: its head, the defaults of its items, and what each line may hold."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.spec import canonical_json
from web.errors import Problem
from web.incoming import check_text
from web.orders import InputSource, Order, faults_of

#: members of an item that say where its input is; exactly one of them
PLACES = ("upload_id", "url", "object", "prefix", "file")
#: members of an item that override the defaults
ORDER_MEMBERS = frozenset(Order.model_fields) - {"batch_id", "batch_key"}
KEY_CHARACTERS_MAX = 255
MAX_QUEUE_MAX = 1_000_000


Asked = TypeVar("Asked", bound=BaseModel)


class Defaults(Order):
    """What holds for each item that says nothing else."""

    pipeline: str | None = Field(None, min_length=1, max_length=100)  # type: ignore[assignment]  # an item may name it

    def members(self) -> dict[str, Any]:
        """Return what was given, as plain data."""
        return self.model_dump(mode="json", include=set(self.model_fields_set))


class BatchHead(BaseModel):
    """What holds for a batch as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(None, min_length=1, max_length=200, description="Your own name for it.")
    defaults: Defaults = Field(default_factory=lambda: Defaults.model_validate({}))
    max_queue: int | None = Field(
        None, ge=1, le=MAX_QUEUE_MAX, description="At most so many of its jobs are unfinished at once."
    )
    open: bool = Field(False, description="More items will come; close it when the last one has.")

    @field_validator("defaults")
    @classmethod
    def _own_members(cls, value: Defaults) -> Defaults:
        if value.batch_id is not None or value.batch_key is not None:
            raise ValueError("batch_id and batch_key are members of single submissions")
        return value

    @property
    def fingerprint(self) -> str:
        """What must be equal for two requests under one idempotency key (their items are compared one by one)."""
        text = canonical_json([self.name, self.defaults.members(), self.max_queue, self.open])
        return hashlib.sha256(text.encode()).hexdigest()


class BatchOrder(BatchHead):
    """A batch with its items as one JSON document; a longer list comes as lines."""

    items: list[Any] = Field(default_factory=list, description="Each as a line of a manifest.")


class BatchItem(Order):
    """One line of a manifest: where an input is, and what it wants otherwise than the defaults."""

    pipeline: str | None = Field(None, min_length=1, max_length=100)  # type: ignore[assignment]  # the defaults may name it
    key: str | None = Field(
        None, min_length=1, max_length=KEY_CHARACTERS_MAX, description="Your own name of it, unique in the batch."
    )
    upload_id: str | None = Field(None, max_length=64, description="A completed upload of POST /v1/uploads.")
    url: str | None = Field(None, max_length=4096, description="An http(s) address that the server may fetch.")
    object: str | None = Field(None, max_length=1200, description="s3://bucket/key that the server may read.")
    prefix: str | None = Field(
        None, max_length=1200, description="s3://bucket/path/: every object below it becomes an item of its own."
    )


class ReplayFailedOrder(BaseModel):
    """Which jobs of a batch to run again, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    params: dict[str, Any] | None = Field(None, description="New parameters (complete, not a patch).")
    states: list[str] = Field(default=["failed", "dead"], min_length=1, max_length=2)

    @field_validator("states")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        if unknown := sorted(set(value) - {"failed", "dead"}):
            raise ValueError(f"only failed and dead jobs are replayed, not {unknown[0][:20]!r}")
        return sorted(set(value))


def read_order(value: Any, kind: type[Asked], *, at: str = "") -> Asked:
    """Read what is asked for; ``at``: where it stands in the request. Raises: Problem with every fault listed."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        faults = [{**fault, "path": f"{at}{fault['path']}"} for fault in faults_of(error)]
        raise Problem("request.invalid", "see faults", faults=faults) from None


def place_of(members: dict[str, Any]) -> tuple[str, str]:
    """Return which place an item names, and what it says there. Raises: Problem with code item.invalid."""
    given = [name for name in PLACES if members.get(name) is not None]
    if len(given) != 1:
        raise Problem("item.invalid", f"give exactly one of {', '.join(PLACES[:-1])}")
    name = given[0]
    value = members[name]
    if name == "file":
        raise Problem(
            "item.file", "the server cannot read your files", advice="`framequeue backlog enqueue` sends them"
        )
    if name == "prefix":
        return name, _prefix(value)
    try:
        InputSource.model_validate({name: value})
    except ValidationError as error:
        raise invalid(error) from None
    return name, value


def key_of(members: dict[str, Any]) -> str | None:
    """Return an item's own name. Raises: Problem with code item.invalid."""
    key = members.get("key")
    if key is not None and not (isinstance(key, str) and 1 <= len(key) <= KEY_CHARACTERS_MAX):
        raise Problem("item.invalid", f"key: must be text of 1 to {KEY_CHARACTERS_MAX} characters")
    return key


def invalid(error: ValidationError) -> Problem:
    """Return what pydantic found wrong with an item as one problem."""
    faults = faults_of(error)
    detail = "; ".join(f"{fault['path'].strip('/') or 'item'}: {fault['message']}" for fault in faults[:5])
    return Problem("item.invalid", detail)


def _prefix(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1200 or not value.isprintable():
        raise Problem("item.invalid", "prefix: must be s3://bucket/path/")
    check_text(value)
    parts = urlsplit(value)
    if parts.scheme != "s3" or not parts.netloc or "/" not in value.removeprefix("s3://"):
        raise Problem("item.invalid", "prefix: must be s3://bucket/path/")
    return value
