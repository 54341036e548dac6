"""Settings of the object store, and the store they open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from storage.objects.local import LocalObjectStore
from storage.objects.open_store import open_store
from storage.objects.s3 import S3ObjectStore
from storage.objects.settings import ObjectStoreSettings

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("FQ_STORE", "FQ_STORE_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"store": "/var/objects"}, "s3:// or file://"),
        ({"store": "http://minio/bucket"}, "s3:// or file://"),
        ({"store": "s3://"}, "s3://bucket"),
        ({"store": "s3://bucket/prefix"}, "without a path"),
        ({"store": "s3://bucket", "s3_access_key": "a"}, "go together"),
        ({"store": "file://host/x", "store_secret": SECRET}, "absolute"),
        ({"store": "file:relative", "store_secret": SECRET}, "absolute"),
        ({"store": "file:///x"}, "FQ_STORE_SECRET"),
        ({"store": "file:///x", "store_secret": "short"}, "FQ_STORE_SECRET"),
    ],
    ids=str,
)
def test_a_wrong_store_is_refused_at_start_with_its_reason(fields: dict[str, str], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault) as caught:
        ObjectStoreSettings(**fields)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


def test_a_file_url_opens_a_local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "with space"
    monkeypatch.setenv("FQ_STORE", folder.as_uri())
    monkeypatch.setenv("FQ_STORE_SECRET", SECRET)
    monkeypatch.setenv("FQ_PUBLIC_URL", "https://queue.example/")
    store = open_store(ObjectStoreSettings())  # type: ignore[call-arg]
    assert isinstance(store, LocalObjectStore)
    assert folder.is_dir()
    assert store.presign_get("inputs/x", expires_seconds=1).startswith("https://queue.example/objects/inputs/x?")


def test_an_s3_url_opens_a_bucket_and_signs_for_the_public_endpoint() -> None:
    store = open_store(
        ObjectStoreSettings(
            store="s3://frames",
            s3_endpoint_url="http://minio:9000",
            s3_public_endpoint_url="https://objects.example",
            s3_access_key="key",
            s3_secret_key="secret",  # type: ignore[arg-type]
        )
    )
    assert isinstance(store, S3ObjectStore)
    url = store.presign_part("uploads/x/source", "id", 3, size_bytes=77, expires_seconds=60)
    assert url.startswith("https://objects.example/frames/uploads/x/source?")
    assert "X-Amz-SignedHeaders=content-length%3Bhost" in url
    assert "X-Amz-Expires=60" in url
    assert "response-content-disposition=attachment" in store.presign_get("inputs/x", expires_seconds=9)


def test_secrets_do_not_show() -> None:
    settings = ObjectStoreSettings(store="s3://b", s3_access_key="key", s3_secret_key=SECRET)  # type: ignore[arg-type]
    assert SECRET not in repr(settings)
    assert SECRET not in repr(settings.s3_access)


def test_a_local_store_loads_no_boto3(tmp_path: Path) -> None:
    code = (
        "import sys; from storage.objects.open_store import open_store; "
        "from storage.objects.settings import ObjectStoreSettings; "
        f"open_store(ObjectStoreSettings(store='{tmp_path.as_uri()}', store_secret='{SECRET}')); "
        "sys.exit('boto3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
