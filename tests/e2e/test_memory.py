"""Memory stays flat however long the clip and however large the upload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from bench.embedded import EmbeddedStack
from deploy.local.demo import SAMPLE
from tests.e2e.clips import joined, moving_clip, padded_mp4
from tests.e2e.embedded import finished, submitted
from tests.e2e.memory import MIB, Peak

GIB = 1024 * MIB


@pytest.fixture(scope="module")
def short_1080p(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_clip(tmp_path_factory.mktemp("clips") / "short.mp4", width=1920, height=1080, seconds=10)


@pytest.mark.timeout(600)
def test_ten_minutes_of_1080p_need_no_more_memory_than_ten_seconds(
    stack: EmbeddedStack, client: httpx2.Client, short_1080p: Path
) -> None:
    long_1080p = joined(short_1080p, short_1080p.with_name("long.mp4"), times=60)
    # both worker processes have decoded 1080p before anything is measured
    for job_id in [submitted(client, short_1080p) for _ in range(4)]:
        finished(client, job_id, 120)
    with Peak(stack.pid("worker")) as brief:
        for job_id in [submitted(client, short_1080p) for _ in range(4)]:
            finished(client, job_id, 120)
    with Peak(stack.pid("worker")) as whole:
        job = finished(client, submitted(client, long_1080p), 400)
    assert job["state"] == "succeeded", job["error"]
    assert job["frames"] == 600 * 25 // 5
    assert job["summary"]["duration_seconds"] == pytest.approx(600, abs=1)
    print(f"ten seconds: {brief.bytes / MIB:.0f} MiB, ten minutes: {whole.bytes / MIB:.0f} MiB")
    assert whole.bytes < brief.bytes + 150 * MIB, f"{brief.bytes / MIB:.0f} -> {whole.bytes / MIB:.0f} MiB"


@pytest.mark.timeout(300)
def test_an_upload_of_one_gibibyte_passes_through_web_in_bounded_memory(
    stack: EmbeddedStack, client: httpx2.Client
) -> None:
    head, padding = padded_mp4(SAMPLE, GIB)
    boundary = "a-boundary-that-no-file-holds"
    before = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="pipeline"\r\n\r\nmotion\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="large.mp4"\r\n'
        "Content-Type: video/mp4\r\n\r\n"
    ).encode()
    after = f"\r\n--{boundary}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield before + head
        piece = bytes(MIB)
        for _ in range(padding // MIB):
            yield piece
        yield bytes(padding % MIB)
        yield after

    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(before) + GIB + len(after)),
    }
    with Peak(stack.pid("web")) as peak:
        answer = client.post("/v1/jobs", content=body(), headers=headers, timeout=200)
    assert answer.status_code == 202, answer.text
    print(f"web grew by {peak.grown_bytes / MIB:.0f} MiB")
    assert peak.grown_bytes < 64 * MIB, f"{peak.grown_bytes / MIB:.0f} MiB"
    job = finished(client, answer.json()["id"], 90)
    assert job["state"] == "succeeded", job["error"]
    assert job["input"]["size_bytes"] == GIB
    assert client.delete(f"/v1/jobs/{job['id']}").status_code in (200, 202, 204)
