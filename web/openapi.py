"""The OpenAPI 3.1 description: APIFlask reads the routes, here the rest is added that only we know."""

from __future__ import annotations

import copy
import re
from typing import Any, cast

from apiflask import APIFlask
from werkzeug.routing import Rule

from web.auth import PUBLIC
from web.batch_openapi import describe_batches
from web.catalog import Remembered
from web.documents import ProblemDocument
from web.exports import FORMATS
from web.model_documents import model_form
from web.orders import JsonOrder, Order
from web.webhook_spec import add_webhooks

DESCRIPTION = """A queue for video and image inference: submit a file, get 202, poll the job, read the result.

Send your key as `Authorization: Bearer fq_...`. Errors are problem documents (RFC 9457) with a stable `code`.
"""
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: fq_..."},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
#: statuses that any call with a key may answer
_COMMON = {
    "401": "key.missing or key.invalid",
    "403": "scope.missing",
    "503": "database.unavailable or storage.unavailable",
}
_BY_SHAPE = {
    "id": {"404": "nothing of yours has this id or name"},
    "body": {"400": "body.malformed", "413": "body.too_large", "415": "type.unsupported", "422": "request.invalid"},
    "query": {"422": "request.invalid"},
}
#: what single calls answer besides
_OWN = {
    ("post", "/v1/batches"): {"409": "idempotency.conflict or batch.full"},
    ("post", "/v1/models"): {
        "409": "state.conflict or upload.mismatch",
        "422": "model.card_invalid or request.invalid",
    },
    ("post", "/v1/models/{name}/activate"): {"409": "model.inactive"},
    ("post", "/v1/models/{name}/rollback"): {"409": "state.conflict"},
    ("get", "/v1/batches"): {"400": "cursor.invalid"},
    ("get", "/v1/batches/{batch_id}/items"): {"400": "cursor.invalid"},
    ("post", "/v1/batches/{batch_id}/items"): {"409": "state.conflict or batch.full"},
    ("post", "/v1/batches/{batch_id}/close"): {"409": "state.conflict"},
    ("post", "/v1/batches/{batch_id}/replay-failed"): {"409": "state.conflict"},
    ("post", "/v1/jobs"): {
        "404": "upload.unknown",
        "409": "idempotency.conflict, upload.incomplete, webhook.secret_missing or model.inactive",
    },
    ("post", "/v1/jobs/{job_id}/replay"): {"409": "state.conflict or input.gone"},
    ("get", "/v1/jobs/{job_id}/result"): {
        "400": "format.unknown",
        "409": "result.not_ready or result.unavailable",
        "410": "result.gone",
    },
    ("get", "/v1/jobs/{job_id}/artifacts"): {"410": "result.gone"},
    ("get", "/v1/jobs/{job_id}/artifacts/{name}"): {"410": "result.gone", "416": "range.unsatisfiable"},
    ("get", "/v1/jobs/{job_id}/frames"): {"400": "cursor.invalid", "410": "result.gone"},
    ("get", "/v1/dead/jobs"): {"400": "cursor.invalid"},
    ("get", "/v1/dead/replays"): {"400": "cursor.invalid"},
    ("get", "/v1/audit"): {"400": "cursor.invalid"},
    ("get", "/v1/jobs"): {"400": "cursor.invalid"},
    ("post", "/v1/uploads/{upload_id}/complete"): {"409": "upload.incomplete or upload.mismatch"},
    ("post", "/v1/uploads/{upload_id}/parts"): {"409": "state.conflict"},
    ("delete", "/v1/uploads/{upload_id}"): {"409": "state.conflict"},
    ("post", "/v1/webhooks/secrets"): {"409": "webhook.secrets_full"},
    ("post", "/v1/webhooks/deliveries/{event_id}/resend"): {"409": "webhook.disabled"},
    ("get", "/v1/webhooks/deliveries"): {"400": "cursor.invalid"},
    ("get", "/v1/webhooks/endpoints"): {"400": "cursor.invalid"},
}
#: answers that are neither the usual one nor a problem: schema (None: no body) and when
_BESIDES: dict[tuple[str, str], dict[str, tuple[str | None, str]]] = {
    ("post", "/v1/jobs"): {"200": ("JobDocument", "The ended job, where Prefer: wait was given and it ended in time")},
    ("get", "/v1/jobs/{job_id}"): {"304": (None, "Nothing has changed since If-None-Match")},
    ("get", "/v1/jobs/{job_id}/artifacts/{name}"): {
        "206": (None, "The range that was asked for"),
        "304": (None, "You have it already, by If-None-Match"),
    },
    ("get", "/v1/batches/{batch_id}/results"): {"304": (None, "Nothing has changed since If-None-Match")},
    ("get", "/ready"): {"503": ("Readiness", "A part that is needed is down; the document names it")},
}
_HEADERS = {
    ("post", "/v1/batches"): (
        ("Idempotency-Key", "Your own word for this batch: the same manifest under it goes on where it broke off."),
    ),
    ("get", "/v1/batches/{batch_id}/results"): (("If-None-Match", "ETag you have; unchanged is 304."),),
    ("post", "/v1/jobs"): (
        ("Idempotency-Key", "Your own word for this submission: repeating it gives the same job."),
        ("Prefer", "wait=10 answers with the ended job if it ends in that time."),
    ),
    ("get", "/v1/jobs/{job_id}"): (("If-None-Match", "ETag you have; unchanged is 304."),),
    ("get", "/v1/jobs/{job_id}/artifacts/{name}"): (
        ("Range", "One range of bytes, so that a film can be played from the middle."),
        ("If-None-Match", "ETag you have; unchanged is 304."),
    ),
    ("get", "/v1/jobs/{job_id}/events"): (("Last-Event-ID", "The event you saw last."),),
}


