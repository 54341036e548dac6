"""Manifests over HTTP: what comes in, once however often it is sent, and what is refused."""

from __future__ import annotations

import io
from typing import Any

import pytest

from storage.ids import new_id
from tests.integration.api_bed import Api, served_app, settings_for
from tests.integration.batch_bed import MOTION_HEAD, counted, duty_of, items_of, lines_of, send, sent, url_items


def test_a_manifest_becomes_jobs_that_are_found_by_their_batch(api: Api) -> None:
    batch = sent(api, url_items(3), {"name": "holiday", "defaults": {"pipeline": "motion", "priority": "low"}})
    assert (batch["state"], batch["name"], batch["terminal"]) == ("running", "holiday", False)
    assert (batch["counts"]["total"], batch["counts"]["waiting"]) == (3, 3)
    duty_of(api.services.database).run_pass()
    assert counted(api, batch["id"]) == {"total": 3, "uploading": 3}
    jobs = api.get(f"/v1/jobs?batch_id={batch['id']}").get_json()["jobs"]
    assert {job["batch_id"] for job in jobs} == {batch["id"]}
    assert {(job["priority"], job["params"]["width"]) for job in jobs} == {("low", 640)}
    items = items_of(api, batch["id"])
    assert [(item["index"], item["key"], item["state"]) for item in items] == [
        (place, f"k{place}", "uploading") for place in range(3)
    ]
    assert {item["job_id"] for item in items} == {job["id"] for job in jobs}
    assert api.get(f"/v1/jobs?batch_id={new_id()}").get_json()["jobs"] == []
    assert api.get("/v1/jobs?batch_id=none").get_json()["jobs"] == []


def test_an_item_overrides_the_defaults_member_by_member(api: Api) -> None:
    head = {"defaults": {"pipeline": "motion", "params": {"width": 100}, "metadata": {"a": 1}, "allow_partial": True}}
    batch = sent(
        api,
        [
            {"url": "https://example.org/a", "params": {"sampler": {"stride": 9}}, "metadata": {"b": 2}},
            {"object": "s3://archive/b", "priority": "high"},
            {"url": "https://example.org/c", "pipeline": "steps", "params": {}, "allow_partial": False},
        ],
        head,
    )
    duty_of(api.services.database).run_pass()
    jobs = [api.get(f"/v1/jobs/{item['job_id']}").get_json() for item in items_of(api, batch["id"])]
    assert [job["pipeline"] for job in jobs] == ["motion", "motion", "steps"]
    assert jobs[0]["params"] == {"width": 640, "sampler": {"policy": "stride", "stride": 9}}
    assert [job["metadata"] for job in jobs] == [{"b": 2}, {"a": 1}, {"a": 1}]
    assert [job["allow_partial"] for job in jobs] == [True, True, False]
    assert [job["priority"] for job in jobs] == ["normal", "high", "normal"]
    assert [job["input"]["source_url"] for job in jobs][1] == "s3://archive/b"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("{", "item.malformed", "not JSON"),
        ("[1]", "item.malformed", "not a JSON object"),
        ('{"url": "https://example.org/a", "url": "https://example.org/b"}', "item.malformed", "twice"),
        ('{"url": "https://example.org/\\u0000"}', "item.malformed", "NUL"),
        ('{"key": "a"}', "item.invalid", "exactly one of upload_id, url, object, prefix"),
        ('{"url": "https://example.org/a", "colour": 1}', "item.invalid", "colour"),
        ('{"url": "https://example.org/a", "batch_id": "x"}', "item.invalid", "batch_id"),
        ('{"url": "https://example.org/a", "metadata": {"a": []}}', "item.invalid", "metadata"),
        ('{"url": "https://example.org/a", "priority": "asap"}', "item.invalid", "priority"),
        ('{"url": "https://example.org/a", "params": {"width": 1}}', "params.invalid", "params/width"),
        ('{"url": "https://example.org/a", "pipeline": "none"}', "pipeline.unknown", "none"),
        (
            '{"url": "https://example.org/a", "webhook_url": "https://example.org/h"}',
            "webhook.secret_missing",
            "secret",
        ),
        ('{"file": "a.jpg"}', "item.file", "cannot read your files"),
        ('{"upload_id": "none"}', "upload.unknown", "none"),
        ("x" * 70_000, "item.too_long", "65536"),
        ('{"key": "k0", "url": "https://example.org/z"}', "item.duplicate", "item 0"),
    ],
)
def test_a_broken_line_is_refused_alone_with_its_place_and_reason(api: Api, line: str, code: str, says: str) -> None:
    batch = sent(api, [url_items(1)[0], "", line, *url_items(1, first=1)])
    assert counted(api, batch["id"]) == {"total": 3, "waiting": 2, "rejected": 1}
    (refused,) = batch["errors"]
    assert (refused["index"], refused["state"], refused["error"]["code"]) == (1, "rejected", code)
    assert refused["error"]["line"] == 4
    assert says in refused["error"]["message"]
    assert items_of(api, batch["id"], state="rejected") == [refused]


def test_urgent_items_need_the_scope_for_it(api: Api) -> None:
    item = {"url": "https://example.org/a", "priority": "urgent"}
    assert sent(api.as_caller("other", ["submit", "read"]), [item])["errors"][0]["error"]["code"] == "scope.missing"
    assert sent(api, [item])["counts"]["waiting"] == 1


