"""The walk is bounded, comes round, rests, and goes on after an outage."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from storage.errors import ObjectStoreUnavailable
from storage.ids import new_id
from storage.objects.keys import OWNED_PREFIXES, input_key, rows_key, upload_key
from storage.objects.local import LocalObjectStore
from tests.integration.deletion.bed import Bed, id_made
from workers.dispatcher.deletion import Deletion


@pytest.fixture
def small_passes(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("workers.dispatcher.deletion.OBJECTS_PER_PASS", 10)
    return 10


def test_a_pass_is_bounded_and_the_walk_comes_round(bed: Bed, small_passes: int) -> None:
    kept = [bed.job(id_made(100 + number)) for number in range(15)]
    bed.put(*(input_key(id_made(100 + number)) for number in range(20)))
    bed.put(*(rows_key(id_made(100), 1, str(number), "c") for number in range(12)))
    left = [len(bed.stored())]
    while left[-1] > len(kept) and len(left) < 20:
        bed.deletion.run_pass()
        left.append(len(bed.stored()))
        assert left[-2] - left[-1] <= small_passes
    assert bed.stored() == sorted(kept)
    assert len(left) > 4


def test_after_a_walk_the_duty_rests_and_then_begins_again(bed: Bed) -> None:
    bed.walk()
    late = input_key(id_made(100))
    bed.put(late)
    for _ in range(5):
        bed.deletion.run_pass()
    assert bed.stored() == [late]
    bed.walk()
    assert bed.stored() == []


def test_a_walk_goes_on_where_an_outage_stopped_it(bed: Bed, small_passes: int) -> None:
    bed.put(*(input_key(id_made(100 + number)) for number in range(25)))
    bed.deletion.run_pass()
    bed.objects.down = True
    with pytest.raises(ObjectStoreUnavailable):
        bed.deletion.run_pass()
    bed.objects.down = False
    assert len(bed.stored()) == 15
    bed.deletion.run_pass()
    assert len(bed.stored()) == 5


def test_two_dispatchers_may_walk_at_once(bed: Bed) -> None:
    source = bed.job(id_made(100))
    bed.put(*(input_key(id_made(100 + number)) for number in range(20)))
    other = Deletion(bed.uploads, bed.queue.upkeep, bed.objects, clock=bed.clock)
    for _ in OWNED_PREFIXES:
        bed.deletion.run_pass()
        other.run_pass()
    assert bed.stored() == [source]


@pytest.fixture
def root(local_store: LocalObjectStore, tmp_path: Path) -> Path:
    return tmp_path / "objects"


def test_writes_that_never_became_objects_are_thrown_away_at_the_end_of_a_walk(
    bed: Bed, local_store: LocalObjectStore, root: Path
) -> None:
    old, young = (local_store.start_multipart(upload_key(new_id())) for _ in range(2))
    (root / "temporary" / "half").write_bytes(b"half")
    long_ago = time.time() - 49 * 3600
    for path in (root / "multipart" / old, root / "temporary" / "half"):
        os.utime(path, (long_ago, long_ago))
    deletion = Deletion(bed.uploads, bed.queue.upkeep, local_store, clock=bed.clock)
    for _ in OWNED_PREFIXES:
        deletion.run_pass()
    assert [path.name for path in (root / "multipart").iterdir()] == [young]
    assert list((root / "temporary").iterdir()) == []
