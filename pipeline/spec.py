"""What a pipeline is, seen from outside: name, lane, inputs and parameter schema.

The only module of this package that web imports: standard library and jsonschema, no arrays, no decoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

#: raised when the meaning of a stored job changes, so that old workers leave new work alone
SPEC_VERSION = 2


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A pipeline's description, registered in the database by workers and validated against by web."""

    name: str
    description: str
    #: any of "image", "video", "sensor"
    accepts: tuple[str, ...]
    #: JSON Schema (2020-12) of ``params``; type object, additionalProperties false, a default for each property
    params_schema: Mapping[str, Any] = field(default_factory=dict)
    lane: str = "cpu"
    spec_version: int = SPEC_VERSION
    #: explanation of each field of the summary
    summary_fields: Mapping[str, str] = field(default_factory=dict)
    #: parameters that name a model, each with the tasks that the model may have; empty: needs no weights
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: longest a claim may run before it is ended and charged; an operator may set another (FQ_MAX_RUNTIMES)
    max_runtime_seconds: float = 3600.0

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class ParamFault:
    """One thing wrong with the parameters: where (``/sampler/stride``) and what."""

    path: str
    message: str


class ParamsInvalid(ValueError):
    """Parameters that do not fit the schema; ``faults`` names every one."""

    def __init__(self, faults: list[ParamFault]) -> None:
        super().__init__("; ".join(f"{fault.path or '/'}: {fault.message}" for fault in faults))
        self.faults = faults


def canonical_params(schema: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Check ``params`` against ``schema`` and return them with every default filled in.

    Raises: ParamsInvalid with all faults at once.
    """
    filled: dict[str, Any] = _with_defaults(schema, params)
    errors = sorted(Draft202012Validator(schema).iter_errors(filled), key=lambda error: list(map(str, error.path)))
    if errors:
        raise ParamsInvalid([ParamFault("/" + "/".join(map(str, error.path)), _said(error)) for error in errors])
    return filled


def _said(error: ValidationError) -> str:
    """Return what is wrong: in the schema's own words where it has an ``errorMessage``."""
    part: Any = error.schema
    return str(part.get("errorMessage", error.message)) if isinstance(part, Mapping) else str(error.message)


def with_defaults(schema: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with other defaults, by path: ``{"width": 320, "sampler/stride": 10}``.

    A path that the schema does not have is passed over: not every pipeline samples.
    """
    changed: dict[str, Any] = deepcopy(dict(schema))
    for path, value in defaults.items():
        part: Any = changed
        for name in path.split("/"):
            part = part.get("properties", {}).get(name, {})
        if part:
            part["default"] = value
    return changed


def canonical_json(value: Any) -> str:
    """Return the one text of a JSON value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def batch_key(
    pipeline: str, spec_version: int, params: Mapping[str, Any], pins: Mapping[str, Any] | None = None
) -> str:
    """Return what must be equal for two segments to share a model batch (32 hex digits); ``pins``: exact versions."""
    text = canonical_json([pipeline, spec_version, params, *([pins] if pins else [])])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    if not isinstance(value, Mapping) or schema.get("type") != "object":
        return deepcopy(value)
    filled = {name: deepcopy(item) for name, item in value.items()}
    for name, part in schema.get("properties", {}).items():
        if name in filled:
            filled[name] = _with_defaults(part, filled[name])
        elif "default" in part:
            filled[name] = _with_defaults(part, part["default"])
    return filled
