"""Reading jobs, rows and results: page by page, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from framequeue import APIConnectionError

from tests.unit.client.fake_api import FakeApi, answer, job


def test_rows_come_page_by_page_and_end_where_a_running_job_has_no_more() -> None:
    pages = [
        answer(
            200, {"frames": [{"index": 0, "pts_seconds": 0.0, "boxes": [1]}], "next_cursor": "a", "complete": False}
        ),
        answer(200, {"frames": [{"index": 5}], "next_cursor": "b", "complete": False}),
        answer(200, {"frames": [], "next_cursor": "b", "complete": False}),
    ]
    api = FakeApi(*pages)
    with api.client() as client:
        rows = list(client.frames("0190", from_seconds=1.5))
    assert [row.index for row in rows] == [0, 5]
    assert rows[0]["boxes"] == [1]
    assert [request.url.params.get("cursor") for request in api.requests] == [None, "a", "b"]
    assert api.requests[0].url.params["from"] == "1.5"


def test_listing_fetches_pages_only_as_they_are_needed() -> None:
    api = FakeApi(
        answer(200, {"jobs": [job(id="1"), job(id="2")], "next_cursor": "c"}),
        answer(200, {"jobs": [job(id="3")], "next_cursor": None}),
    )
    with api.client() as client:
        found = client.list(state="queued", metadata={"site": "a"})
        assert next(found).id == "1"
        assert len(api.requests) == 1
        assert [item.id for item in found] == ["2", "3"]
    assert api.requests[0].url.params["metadata.site"] == "a"


def test_a_document_of_a_newer_server_is_read_and_kept_whole() -> None:
    raw: dict[str, Any] = job(
        "pondering", terminal=False, aura="blue", progress=None, warnings=[7], error="odd", times=3
    )
    api = FakeApi(answer(200, raw))
    with api.client() as client:
        found = client.get("0190")
    assert (found.state, found.terminal, found.progress, found.error) == ("pondering", False, 0.0, None)
    assert found.raw["aura"] == "blue"


def test_a_result_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("old")

    def broken(request: httpx2.Request) -> httpx2.Response:
        def body() -> Any:
            yield b"half"
            raise httpx2.ReadError("cut off")

        return httpx2.Response(200, content=body())

    api = FakeApi(broken)
    with api.client() as client:
        with pytest.raises(APIConnectionError):
            client.save_result("0190", target, format="csv")
        assert target.read_text() == "old"
        api.answers = [httpx2.Response(200, content=b"index,pts\n0,0\n")]
        assert client.save_result("0190", target, format="csv") == 14
    assert target.read_bytes() == b"index,pts\n0,0\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_redirect_to_the_store_is_followed_without_the_key() -> None:
    def serve(request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "store.test":
            assert "authorization" not in request.headers
            return httpx2.Response(200, json={"summary": {"frames": 3}})
        return httpx2.Response(302, headers={"location": "http://store.test/object?sig=1"})

    api = FakeApi(serve)
    with api.client() as client:
        assert client.result("0190") == {"summary": {"frames": 3}}
    assert [request.url.host for request in api.requests] == ["api.test", "store.test"]


def test_ids_cannot_lead_to_another_path() -> None:
    api = FakeApi(answer(200, job()))
    with api.client() as client:
        client.get("../keys?x=1")
    assert api.requests[0].url.raw_path == b"/v1/jobs/..%2Fkeys%3Fx%3D1"