def test_what_is_wrong_with_all_items_is_told_once(api: Api) -> None:
    for defaults, code in (
        ({"pipeline": "none"}, "pipeline.unknown"),
        ({"pipeline": "motion", "params": {"width": 1}}, "params.invalid"),
        ({"pipeline": "motion", "priority": "asap"}, "request.invalid"),
    ):
        answer = send(api, lines_of(url_items(2), {"defaults": defaults}))
        assert (answer.status_code, answer.get_json()["code"]) == (422, code)
    assert send(api, lines_of([])).get_json()["code"] == "request.invalid"
    assert send(api, b"").get_json()["code"] == "request.invalid"
    assert api.get("/v1/batches").get_json()["batches"] == []


def test_a_json_document_and_lines_mean_the_same_batch(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    answer = api.post("/v1/batches", json={**MOTION_HEAD, "items": [*url_items(2), 7]}, headers=headers)
    assert answer.status_code == 202
    document = answer.get_json()
    assert document["counts"]["rejected"] == 1
    assert answer.headers["Location"] == document["urls"]["self"]
    again = send(api, lines_of([*url_items(2), "7"]), key="one")
    assert again.get_json()["id"] == document["id"]
    assert again.headers["Idempotent-Replayed"] == "true"


def test_the_same_manifest_under_the_same_key_is_the_same_batch(api: Api) -> None:
    items = [*url_items(3), "broken", {"url": "https://example.org/keyless"}]
    first = sent(api, items, key="k")
    duty_of(api.services.database).run_pass()
    again = sent(api, items, key="k")
    assert again["id"] == first["id"]
    assert counted(api, first["id"]) == {"total": 5, "uploading": 4, "rejected": 1}
    duty_of(api.services.database).run_pass()
    assert len(api.get("/v1/jobs").get_json()["jobs"]) == 4


@pytest.mark.parametrize(
    ("items", "head"),
    [
        (url_items(2), MOTION_HEAD),
        (url_items(4), MOTION_HEAD),
        ([*url_items(2), {"key": "k2", "url": "https://example.org/other.jpg"}], MOTION_HEAD),
        (url_items(3), {**MOTION_HEAD, "max_queue": 5}),
        (url_items(3), {"defaults": {"pipeline": "motion", "params": {"width": 100}}}),
    ],
)
def test_another_manifest_under_the_same_key_is_409(api: Api, items: list[Any], head: dict[str, Any]) -> None:
    batch = sent(api, url_items(3), key="k")
    answer = send(api, lines_of(items, head), key="k")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "idempotency.conflict")
    assert counted(api, batch["id"]) == {"total": 3, "waiting": 3}


def test_keys_of_two_tenants_have_nothing_to_do_with_each_other(api: Api) -> None:
    mine, theirs = sent(api, url_items(1), key="k"), sent(api.as_caller("other"), url_items(2), key="k")
    assert mine["id"] != theirs["id"]


class Broken(io.BytesIO):
    """A body whose client goes away after some bytes."""

    def __init__(self, body: bytes, after: int) -> None:
        super().__init__(body)
        self._after = after

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self._after:
            raise OSError("connection reset by peer")
        wanted = self._after - self.tell()
        return super().read(wanted if size is None or size < 0 else min(size, wanted))

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def test_a_manifest_that_broke_off_goes_on_where_it_was(api: Api) -> None:
    body = lines_of(url_items(2500))
    broken = send(api, b"", key="k", input_stream=Broken(body, len(body) * 3 // 4), content_length=len(body))
    assert (broken.status_code, broken.get_json()["code"]) == (400, "body.truncated")
    (batch,) = api.get("/v1/batches").get_json()["batches"]
    assert (batch["state"], batch["counts"]["total"]) == ("open", 1000)
    duty_of(api.services.database).run_pass()  # what came is worked off meanwhile
    whole = send(api, body, key="k").get_json()
    assert (whole["id"], whole["state"], whole["counts"]["total"]) == (batch["id"], "running", 2500)
    duty_of(api.services.database).run_pass()
    items = items_of(api, batch["id"], limit=1000)
    assert [item["index"] for item in items] == list(range(2500))
    assert len({item["job_id"] for item in items}) == 2500


def test_lines_may_be_more_than_a_json_body_but_not_without_end(api: Api, tmp_path: Any) -> None:
    body = lines_of([{**item, "metadata": {"pad": "x" * 10_000}} for item in url_items(150)])
    assert len(body) > 1024**2
    assert send(api, body).status_code == 202
    answer = api.post("/v1/batches", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.get_json()["code"]) == (413, "body.too_large")


def test_limits_of_size_and_count_have_their_codes(database_url: str, redis_url: str, tmp_path: Any) -> None:
    limits = {"batch_items_max": 1500, "manifest_max_bytes": 200_000}
    with served_app(settings_for(database_url, redis_url, tmp_path / "objects", **limits)) as api:
        large = send(api, lines_of(url_items(5000)))
        assert (large.status_code, large.get_json()["code"]) == (413, "body.too_large")
        many = send(api, lines_of(url_items(2500)))
        problem = many.get_json()
        assert (many.status_code, problem["code"]) == (409, "batch.full")
        assert "close" in problem["advice"]
        assert counted(api, problem["batch_id"]) == {"total": 1000, "waiting": 1000}
        assert api.post(f"/v1/batches/{problem['batch_id']}/close").get_json()["state"] == "running"


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "application/x-ndjsonx"])
def test_other_content_types_are_415(api: Api, content_type: str) -> None:
    answer = api.post("/v1/batches", data=b"{}", headers={"Content-Type": content_type})
    assert (answer.status_code, answer.get_json()["code"]) == (415, "type.unsupported")
