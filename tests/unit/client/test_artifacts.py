"""Pictures of results fetched by the client: whole, as told, and never outside the folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from framequeue import APIError

from tests.unit.client.fake_api import FakeApi, answer

BODY = b"a picture" * 1000


def listed(name: str = "annotated.jpg", body: bytes = BODY) -> dict[str, Any]:
    digest = hashlib.sha256(body).hexdigest()
    return {"name": name, "content_type": "image/jpeg", "size_bytes": len(body), "sha256": digest, "caption": "3 marks"}


def test_artifacts_are_listed_and_written_as_they_were_told(tmp_path: Path) -> None:
    api = FakeApi(answer(document={"artifacts": [listed(), listed("thumbnail-01.jpg")]}),
                  httpx2.Response(200, content=BODY))  # fmt: skip
    with api.client() as client:
        assert client.artifacts.save_all("0190", tmp_path / "new") == [
            tmp_path / "new/annotated.jpg", tmp_path / "new/thumbnail-01.jpg",
        ]  # fmt: skip
    assert (tmp_path / "new/annotated.jpg").read_bytes() == BODY
    assert [request.url.path for request in api.requests] == [
        "/v1/jobs/0190/artifacts", "/v1/jobs/0190/artifacts/annotated.jpg", "/v1/jobs/0190/artifacts/thumbnail-01.jpg",
    ]  # fmt: skip


def test_bytes_that_are_not_those_that_were_told_leave_no_file(tmp_path: Path) -> None:
    api = FakeApi(answer(document={"artifacts": [listed()]}), httpx2.Response(200, content=b"something else"))
    with api.client() as client, pytest.raises(APIError) as caught:
        client.artifacts.save_all("0190", tmp_path)
    assert caught.value.code == "artifact.mismatch"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../up.jpg", "/etc/passwd", "a/b.jpg", "", ".", "..", ".hidden"])
def test_a_name_that_is_no_plain_file_name_is_refused(tmp_path: Path, name: str) -> None:
    api = FakeApi(answer(document={"artifacts": [listed(name)]}), httpx2.Response(200, content=BODY))
    with api.client() as client, pytest.raises(APIError) as caught:
        client.artifacts.save_all("0190", tmp_path / "folder")
    assert caught.value.code == "artifact.unsafe"
    assert list((tmp_path / "folder").iterdir()) == []
