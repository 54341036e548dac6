"""What the local store promises beyond the contract: durability, a full disk, flat memory, no escape."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.errors import ObjectMismatch, ObjectNotFound, ObjectStoreUnavailable
from storage.objects.local import LocalObjectStore
from storage.objects.port import StoredPart
from storage.objects.signing import PartGrant, SignedUrls

KEY = "inputs/0199c0de-0000-7000-8000-000000000001/source"
MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> LocalObjectStore:
    return LocalObjectStore(root, SignedUrls("x" * 32, "http://127.0.0.1:1"))


class Zeros(io.RawIOBase):
    """A body of ``size`` bytes that takes no memory."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        piece = bytes(min(size, self.left))
        self.left -= len(piece)
        return piece


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def peak_rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_large_body_leaves_memory_flat(store: LocalObjectStore) -> None:
    store.put("inputs/warm-up", Zeros(4 * MIB))
    before = peak_rss_bytes()
    assert store.put(KEY, Zeros(256 * MIB)).size_bytes == 256 * MIB
    assert peak_rss_bytes() - before < 16 * MIB


def test_joining_large_parts_leaves_memory_flat(store: LocalObjectStore) -> None:
    upload = store.start_multipart(KEY)
    parts = [store.receive_part(PartGrant(KEY, upload, n, 64 * MIB), Zeros(64 * MIB)) for n in (1, 2)]
    before = peak_rss_bytes()
    assert store.complete_multipart(KEY, upload, parts).size_bytes == 128 * MIB
    assert peak_rss_bytes() - before < 16 * MIB


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """The kernel refuses a write past ``size`` bytes, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_the_disk_refuses_is_unavailability_and_leaves_nothing(store: LocalObjectStore, root: Path) -> None:
    with files_limited_to(3 * MIB), pytest.raises(ObjectStoreUnavailable):
        store.put(KEY, Zeros(8 * MIB))
    assert files(root) == []
    store.put(KEY, b"room again")


def test_a_part_the_disk_refuses_is_unavailability_and_may_be_sent_again(store: LocalObjectStore) -> None:
    upload = store.start_multipart(KEY)
    grant = PartGrant(KEY, upload, 1, 8 * MIB)
    with files_limited_to(3 * MIB), pytest.raises(ObjectStoreUnavailable):
        store.receive_part(grant, Zeros(8 * MIB))
    assert store.list_parts(KEY, upload) == []
    assert store.complete_multipart(KEY, upload, [store.receive_part(grant, Zeros(8 * MIB))]).size_bytes == 8 * MIB


def test_a_folder_that_cannot_be_made_is_unavailability(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ObjectStoreUnavailable):
        LocalObjectStore(tmp_path / "file" / "store", SignedUrls("x" * 32, "http://h"))


@pytest.mark.parametrize("call", ["check", "put", "stat", "open", "list", "start", "parts"])
def test_a_disk_that_is_not_mounted_any_more_is_unavailability_not_an_empty_store(
    store: LocalObjectStore, root: Path, call: str
) -> None:
    store.put(KEY, b"x")
    upload = store.start_multipart(KEY)

    def opened() -> None:
        with store.open(KEY):
            pass

    calls = {
        "check": store.check,
        "put": lambda: store.put(KEY, b"y"),
        "stat": lambda: store.stat(KEY),
        "open": opened,
        "list": lambda: list(store.list("inputs/")),
        "start": lambda: store.start_multipart(KEY),
        "parts": lambda: store.list_parts(KEY, upload),
    }
    root.rename(root.with_name("elsewhere"))
    root.mkdir()
    with pytest.raises(ObjectStoreUnavailable):
        calls[call]()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "inputs/../../x",
        "inputs//x",
        "inputs/./x",
        "inputs/",
        "inputs/x\0y",
        "inputs/..",
    ],
)
def test_a_key_that_would_leave_the_folder_is_refused_by_every_call(
    store: LocalObjectStore, root: Path, key: str
) -> None:
    with pytest.raises(ValueError, match="not an object key"):
        store.put(key, b"x")
    with pytest.raises(ValueError, match="not an object key"):
        store.stat(key)
    with pytest.raises(ValueError, match="not an object key"), store.open(key):
        pass
    with pytest.raises(ValueError, match="not an object key"):
        store.delete([key])
    with pytest.raises(ValueError, match="not an object key"):
        store.start_multipart(key)
    assert files(root) == []


@pytest.mark.parametrize("upload", ["", "..", "../objects", "a" * 32, "A" * 32, "0" * 31 + "/"])
def test_an_upload_id_that_is_not_open_is_unknown(store: LocalObjectStore, upload: str) -> None:
    with pytest.raises(ObjectNotFound):
        store.receive_part(PartGrant(KEY, upload, 1, 1), io.BytesIO(b"x"))
    with pytest.raises(ObjectNotFound):
        store.list_parts(KEY, upload)


def test_an_upload_is_good_for_its_own_key_alone(store: LocalObjectStore) -> None:
    upload = store.start_multipart(KEY)
    with pytest.raises(ObjectNotFound):
        store.receive_part(PartGrant("inputs/other/source", upload, 1, 1), io.BytesIO(b"x"))
    store.abort_multipart("inputs/other/source", upload)
    assert store.list_parts(KEY, upload) == []


@pytest.mark.parametrize("body", [b"", b"ab", b"abcd"], ids=["none", "short", "long"])
def test_a_part_of_another_size_is_refused_and_not_kept(store: LocalObjectStore, root: Path, body: bytes) -> None:
    upload = store.start_multipart(KEY)
    with pytest.raises(ObjectMismatch):
        store.receive_part(PartGrant(KEY, upload, 1, 3), io.BytesIO(body))
    assert files(root) == [f"multipart/{upload}/upload.json"]


def test_a_part_for_an_upload_aborted_meanwhile_does_not_bring_it_back(store: LocalObjectStore, root: Path) -> None:
    upload = store.start_multipart(KEY)

    class AbortsMidway(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            store.abort_multipart(KEY, upload)
            return super().read(size)

    with pytest.raises(ObjectNotFound):
        store.receive_part(PartGrant(KEY, upload, 1, 3), AbortsMidway(b"abc"))
    assert files(root) == []


def test_two_completions_at_once_both_give_the_object(store: LocalObjectStore) -> None:
    upload = store.start_multipart(KEY)
    parts = [store.receive_part(PartGrant(KEY, upload, n, MIB), Zeros(MIB)) for n in (1, 2, 3)]
    gate, etags = threading.Barrier(4), []

    def complete() -> None:
        gate.wait(10)
        etags.append(store.complete_multipart(KEY, upload, parts).etag)

    threads = [threading.Thread(target=complete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(etags) == 4
    assert len(set(etags)) == 1


def test_delete_leaves_no_empty_folders(store: LocalObjectStore, root: Path) -> None:
    store.put(KEY, b"x")
    store.put("inputs/other/source", b"x")
    store.delete([KEY])
    assert [path.name for path in (root / "objects/inputs").iterdir()] == ["other"]
    assert [path.name for path in (root / "facts/inputs").iterdir()] == ["other"]


def test_puts_and_deletes_of_neighbours_do_not_disturb_each_other(store: LocalObjectStore) -> None:
    errors: list[Exception] = []

    def churn(name: str) -> None:
        try:
            for _ in range(40):
                store.put(f"results/same/folder/{name}", name.encode())
                store.delete([f"results/same/folder/{name}"])
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the test
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert list(store.list("results/")) == []


def test_facts_lost_or_torn_are_made_anew_from_the_bytes(store: LocalObjectStore, root: Path) -> None:
    stored = store.put(KEY, b"the bytes", content_type="video/mp4")
    facts = root / "facts" / f"{KEY}.json"
    for damage in ("", "{", "[]", '{"etag": "x"}', None):
        facts.unlink() if damage is None else facts.write_text(damage)
        assert store.stat(KEY).etag == stored.etag == hashlib.sha256(b"the bytes").hexdigest()


def test_a_crash_between_facts_and_file_does_not_give_the_old_body_a_new_etag(
    store: LocalObjectStore, root: Path
) -> None:
    old = store.put(KEY, b"old body")
    bytes_before = (root / "objects" / KEY).read_bytes()
    stamps = (root / "objects" / KEY).stat()
    store.put(KEY, b"new body")
    # what a crash before the last rename leaves: facts of the new body beside the old file
    (root / "objects" / KEY).write_bytes(bytes_before)
    os.utime(root / "objects" / KEY, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    assert store.stat(KEY).etag == old.etag


def test_leftovers_of_a_killed_process_are_discarded_once_old(store: LocalObjectStore, root: Path) -> None:
    leftover = root / "temporary" / "leftover"
    leftover.write_bytes(b"half a body")
    upload = store.start_multipart(KEY)
    long_ago = (datetime.now(UTC) - timedelta(hours=50)).timestamp()
    for path in (leftover, root / "multipart" / upload):
        os.utime(path, (long_ago, long_ago))
    young = store.start_multipart(KEY)
    assert store.discard_unfinished(datetime.now(UTC) - timedelta(hours=48)) == 2
    assert store.list_parts(KEY, young) == []
    assert not leftover.exists()


def test_an_object_is_invisible_until_its_last_byte(store: LocalObjectStore) -> None:
    class Looks(io.BytesIO):
        seen: list[StoredPart | bool] = []

        def read(self, size: int | None = -1) -> bytes:
            self.seen.append(list(store.list("inputs/")) == [])
            return super().read(size)

    body = Looks(b"x" * 100)
    store.put(KEY, body)
    assert body.seen == [True, True]
    assert [item.key for item in store.list("inputs/")] == [KEY]