def install(app: APIFlask) -> None:
    """Set the app's description up and keep the generated document."""
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        DESCRIPTION=DESCRIPTION,
        SECURITY_SCHEMES=SECURITY_SCHEMES,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_SERVERS=False,
        LICENSE={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.spec_processor(lambda spec: finish(app, cast(dict[str, Any], spec)))

    def generate() -> dict[str, Any]:
        return app.spec  # type: ignore[return-value]  # a dict as SPEC_FORMAT is json

    app.extensions["framequeue_openapi"] = Remembered(generate, seconds=float("inf"))


def finish(app: APIFlask, spec: dict[str, Any]) -> dict[str, Any]:
    """Add security, problems, headers and the multipart body; name nested schemas plainly."""
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = ProblemDocument.model_json_schema()
    for rule in app.url_map.iter_rules():
        operations = spec["paths"].get(_path_of(rule), {})
        for method in sorted(rule.methods or ()):
            if (operation := operations.get(method.lower())) is not None:
                scope = app.view_functions[rule.endpoint].__dict__.get("scope", PUBLIC)
                operation["operationId"] = rule.endpoint.rpartition(".")[2]
                _complete(operation, (method.lower(), _path_of(rule)), scope)
    spec["paths"]["/v1/jobs"]["post"]["requestBody"] = _submission(schemas)
    describe_batches(spec["paths"], schemas)
    spec["paths"]["/v1/models"]["post"]["requestBody"] = model_form(schemas)
    kinds = {kind: {"schema": {"type": "string"}} for kind in ("image/jpeg", "video/mp4")}
    spec["paths"]["/v1/jobs/{job_id}/artifacts/{name}"]["get"]["responses"]["200"]["content"] = kinds
    types = {way.content_type.partition(";")[0] for way in FORMATS.values()}
    content = {name: {"schema": {"type": "object" if name.endswith("/json") else "string"}} for name in sorted(types)}
    spec["paths"]["/v1/jobs/{job_id}/result"]["get"]["responses"]["200"]["content"] = content
    add_webhooks(spec)
    return _plain_names(spec)


def _path_of(rule: Rule) -> str:
    return re.sub(r"<(?:[^<:>]+:)?([^<>]+)>", r"{\1}", rule.rule)


def _complete(operation: dict[str, Any], call: tuple[str, str], scope: str) -> None:
    method, path = call
    problems = dict(_OWN.get(call, {}))
    if scope == PUBLIC:
        operation["security"] = []
    else:
        operation["security"] = _SECURITY
        operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
        problems |= _COMMON
    if "{" in path:
        problems |= _BY_SHAPE["id"]
    if "requestBody" in operation or method == "post":
        problems |= _BY_SHAPE["body"]
    if any(parameter.get("in") == "query" for parameter in operation.get("parameters", [])):
        problems |= _BY_SHAPE["query"]
    for status, codes in problems.items():
        operation["responses"][status] = _problem(codes)
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _in_a_form(parameter["schema"])
    for name, text in _HEADERS.get(call, ()):
        header = {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        operation.setdefault("parameters", []).append(header)
    for status, (schema, text) in _BESIDES.get(call, {}).items():
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        operation["responses"][status] = {"description": text} | ({"content": content} if schema else {})


def _problem(codes: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": codes, "content": {"application/problem+json": {"schema": schema}}}


def _submission(schemas: dict[str, Any]) -> dict[str, Any]:
    """Both ways to submit: JSON, and a form whose object fields are JSON texts."""
    body = JsonOrder.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= body.pop("$defs", {})
    schemas["JobOrder"] = body
    form = copy.deepcopy(Order.model_json_schema(ref_template="#/components/schemas/{model}"))
    form.pop("$defs", None)
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    form["properties"] = {"file": file} | {name: _in_a_form(part) for name, part in form["properties"].items()}
    form["required"] = ["file", "pipeline"]
    schemas["JobForm"] = form | {"title": "JobForm"}
    encoding = {name: {"contentType": "application/json"} for name in ("params", "metadata")}
    multipart = {"schema": {"$ref": "#/components/schemas/JobForm"}, "encoding": encoding}
    return {
        "required": True,
        "content": {
            "multipart/form-data": multipart,
            "application/json": {"schema": {"$ref": "#/components/schemas/JobOrder"}},
        },
    }


def _in_a_form(part: dict[str, Any]) -> dict[str, Any]:
    """A property whose absence is no part: forms and query strings have no null."""
    choices = [choice for choice in part.get("anyOf", []) if choice != {"type": "null"}]
    rest = {name: value for name, value in part.items() if name != "anyOf" and (name, value) != ("default", None)}
    return rest | choices[0] if len(choices) == 1 else part


def _plain_names(spec: dict[str, Any]) -> dict[str, Any]:
    """Rename components such as JobList.JobDocument to JobDocument: they are one and the same class."""
    schemas: dict[str, Any] = spec["components"]["schemas"]
    renamed = {name: name.rpartition(".")[2] for name in schemas}
    plain = {renamed[name]: schema for name, schema in schemas.items()}
    spec["components"]["schemas"] = dict(sorted(plain.items()))
    _rewrite(spec, {f"#/components/schemas/{old}": f"#/components/schemas/{new}" for old, new in renamed.items()})
    return spec


def _rewrite(value: Any, references: dict[str, str]) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            value["$ref"] = references.get(value["$ref"], value["$ref"])
        for item in value.values():
            _rewrite(item, references)
    elif isinstance(value, list):
        for item in value:
            _rewrite(item, references)
