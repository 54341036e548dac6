"""What the tests of this folder ask of a stack over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2


def submit(client: httpx2.Client, path: Path, pipeline: str = "motion", **fields: Any) -> httpx2.Response:
    """POST a file as a job."""
    with path.open("rb") as file:
        return client.post("/v1/jobs", data={"pipeline": pipeline, **fields}, files={"file": (path.name, file)})


def submitted(client: httpx2.Client, path: Path, pipeline: str = "motion", **fields: Any) -> str:
    """POST a file as a job that must be taken; return its id."""
    answer = submit(client, path, pipeline, **fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def job_of(client: httpx2.Client, job_id: str) -> dict[str, Any]:
    """The job document now."""
    return dict(client.get(f"/v1/jobs/{job_id}").raise_for_status().json())


def finished(client: httpx2.Client, job_id: str, timeout_seconds: float = 60.0) -> dict[str, Any]:
    """Follow a job to its end and return its document."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        left = deadline - time.monotonic()
        answer = client.get(f"/v1/jobs/{job_id}", params={"wait": max(0.0, min(10.0, left))})
        document: dict[str, Any] = answer.raise_for_status().json()
        if document["terminal"]:
            return document
        assert left > 0, f"{job_id} is still {document['state']} after {timeout_seconds} s"


def frames_of(client: httpx2.Client, job_id: str) -> list[dict[str, Any]]:
    """All result rows of a job."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.get(f"/v1/jobs/{job_id}/frames", params={"cursor": cursor} if cursor else {})
        document = page.raise_for_status().json()
        rows += document["frames"]
        cursor = document["next_cursor"]
        if cursor is None:
            return rows
