"""The stores that promise the same: S3 (against moto), the local folder, and the fake that other tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from storage.ids import new_id
from storage.objects.local import LocalObjectStore
from storage.objects.port import ObjectStore
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_access import S3Access
from storage.objects.signing import SignedUrls
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.object_routes import served
from tests.fakes.s3_server import s3_server

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["s3", "local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "s3":
        yield s3_store(request.getfixturevalue("s3_url"), f"bucket-{new_id()}")
        return
    makers: dict[str, Any] = {
        "local": lambda url: LocalObjectStore(tmp_path / "store", SignedUrls(SECRET, url)),
        "memory": lambda url: MemoryObjectStore(SignedUrls(SECRET, url)),
    }
    with served(makers[request.param]) as served_store:
        yield served_store


def s3_store(url: str, bucket: str) -> S3ObjectStore:
    access = S3Access(endpoint_url=url, access_key="test", secret_key="test-secret")
    boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    ).create_bucket(Bucket=bucket)
    return S3ObjectStore(bucket, access)
