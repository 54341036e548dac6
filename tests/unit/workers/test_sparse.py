"""Only what is asked for is fetched, and it is what the object holds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import ObjectNotFound, ObjectStoreUnavailable
from tests.fakes.memory_store import MemoryObjectStore
from workers.sparse import BLOCK_BYTES, MOST_BLOCKS, SparseCopy

SIZE = 12 * BLOCK_BYTES + 345
DATA = random.Random(1).randbytes(SIZE)


class Ranged(MemoryObjectStore):
    """Notes which bytes were asked for; ``short`` cuts every body."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []
        self.short = False

    @contextmanager
    def open(self, key: str, start: int = 0, end: int | None = None) -> Iterator[BinaryIO]:
        assert end is not None
        self.asked.append((start, end))
        with super().open(key, start, end - 1 if self.short else end) as body:
            yield body


def copy(folder: Path, store: Ranged | None = None) -> tuple[Ranged, SparseCopy]:
    store = store or Ranged()
    store.put("film", DATA)
    return store, SparseCopy(store, "film", SIZE, folder / "copy")


def test_a_byte_costs_its_block_once(tmp_path: Path) -> None:
    store, sparse = copy(tmp_path)
    assert sparse.ensure(5 * BLOCK_BYTES + 7, 5 * BLOCK_BYTES + 8) == BLOCK_BYTES
    assert sparse.ensure(5 * BLOCK_BYTES, 6 * BLOCK_BYTES) == 0
    assert store.asked == [(5 * BLOCK_BYTES, 6 * BLOCK_BYTES)]
    assert sparse.path.stat().st_size == SIZE
    assert sparse.path.stat().st_blocks * 512 < 2 * BLOCK_BYTES, "the rest of the file takes no room"


def test_reading_on_asks_for_more_at_a_time(tmp_path: Path) -> None:
    store, sparse = copy(tmp_path)
    for at in range(0, SIZE, 32_768):
        sparse.ensure(at, min(at + 32_768, SIZE))
    assert len(store.asked) <= 5
    assert max(end - start for start, end in store.asked) <= MOST_BLOCKS * BLOCK_BYTES
    assert sparse.path.read_bytes() == DATA
    assert sparse.held_bytes == SIZE


@settings(max_examples=60, deadline=None)
@given(reads=st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 3 * BLOCK_BYTES)), max_size=8))
def test_what_was_asked_for_is_there_and_no_byte_comes_twice(
    reads: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store, sparse = copy(tmp_path_factory.mktemp("sparse"))
    for start, length in reads:
        stop = min(start + length, SIZE)
        sparse.ensure(start, stop)
        with sparse.path.open("rb") as file:
            file.seek(start)
            assert file.read(stop - start) == DATA[start:stop]
    assert sum(end - start for start, end in store.asked) == sparse.held_bytes
    covered = sorted(store.asked)
    assert all(one[1] <= other[0] for one, other in pairwise(covered))


def test_a_fetch_that_breaks_off_is_made_again(tmp_path: Path) -> None:
    store, sparse = copy(tmp_path)
    store.short = True
    with pytest.raises(ObjectStoreUnavailable):
        sparse.ensure(0, 10)
    store.short = False
    assert sparse.ensure(0, 10) == BLOCK_BYTES
    with sparse.path.open("rb") as file:
        assert file.read(BLOCK_BYTES) == DATA[:BLOCK_BYTES]


def test_whoever_waits_can_stop_it(tmp_path: Path) -> None:
    _, sparse = copy(tmp_path)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        sparse.ensure(0, SIZE, stop)
    assert sparse.held_bytes == 0


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, SIZE + 1)])
def test_bytes_outside_the_object_are_a_mistake_of_the_caller(tmp_path: Path, start: int, stop: int) -> None:
    _, sparse = copy(tmp_path)
    with pytest.raises(ValueError, match="of an object of"):
        sparse.ensure(start, stop)


def test_an_object_that_is_gone_is_told(tmp_path: Path) -> None:
    store, sparse = copy(tmp_path)
    store.delete(["film"])
    with pytest.raises(ObjectNotFound):
        sparse.ensure(0, 1)
