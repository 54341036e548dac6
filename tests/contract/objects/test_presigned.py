"""Objects that clients fetch, or send in parts, by URLs of ours."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import ObjectMismatch, ObjectNotFound
from storage.objects.port import ObjectStore, StoredPart
from tests.contract.objects.bed import KEY, MIB, nothing_is_stored, pattern, read


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
