"""The scratch cache: one fetch per input, bounded, cleaned after the dead."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import InputError
from storage.errors import ObjectNotFound
from storage.job import InputRef
from tests.fakes.memory_store import MemoryObjectStore
from tests.services import REPOSITORY
from workers.own_folder import sweep
from workers.retry import concerns_everyone
from workers.scratch import Scratch, ScratchUnavailable, identity
from workers.sparse import BLOCK_BYTES, SparseCopy


class Counting(MemoryObjectStore):
    """Counts fetches, and finds the disk full while more than so many files are on it."""

    fetched = 0
    room_for = 1000
    fault = errno.ENOSPC

    def fetch(self, key, path, **named):  # type: ignore[no-untyped-def]
        self.fetched += 1
        if len([one for one in path.parent.iterdir() if one.name != "lock"]) >= self.room_for:
            raise OSError(self.fault, os.strerror(self.fault))
        return super().fetch(key, path, **named)


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def scratch(store: Counting, tmp_path: Path) -> Iterator[Scratch]:
    with Scratch(tmp_path, "me", store, max_bytes=100) as opened:
        yield opened


@pytest.fixture
def roomy(store: Counting, tmp_path: Path) -> Iterator[Scratch]:
    with Scratch(tmp_path, "roomy", store, max_bytes=1 << 30) as opened:
        yield opened


def put(store: Counting, key: str, size: int = 40) -> InputRef:
    stored = store.put(key, key.encode().ljust(size, b"."))
    return InputRef(key=key, size_bytes=stored.size_bytes, etag=stored.etag)


def test_an_input_is_fetched_once_and_told_with_its_digest(store: Counting, scratch: Scratch) -> None:
    source = put(store, "a")
    for _ in range(3):
        with scratch.input(source) as (path, stored):
            assert path.read_bytes() == b"a".ljust(40, b".")
            assert stored.sha256
    assert store.fetched == 1


def test_the_longest_unused_goes_first(store: Counting, scratch: Scratch) -> None:
    a, b, c = (put(store, key) for key in "abc")
    for source in (a, b, a, c):
        with scratch.input(source):
            pass
    assert scratch.size_bytes <= 100
    with scratch.input(a):
        assert store.fetched == 3
    with scratch.input(b):
        assert store.fetched == 4


def test_what_is_in_use_stays_whatever_the_bound(store: Counting, scratch: Scratch) -> None:
    with scratch.input(put(store, "a", 90)) as (one, _), scratch.input(put(store, "b", 90)) as (two, _):
        assert one.stat().st_size == two.stat().st_size == 90
    assert scratch.size_bytes <= 100


def test_full_disk_gets_room_from_what_is_kept_for_later(store: Counting, scratch: Scratch) -> None:
    store.room_for = 1
    for key in "abc":
        with scratch.input(put(store, key, 10)) as (path, _):
            assert path.stat().st_size == 10
    assert scratch.size_bytes == 10


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
def test_disk_that_takes_nothing_is_nobodys_fault(store: Counting, scratch: Scratch, fault: int) -> None:
    store.room_for, store.fault = 0, fault
    with pytest.raises(ScratchUnavailable) as caught, scratch.input(put(store, "a")):
        pass
    assert concerns_everyone(caught.value)
    store.room_for = 1
    with scratch.input(put(store, "a")) as (path, _):
        assert path.exists()


def test_identity_is_key_size_and_etag() -> None:
    one = InputRef(key="k", size_bytes=1, etag="e", filename="x.mp4")
    assert identity(one) == identity(InputRef(key="k", size_bytes=1, etag="e", filename="y.mp4"))
    assert len({identity(InputRef(key="k", size_bytes=size, etag=tag)) for size in (1, 2) for tag in ("e", "f")}) == 4


@pytest.mark.parametrize("changes", [{"size_bytes": 39}, {"sha256": "0" * 64}])
def test_another_input_than_was_submitted_is_refused(
    store: Counting, scratch: Scratch, changes: dict[str, object]
) -> None:
    put(store, "a")
    with pytest.raises(InputError) as caught, scratch.input(InputRef(key="a", **changes)):  # type: ignore[arg-type]
        pass
    assert caught.value.code == "input.changed"
    assert scratch.size_bytes == 0


def test_an_input_that_is_not_there_is_told(scratch: Scratch) -> None:
    with pytest.raises(ObjectNotFound), scratch.input(InputRef(key="nothing")):
        pass


def test_the_folder_goes_with_its_owner(store: Counting, tmp_path: Path) -> None:
    with Scratch(tmp_path, "me", store, max_bytes=100) as scratch:
        with scratch.input(put(store, "a")):
            pass
    assert not (tmp_path / "me").exists()


def test_sweep_deletes_what_the_dead_left_and_nothing_of_the_living(scratch: Scratch, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from workers.own_folder import OwnFolder\n"
        "folder = OwnFolder(Path(sys.argv[1])); folder.open(); (folder.path / 'input').write_bytes(b'x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "dead")], cwd=REPOSITORY, check=False, timeout=30)
    assert (tmp_path / "dead" / "input").exists()
    assert sweep(tmp_path) == 1
    assert not (tmp_path / "dead").exists()
    assert scratch.folder.exists()


def test_no_more_copies_are_kept_than_are_of_use_and_each_costs_the_same(
    store: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.scratch.MAX_KEPT", 5)
    with Scratch(tmp_path, "me", store, max_bytes=10**9) as scratch:
        sources = [put(store, f"still-{place}") for place in range(12)]
        for source in sources:
            with scratch.input(source):
                pass
        kept = {path.name for path in scratch.folder.iterdir()} - {"lock"}
        assert kept == {identity(source) for source in sources[-5:]}
        assert scratch.size_bytes == 5 * 40


def test_a_part_is_filled_as_it_is_read_and_the_next_segment_finds_it_there(store: Counting, roomy: Scratch) -> None:
    source = put(store, "film", 3 * BLOCK_BYTES)
    for fetched in (BLOCK_BYTES, 0):
        with roomy.part(source) as part:
            assert part.fill is not None
            before = roomy.size_bytes
            part.fill(BLOCK_BYTES, BLOCK_BYTES + 9)
            assert roomy.size_bytes - before == fetched
            with part.path.open("rb") as file:
                file.seek(BLOCK_BYTES)
                assert file.read(9) == b"." * 9
    assert store.fetched == 0


def test_a_part_of_what_is_there_whole_needs_no_filling(store: Counting, scratch: Scratch) -> None:
    source = put(store, "a")
    with scratch.input(source), scratch.part(source) as part:
        assert part.fill is None
        assert part.path.read_bytes() == b"a".ljust(40, b".")


def test_a_part_is_never_taken_for_the_whole(store: Counting, scratch: Scratch) -> None:
    source = put(store, "a")
    with scratch.part(source), scratch.input(source) as (path, stored):
        assert path.read_bytes() == b"a".ljust(40, b".")
        assert stored.sha256
    assert store.fetched == 1


def test_an_object_that_the_store_does_not_vouch_for_is_fetched_whole_and_its_digest_looked_at(
    store: Counting, scratch: Scratch
) -> None:
    source = replace(put(store, "a"), etag="another", sha256="0" * 64)
    with pytest.raises(InputError) as raised, scratch.part(source):
        pass
    assert raised.value.code == "input.changed"


def test_an_erased_part_is_deleted_with_the_rest(store: Counting, scratch: Scratch) -> None:
    source = put(store, "film", 2 * BLOCK_BYTES)
    with scratch.part(source) as part:
        assert part.fill is not None
        part.fill(0, 1)
        scratch.forget(["film"])
        assert part.path.exists(), "whoever reads it reads on"
    assert not part.path.exists()
    assert scratch.size_bytes == 0


def test_a_disk_that_fails_while_a_part_is_filled_is_the_workers_own_fault(
    store: Counting, scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: SparseCopy, start: int, stop: int, tick: object = None) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SparseCopy, "ensure", fail)
    with scratch.part(put(store, "a")) as part:
        assert part.fill is not None
        with pytest.raises(ScratchUnavailable):
            part.fill(0, 1)
