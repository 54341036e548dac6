"""What is there is listed in order; what is deleted is not."""

from __future__ import annotations

from storage.objects.port import ObjectStore
from tests.contract.objects.bed import KEY


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


def test_a_healthy_store_passes_its_check(store: ObjectStore) -> None:
    store.check()
    assert list(store.list("inputs/")) == []
