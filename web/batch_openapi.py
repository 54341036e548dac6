"""What the API's description says of batches that the routes alone do not."""

from __future__ import annotations

from typing import Any

from web.batch_orders import BatchItem, BatchOrder, ReplayFailedOrder

NDJSON = "application/x-ndjson"


def describe_batches(paths: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add the bodies of the two calls that take lines, and the shape of a line."""
    order = BatchOrder.model_json_schema(ref_template="#/components/schemas/{model}")
    item = BatchItem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= order.pop("$defs", {}) | item.pop("$defs", {})
    for schema in (item, schemas["Defaults"]):
        for name in ("batch_id", "batch_key"):
            schema["properties"].pop(name)
    order["properties"]["items"]["items"] = {"$ref": "#/components/schemas/BatchItem"}
    schemas |= {"BatchOrder": order, "BatchItem": item}
    lines = {
        "schema": {
            "type": "string",
            "description": 'A BatchItem per line; the first line may be {"batch": {...}}, a BatchOrder without items.',
        },
        "example": '{"batch": {"defaults": {"pipeline": "motion"}}}\n{"key": "a", "url": "https://example.org/a.jpg"}\n',
    }
    paths["/v1/batches"]["post"]["requestBody"] = {
        "required": True,
        "content": {NDJSON: lines, "application/json": {"schema": {"$ref": "#/components/schemas/BatchOrder"}}},
    }
    replay = ReplayFailedOrder.model_json_schema()
    paths["/v1/batches/{batch_id}/replay-failed"]["post"]["requestBody"] = {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ReplayFailedOrder"}}},
    }
    schemas["ReplayFailedOrder"] = replay
    more = {"schema": {"type": "string", "description": "A BatchItem per line."}}
    paths["/v1/batches/{batch_id}/items"]["post"]["requestBody"] = {"required": True, "content": {NDJSON: more}}
