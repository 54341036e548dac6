"""Adding a version of a model over HTTP: what is refused before, while and after the weights are read."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from pipeline.spec import PipelineSpec
from storage.model_checks import CheckResult, ModelChecks
from tests.integration.api_bed import PNG, Api

#: a pipeline with two models, one of them optional
DETECT = PipelineSpec(
    name="detect",
    description="What is there.",
    accepts=("image",),
    params_schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "detector": {"type": "string", "default": "helmets"},
            "second": {"type": ["string", "null"], "default": None},
        },
    },
    models={"detector": ("detect", "segment"), "second": ("classify",)},
)
WEIGHTS = b"weights of a model" * 1000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
CARD = """
name = "helmets"
version = "{version}"
task = "detect"
runtime = "onnx"
[weights]
file = "helmets.onnx"
[input]
width = 64
height = 64
[output]
decoder = "yolov8"
labels_file = "labels.txt"
"""


def add(api: Api, weights: bytes = WEIGHTS, card: str = CARD, *, version: str = "1", **fields: str) -> TestResponse:
    """Send a form; a field that is empty is left out."""
    texts = {"card": card.replace("{version}", version), "labels": "helmet\nhead\n", "sha256": DIGEST, **fields}
    form: dict[str, Any] = {name: text for name, text in texts.items() if text}
    return api.post("/v1/models", data=form | {"file": (io.BytesIO(weights), "helmets.onnx")})


def stored(api: Api) -> list[str]:
    return [item.key for item in api.services.objects.list("models/")]


def checked(api: Api, result: CheckResult | None = None) -> None:
    checks, worker = ModelChecks(api.services.database), api.worker()
    found = checks.take(worker.id, ["detect"])
    assert found is not None
    assert checks.settle(worker.id, found, result or CheckResult())


def faults(response: TestResponse) -> list[str]:
    assert response.status_code == 422, response.get_data(as_text=True)
    return [f"{fault['path']}: {fault['message']}" for fault in response.get_json()["faults"]]


def test_a_version_is_taken_in_with_its_labels_and_its_weights_under_their_digest(api: Api) -> None:
    response = add(api, evaluation='{"map": 0.5}')
    assert response.status_code == 202, response.get_data(as_text=True)
    assert response.headers["Location"] == "http://localhost/v1/models/helmets"
    document = response.get_json()
    assert (document["state"], document["active"], document["origin"]) == ("added", False, "added")
    assert (document["digest"], document["size_bytes"]) == (DIGEST, len(WEIGHTS))
    assert document["card"]["output"]["labels"] == ["helmet", "head"]
    assert document["evaluation"] == {"map": 0.5}
    (key,) = stored(api)
    assert key.endswith(f"/{DIGEST}")
    with api.services.objects.open(key) as body:
        assert body.read() == WEIGHTS
    assert api.get("/v1/models/helmets").get_json() == {"name": "helmets", "active": None, "versions": [document]}
    assert api.get("/v1/models/none").get_json()["code"] == "model.unknown"


def test_every_fault_of_a_card_is_named_before_the_weights_are_kept(api: Api) -> None:
    card = CARD.replace('"detect"', '"guess"').replace("width = 64", "width = 0").replace('"helmets.onnx"', '"../x"')
    response = add(api, card=card)
    assert response.get_json()["code"] == "model.card_invalid"
    told = " ".join(faults(response))
    assert all(word in told for word in ("task", "input.width", "weights.file"))
    assert "/tmp" not in response.get_data(as_text=True)
    for broken in ("name =", f"name = {'[' * 5000}", CARD.replace("width = 64", "width = 64\nscale = nan")):
        assert add(api, card=broken).get_json()["code"] == "model.card_invalid"
    assert "labels" in " ".join(faults(add(api, labels="")))
    assert stored(api) == []
    assert api.get("/v1/models").get_json()["models"] == []


@pytest.mark.parametrize(
    "entry",
    ["model.py:open_network", "os:system", "pipelines.evil:open_it", "pipeline:open_it", "pipeline.run:run_works"],
)
def test_code_is_never_taken_over_http(api: Api, entry: str) -> None:
    response = add(api, card=CARD.replace('"onnx"', f'"python"\nentry = "{entry}"'))
    assert response.get_json()["code"] == "model.card_invalid"
    assert "FQ_MODEL_DIR" in response.get_json()["advice"]
    assert stored(api) == []


def test_weights_that_are_not_what_was_declared_are_not_kept(api: Api) -> None:
    response = add(api, WEIGHTS + b"!")
    assert (response.status_code, response.get_json()["code"]) == (409, "upload.mismatch")
    assert faults(add(api, sha256="")) == ["/sha256: 64 hex digits are needed here or in the card's weights"]
    other = CARD.replace('file = "helmets.onnx"', f'file = "helmets.onnx"\nsha256 = "{"0" * 64}"')
    assert faults(add(api, card=other)) == ["/sha256: is not the one that the card's weights have"]
    assert faults(add(api, colour="red", evaluation="[1]")) == [
        "/colour: is no field of this call", "/evaluation: is not a JSON object",
    ]  # fmt: skip
    assert stored(api) == []


def test_weights_above_the_limit_are_refused(api: Api) -> None:
    object.__setattr__(api.services.settings, "max_model_bytes", len(WEIGHTS) - 1)
    response = add(api)
    assert (response.status_code, response.get_json()["code"]) == (413, "media.too_large")
    assert stored(api) == []


def test_the_same_version_again_changes_nothing_and_another_under_its_name_is_refused(api: Api) -> None:
    first = add(api).get_json()
    again = add(api)
    assert (again.status_code, again.get_json()) == (200, first)
    other = b"other weights"
    for response in (
        add(api, other, sha256=hashlib.sha256(other).hexdigest()),
        add(api, card=CARD.replace("width = 64", "width = 32")),
    ):
        assert (response.status_code, response.get_json()["code"]) == (409, "state.conflict")
    assert len(stored(api)) == 1


def test_only_who_operates_may_add_activate_and_roll_back(api: Api) -> None:
    other = api.as_caller("acme", ["read", "submit"])
    assert add(other).get_json()["code"] == "scope.missing"
    assert other.post("/v1/models/helmets/activate", json={"version": "1"}).get_json()["code"] == "scope.missing"
    assert other.post("/v1/models/helmets/rollback").get_json()["code"] == "scope.missing"
    assert api.post("/v1/models", json={}).get_json()["code"] == "type.unsupported"


def test_what_was_added_activated_and_rolled_back_is_written_down(api: Api) -> None:
    for version in ("1", "2"):
        add(api, version=version)
        checked(api)
    assert api.post("/v1/models/helmets/activate", json={"version": "2"}).get_json()["active"] is True
    assert api.post("/v1/models/helmets/rollback").get_json()["version"] == "1"
    assert api.post("/v1/models/helmets/rollback").get_json()["code"] == "state.conflict"
    add(api, version="3")
    checked(api, CheckResult(error={"code": "model.failed", "message": "no graph", "stack": "secret"}))
    refused = api.post("/v1/models/helmets/activate", json={"version": "3"})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "model.inactive")
    assert "no graph" in refused.get_json()["detail"]
    document = api.get("/v1/models/helmets").get_json()
    assert (document["active"], document["versions"][0]["error"]) == (
        "1", {"code": "model.failed", "message": "no graph"},
    )  # fmt: skip
    entries = api.get("/v1/audit").get_json()["entries"]
    told = [
        (one["action"], one["target"]["version"]) for one in reversed(entries) if one["action"].startswith("model.")
    ]
    assert told == [
        ("model.add", "1"), ("model.add", "2"), ("model.activate", "2"), ("model.rollback", "1"), ("model.add", "3"),
    ]  # fmt: skip


def test_a_job_is_pinned_to_what_is_active_and_refused_where_nothing_may_serve(api: Api) -> None:
    api.services.registry.register_pipeline("detect", spec_version=1, lane="cpu", spec=DETECT.as_json())
    add(api)
    early = api.submit(PNG, pipeline="detect")
    assert (early.status_code, early.get_json()["code"]) == (409, "model.inactive")
    assert list(api.services.objects.list("inputs/")) == []
    lines = b'{"batch": {"defaults": {"pipeline": "detect"}}}\n{"key": "a", "url": "https://example.org/a.jpg"}\n'
    batch = api.post("/v1/batches", data=lines, headers={"Content-Type": "application/x-ndjson"}).get_json()
    items = api.get(f"/v1/batches/{batch['id']}/items").get_json()["items"]
    assert [item["error"]["code"] for item in items] == ["model.inactive"]
    checked(api)
    job = api.submitted(PNG, pipeline="detect", params='{"second": "unheard-of"}')
    pin = {"version": "1", "digest": DIGEST}
    assert job["models"] == [{"name": "helmets", **pin}]
    add(api, version="2")
    checked(api)
    api.post("/v1/models/helmets/activate", json={"version": "2"})
    for params, version in (({"second": "unheard-of"}, "1"), ({}, "2"), (None, "2")):
        api.post(f"/v1/jobs/{job['id']}/cancel")
        body = {} if params is None else {"params": params}
        again = api.post(f"/v1/jobs/{job['id']}/replay", json=body)
        assert (again.status_code, again.get_json()["models"][0]["version"]) == (202, version)


def test_jobs_of_two_versions_never_look_alike(api: Api) -> None:
    api.services.registry.register_pipeline("detect", spec_version=1, lane="cpu", spec=DETECT.as_json())
    ids = []
    for version in ("1", "2"):
        add(api, version=version)
        checked(api)
        api.post("/v1/models/helmets/activate", json={"version": version})
        ids += [api.submitted(PNG, pipeline="detect")["id"] for _ in range(2)]
    with api.services.database.transaction() as connection:
        rows = connection.execute(text("SELECT batch_key FROM jobs ORDER BY id")).scalars().all()
    assert (rows[0], rows[2]) == (rows[1], rows[3])
    assert rows[0] != rows[2]
    assert len(set(ids)) == 4
