"""A backlog of stills through a running stack: sent, broken off, sent again, worked off, fetched."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2

from bench.embedded import EmbeddedStack, eventually
from tests.fakes.http_source import Source
from tests.integration.queue_bed import make_still

NDJSON = {"Content-Type": "application/x-ndjson"}
UPLOADED = 120
FETCHED = 180


def upload(client: httpx2.Client, number: int) -> dict[str, Any]:
    """Send one still as an upload; return its item."""
    body = make_still(number, size=(64 + number, 48))
    upload = client.post("/v1/uploads", json={"size_bytes": len(body), "filename": f"{number}.png"}).raise_for_status()
    own = f"/v1/uploads/{upload.json()['id']}"
    (part,) = client.post(f"{own}/parts", json={"numbers": [1]}).raise_for_status().json()["urls"]
    httpx2.put(part["url"], content=body, headers={"Content-Type": "application/octet-stream"}).raise_for_status()
    client.post(f"{own}/complete").raise_for_status()
    return {"key": f"upload-{number}", "upload_id": upload.json()["id"]}


def serve(source: Source, number: int) -> dict[str, Any]:
    """Serve one still on loopback; return its item."""
    source.answer(f"/still/{number}.png", 200, make_still(number, size=(64, 64 + number)), Content_Type="image/png")
    return {"key": f"url-{number}", "url": source.url(f"/still/{number}.png"), "metadata": {"number": number}}


def hang_up_after(stack: EmbeddedStack, body: bytes, size: int, key: str) -> None:
    """POST a manifest as a client that dies in the middle of it."""
    address = urlsplit(stack.api_url)
    head = (
        f"POST /v1/batches HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {stack.api_key}\r\n"
        f"Content-Type: application/x-ndjson\r\nIdempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port or 80), timeout=10) as client:
        client.sendall(head.encode() + body[:size])


def finished(client: httpx2.Client, batch_id: str, timeout_seconds: float) -> dict[str, Any]:
    """Follow a batch to its end and return its document."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        document: dict[str, Any] = client.get(f"/v1/batches/{batch_id}", params={"wait": 5}).raise_for_status().json()
        if document["terminal"]:
            return document
        assert time.monotonic() < deadline, f"still {document['counts']}"


def test_a_backlog_of_stills_is_worked_off_once_although_its_manifest_broke_off(
    stack: EmbeddedStack, client: httpx2.Client, source: Source
) -> None:
    with ThreadPoolExecutor(8) as pool:
        items = list(pool.map(lambda number: upload(client, number), range(UPLOADED)))
    items += [serve(source, number) for number in range(FETCHED)]
    items += [{"key": "gone", "url": source.url("/nothing.png")}, {"key": "wrong", "pipeline": "none", "url": "x"}]
    # enough lines for several chunks: what is refused costs no work
    items += [{"key": f"refused-{number}", "file": "mine.png"} for number in range(1500)]
    head = {"batch": {"name": "stills", "max_queue": 100, "defaults": {"pipeline": "motion"}}}
    body = "".join(json.dumps(line) + "\n" for line in [head, *items]).encode()

    hang_up_after(stack, body, len(body) * 9 // 10, "backlog")

    def begun() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get("/v1/batches").raise_for_status().json()["batches"]
        return [batch for batch in found if batch["name"] == "stills"]

    eventually(lambda: bool(begun()), 20, "the torn manifest left nothing")
    assert begun()[0]["state"] == "open"
    for _ in range(2):  # once more, and once too often
        answer = client.post("/v1/batches", content=body, headers={**NDJSON, "Idempotency-Key": "backlog"})
        assert answer.status_code == 202, answer.text
        assert answer.headers["Idempotent-Replayed"] == "true"
    batch = answer.json()
    assert (batch["id"], batch["counts"]["total"]) == (begun()[0]["id"], len(items))

    ended = finished(client, batch["id"], 150)
    counts = {name: count for name, count in ended["counts"].items() if count}
    assert counts == {"total": len(items), "succeeded": UPLOADED + FETCHED, "failed": 1, "rejected": 1501}
    results = [json.loads(line) for line in client.get(f"/v1/batches/{batch['id']}/results").iter_lines()]
    assert [line["key"] for line in results] == [item["key"] for item in items]
    done = [line for line in results if line["state"] == "succeeded"]
    assert len({line["job_id"] for line in done}) == UPLOADED + FETCHED
    assert all(line["summary"] for line in done)
    assert results[UPLOADED + FETCHED]["error"]["code"] == "input.gone"
    jobs = client.get("/v1/jobs", params={"batch_id": batch["id"], "metadata.number": 7}).json()["jobs"]
    assert [job["input"]["filename"] for job in jobs] == ["7.png"]
