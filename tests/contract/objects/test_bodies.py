"""Bodies come back as they went in, whole or in ranges, or are not kept at all."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.errors import ObjectNotFound, ObjectTooLarge
from storage.objects.port import ObjectStore
from tests.contract.objects.bed import KEY, MIB, nothing_is_stored, pattern, read


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
