"""What every object store promises: S3 (against moto), the local folder, and the fake that other tests use."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from storage.errors import ObjectMismatch, ObjectNotFound, ObjectTooLarge
from storage.objects.local import LocalObjectStore
from storage.objects.port import ObjectStore, StoredPart
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_access import S3Access
from storage.objects.signing import SignedUrls
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.object_routes import served
from tests.fakes.s3_server import s3_server

MIB = 1 << 20
KEY = "inputs/0199c0de-0000-7000-8000-000000000001/source"
SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["s3", "local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "s3":
        yield s3_store(request.getfixturevalue("s3_url"), f"bucket-{abs(hash(request.node.name)) % 10**9}")
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


class Slow(io.RawIOBase):
    """A body that gives odd pieces, as a socket does."""

    def __init__(self, data: bytes, piece: int, fail_at: int | None = None) -> None:
        self.data, self.piece, self.fail_at, self.position = data, piece, fail_at, 0

    def read(self, size: int = -1) -> bytes:
        if self.fail_at is not None and self.position >= self.fail_at:
            raise ConnectionResetError("the client went away")
        piece = self.data[self.position : self.position + min(size, self.piece)]
        self.position += len(piece)
        return piece


def pattern(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


def call(method: str, url: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    # octet-stream: what urllib sends by default makes moto wait for ever on a large body
    request = urllib.request.Request(
        url, data=body, method=method, headers={"Content-Type": "application/octet-stream"} if body is not None else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def read(store: ObjectStore, key: str, *range_: int) -> bytes:
    with store.open(key, *range_) as body:
        return body.read()


def nothing_is_stored(store: ObjectStore) -> bool:
    soon = datetime.now(UTC) + timedelta(hours=1)
    return list(store.list("inputs/")) == [] and store.discard_unfinished(soon) == 0


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 8 * MIB, 20 * MIB + 7], ids=str)
def test_a_body_comes_back_as_it_went_in_with_its_hash_and_size(store: ObjectStore, size: int) -> None:
    data = pattern(size)
    stored = store.put(KEY, Slow(data, 700_001), content_type="video/mp4")
    assert (stored.key, stored.size_bytes) == (KEY, size)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert read(store, KEY) == data
    found = store.stat(KEY)
    assert (found.size_bytes, found.etag, found.content_type) == (size, stored.etag, "video/mp4")
    assert found.modified_at is not None
    assert abs(found.modified_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_bytes_are_a_body_too(store: ObjectStore) -> None:
    store.put(KEY, b"abc")
    assert read(store, KEY) == b"abc"


def test_a_key_written_again_holds_the_later_body_and_another_etag(store: ObjectStore) -> None:
    first = store.put(KEY, b"first body")
    second = store.put(KEY, b"later body")
    assert read(store, KEY) == b"later body"
    assert store.stat(KEY).etag == second.etag != first.etag


@pytest.mark.parametrize("limit", [1000, 9 * MIB], ids=["one part", "many parts"])
def test_a_body_over_the_limit_is_refused_and_nothing_is_kept(store: ObjectStore, limit: int) -> None:
    with pytest.raises(ObjectTooLarge):
        store.put(KEY, Slow(pattern(limit + 1), 300_000), limit_bytes=limit)
    with pytest.raises(ObjectNotFound):
        store.stat(KEY)
    assert nothing_is_stored(store)


def test_a_body_of_just_the_limit_is_taken(store: ObjectStore) -> None:
    assert store.put(KEY, pattern(1000), limit_bytes=1000).size_bytes == 1000


@pytest.mark.parametrize("fail_at", [0, 9 * MIB], ids=["at once", "in the second part"])
def test_an_error_of_the_body_passes_through_and_nothing_is_kept(store: ObjectStore, fail_at: int) -> None:
    with pytest.raises(ConnectionResetError, match="went away"):
        store.put(KEY, Slow(pattern(20 * MIB), MIB, fail_at))
    assert nothing_is_stored(store)


def test_a_failed_overwrite_leaves_the_earlier_body(store: ObjectStore) -> None:
    store.put(KEY, b"precious")
    with pytest.raises(ObjectTooLarge):
        store.put(KEY, b"much too long", limit_bytes=3)
    assert read(store, KEY) == b"precious"


@pytest.mark.parametrize(
    ("range_", "expected"),
    [
        ((3,), b"defghij"),
        ((0, 4), b"abcd"),
        ((2, 5), b"cde"),
        ((8, 99), b"ij"),
        ((4, 4), b""),
        ((10,), b""),
        ((99,), b""),
    ],
    ids=str,
)
def test_a_range_is_read_from_start_to_before_end(store: ObjectStore, range_: tuple[int, ...], expected: bytes) -> None:
    store.put(KEY, b"abcdefghij")
    assert read(store, KEY, *range_) == expected


def test_a_body_may_be_left_half_read(store: ObjectStore) -> None:
    store.put(KEY, pattern(3 * MIB))
    with store.open(KEY) as body:
        assert body.read(10) == pattern(10)
    assert len(read(store, KEY)) == 3 * MIB


def test_fetch_makes_a_file_with_the_objects_identity_and_hash(store: ObjectStore, tmp_path: Path) -> None:
    data = pattern(9 * MIB)
    stored = store.put(KEY, data, content_type="image/png")
    fetched = store.fetch(KEY, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert (fetched.size_bytes, fetched.etag, fetched.sha256) == (9 * MIB, stored.etag, stored.sha256)
    assert fetched.content_type == "image/png"


def test_a_fetch_ticks_while_bytes_flow_and_what_a_tick_raises_leaves_nothing(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.put(KEY, bytes(3 << 20))
    ticks: list[int] = []
    store.fetch(KEY, tmp_path / "whole", tick=lambda: ticks.append(1))
    assert len(ticks) >= 3

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.fetch(KEY, tmp_path / "stopped", tick=stop)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["whole"]


def test_a_key_that_is_not_there_is_said_to_be_unknown(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFound):
        store.stat(KEY)
    with pytest.raises(ObjectNotFound):
        read(store, KEY)
    with pytest.raises(ObjectNotFound):
        read(store, KEY, 5, 5)
    with pytest.raises(ObjectNotFound):
        store.fetch(KEY, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


def test_delete_takes_the_named_keys_and_minds_no_missing_one(store: ObjectStore) -> None:
    for key in ("inputs/a/source", "inputs/b/source", "inputs/c/source"):
        store.put(key, b"x")
    store.delete(["inputs/a/source", "inputs/nothing/source", "inputs/c/source"])
    store.delete([])
    assert [item.key for item in store.list("inputs/")] == ["inputs/b/source"]


def test_list_goes_in_key_order_below_a_prefix_and_after_a_key(store: ObjectStore) -> None:
    keys = ["inputs/a-b/x", "inputs/a/x", "inputs/a/y/z", "inputs/a0/x", "inputs/b", "results/a/x"]
    for key in reversed(keys):
        store.put(key, key.encode())
    assert [item.key for item in store.list("")] == sorted(keys)
    assert [item.key for item in store.list("inputs/a/")] == ["inputs/a/x", "inputs/a/y/z"]
    assert [item.key for item in store.list("inputs/a")] == sorted(keys)[:4]
    for after in [*keys, "inputs/a", "inputs/a/x0", "inputs/zzz"]:
        expected = [key for key in sorted(keys) if key.startswith("inputs/") and key > after]
        assert [item.key for item in store.list("inputs/", after=after)] == expected
    assert list(store.list("nothing/")) == []


def test_listed_objects_have_the_size_and_etag_of_stat(store: ObjectStore) -> None:
    store.put(KEY, b"twelve bytes")
    (item,) = store.list("inputs/")
    found = store.stat(KEY)
    assert (item.key, item.size_bytes, item.etag) == (found.key, found.size_bytes, found.etag)


def test_a_presigned_url_gives_the_object_as_a_download(store: ObjectStore) -> None:
    store.put(KEY, b"the result", content_type="text/plain")
    url = store.presign_get(KEY, expires_seconds=60, filename='naïve "clip".mp4')
    status, headers, body = call("GET", url)
    assert (status, body) == (200, b"the result")
    assert headers["Content-Disposition"].startswith("attachment; ")
    assert "filename*=UTF-8''na%C3%AFve%20clip.mp4" in headers["Content-Disposition"]


def send_parts(store: ObjectStore, key: str, multipart_id: str, bodies: list[bytes]) -> list[StoredPart]:
    sent = []
    for number, body in enumerate(bodies, 1):
        url = store.presign_part(key, multipart_id, number, size_bytes=len(body), expires_seconds=60)
        status, headers, answer = call("PUT", url, body)
        assert status == 200, answer
        sent.append(StoredPart(number, len(body), headers["ETag"]))
    return sent


def test_parts_sent_by_presigned_urls_become_one_object(store: ObjectStore) -> None:
    bodies = [pattern(5 * MIB, 1), pattern(5 * MIB, 2), pattern(100, 3)]
    multipart_id = store.start_multipart(KEY, content_type="video/webm")
    sent = send_parts(store, KEY, multipart_id, bodies)
    arrived = store.list_parts(KEY, multipart_id)
    assert [(part.number, part.size_bytes) for part in arrived] == [(1, 5 * MIB), (2, 5 * MIB), (3, 100)]
    stored = store.complete_multipart(KEY, multipart_id, sent)
    assert stored.size_bytes == 10 * MIB + 100
    assert store.stat(KEY).etag == stored.etag
    assert store.stat(KEY).content_type == "video/webm"
    assert read(store, KEY) == b"".join(bodies)


def test_completing_twice_gives_the_same_object(store: ObjectStore) -> None:
    multipart_id = store.start_multipart(KEY)
    sent = send_parts(store, KEY, multipart_id, [b"only part"])
    first = store.complete_multipart(KEY, multipart_id, sent)
    assert store.complete_multipart(KEY, multipart_id, sent).etag == first.etag
    with pytest.raises(ObjectMismatch):
        store.complete_multipart(KEY, multipart_id, [replace(sent[0], size_bytes=1)])


def test_a_part_may_be_sent_again(store: ObjectStore) -> None:
    multipart_id = store.start_multipart(KEY)
    send_parts(store, KEY, multipart_id, [b"wrong one"])
    sent = send_parts(store, KEY, multipart_id, [b"right one"])
    assert [part.etag for part in store.list_parts(KEY, multipart_id)] == [sent[0].etag.strip('"')]
    store.complete_multipart(KEY, multipart_id, sent)
    assert read(store, KEY) == b"right one"


@pytest.mark.parametrize("fault", ["missing", "size", "etag", "doubled", "gap", "empty"])
def test_a_part_list_that_does_not_fit_what_arrived_is_refused_and_can_be_mended(
    store: ObjectStore, fault: str
) -> None:
    multipart_id = store.start_multipart(KEY)
    sent = send_parts(store, KEY, multipart_id, [pattern(5 * MIB, 1), b"end"])
    wrong = {
        "missing": [*sent, StoredPart(3, 5, sent[0].etag)],
        "size": [replace(sent[0], size_bytes=4), sent[1]],
        "etag": [replace(sent[0], etag=sent[1].etag), sent[1]],
        "doubled": [sent[0], sent[0], sent[1]],
        "gap": [sent[1]],
        "empty": [],
    }[fault]
    with pytest.raises(ObjectMismatch):
        store.complete_multipart(KEY, multipart_id, wrong)
    with pytest.raises(ObjectNotFound):
        store.stat(KEY)
    assert store.complete_multipart(KEY, multipart_id, sent).size_bytes == 5 * MIB + 3


def test_an_aborted_upload_is_gone_and_aborting_again_is_no_error(store: ObjectStore) -> None:
    multipart_id = store.start_multipart(KEY)
    sent = send_parts(store, KEY, multipart_id, [b"part"])
    store.abort_multipart(KEY, multipart_id)
    store.abort_multipart(KEY, multipart_id)
    with pytest.raises(ObjectNotFound):
        store.list_parts(KEY, multipart_id)
    with pytest.raises(ObjectNotFound):
        store.complete_multipart(KEY, multipart_id, sent)
    assert nothing_is_stored(store)


def test_only_uploads_begun_before_the_given_instant_are_discarded(store: ObjectStore) -> None:
    multipart_id = store.start_multipart(KEY)
    send_parts(store, KEY, multipart_id, [b"part"])
    # long ago, since moto says of every upload that it was begun in 2010
    assert store.discard_unfinished(datetime(2009, 1, 1, tzinfo=UTC)) == 0
    assert len(store.list_parts(KEY, multipart_id)) == 1
    assert store.discard_unfinished(datetime.now(UTC) + timedelta(hours=1)) == 1
    with pytest.raises(ObjectNotFound):
        store.list_parts(KEY, multipart_id)


def test_a_healthy_store_passes_its_check(store: ObjectStore) -> None:
    store.check()
    assert list(store.list("inputs/")) == []
