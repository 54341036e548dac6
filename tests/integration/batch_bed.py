"""What tests of batches share: manifests, and the dispatcher's duties in the test's hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from werkzeug.test import TestResponse

from storage.batches.making import BatchMaker
from storage.batches.replaying import BatchReplayer
from storage.database import Database
from tests.fakes.quiet_bell import QuietBell
from tests.integration.api_bed import PNG, Api
from workers.dispatcher.batches import Batches

NDJSON = {"Content-Type": "application/x-ndjson"}
MOTION_HEAD = {"defaults": {"pipeline": "motion"}}


def lines_of(items: Iterable[Any], head: Mapping[str, Any] | None = MOTION_HEAD) -> bytes:
    """A manifest: its head, then a line per item; what is text already is taken as it is."""
    values = [*([] if head is None else [{"batch": head}]), *items]
    return "".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values).encode()


def url_items(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Items whose inputs are somewhere on the net."""
    return [{"key": f"k{place}", "url": f"https://example.org/{place}.jpg"} for place in range(first, first + count)]


def send(api: Api, body: bytes, *, key: str | None = None, **options: Any) -> TestResponse:
    """POST a manifest."""
    headers = NDJSON | ({"Idempotency-Key": key} if key else {})
    return api.post("/v1/batches", headers=headers, **({"data": body} if body else {}), **options)


def sent(
    api: Api, items: Iterable[Any], head: Mapping[str, Any] | None = MOTION_HEAD, **options: Any
) -> dict[str, Any]:
    """POST a manifest that must be taken; return the batch document."""
    answer = send(api, lines_of(items, head), **options)
    assert answer.status_code == 202, answer.get_data(as_text=True)
    return dict(answer.get_json())


def add(api: Api, batch_id: str, items: Iterable[Any]) -> TestResponse:
    """Append items to a batch."""
    return api.post(f"/v1/batches/{batch_id}/items", data=lines_of(items, None), headers=NDJSON)


def look(api: Api, batch_id: str) -> dict[str, Any]:
    """The document now."""
    return dict(api.get(f"/v1/batches/{batch_id}").get_json())


def counted(api: Api, batch_id: str) -> dict[str, int]:
    """The counts that are not zero."""
    return {name: count for name, count in look(api, batch_id)["counts"].items() if count}


def items_of(api: Api, batch_id: str, **query: Any) -> list[dict[str, Any]]:
    """All items, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = api.get(f"/v1/batches/{batch_id}/items", query_string=query | ({"cursor": cursor} if cursor else {}))
        assert page.status_code == 200, page.get_data(as_text=True)
        found += page.get_json()["items"]
        cursor = page.get_json()["next_cursor"]
        if cursor is None:
            return found


def duty_of(database: Database, *, chunk: int = 1000, bell: QuietBell | None = None, **options: Any) -> Batches:
    """The duty as a dispatcher has it."""
    maker = BatchMaker(database, chunk=chunk)
    return Batches(maker, BatchReplayer(database, chunk=chunk), bell or QuietBell(), **options)


def uploaded(api: Api, body: bytes = PNG, *, complete: bool = True) -> str:
    """Send a file as an upload; return its id."""
    upload = api.post("/v1/uploads", json={"size_bytes": len(body), "filename": "a.png"}).get_json()
    if complete:
        part = api.post(f"/v1/uploads/{upload['id']}/parts", json={"numbers": [1]}).get_json()["urls"][0]
        put = api.client.put(part["url"], data=body, headers={"Content-Type": "application/octet-stream"})
        assert put.status_code == 200
        assert api.post(f"/v1/uploads/{upload['id']}/complete").status_code == 200
    return str(upload["id"])


def execute(database: Database, statement: str, **values: Any) -> Sequence[Any]:
    """Run a statement of the test's own."""
    with database.transaction() as connection:
        result = connection.execute(text(statement), values)
        return list(result) if result.returns_rows else []


def end_jobs(database: Database, batch_id: str, state: str, count: int = 1_000_000) -> int:
    """Let some unfinished jobs of a batch have ended, as workers or the ingest duty would; return how many."""
    error = None if state == "succeeded" else json.dumps({"code": "media.undecodable", "message": "no picture"})
    ended = execute(
        database,
        """
        WITH ended AS (
            SELECT id FROM jobs WHERE batch_id = :id AND finished_at IS NULL ORDER BY id LIMIT :count
        ), dropped AS (
            UPDATE segments SET state = 'dropped' WHERE job_id IN (SELECT id FROM ended) AND state <> 'done'
        )
        UPDATE jobs SET state = :state, finished_at = clock_timestamp(), error = CAST(:error AS jsonb)
        WHERE id IN (SELECT id FROM ended) RETURNING id
        """,
        id=batch_id, state=state, count=count, error=error,
    )  # fmt: skip
    return len(ended)
