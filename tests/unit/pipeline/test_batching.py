"""Batches of a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.batching import batched


@given(st.lists(st.integers(-5, 5)), st.integers(1, 7))
def test_batches_hold_every_item_once_in_order_and_no_more_than_size_of_those_that_count(items, size):
    batches = list(batched(items, lambda: size, counts=lambda item: item >= 0))
    assert [item for batch in batches for item in batch] == items
    assert all(sum(item >= 0 for item in batch) <= size for batch in batches)
    assert all(batches)


def test_all_batches_but_the_last_are_full():
    assert [len(batch) for batch in batched(range(10), lambda: 4)] == [4, 4, 2]


def test_a_size_that_falls_makes_the_following_batches_smaller():
    sizes = [4]
    lengths = []
    for batch in batched(range(12), lambda: sizes[0]):
        lengths.append(len(batch))
        sizes[0] = 2
    assert lengths == [4, 2, 2, 2, 2]


def test_a_mark_after_the_last_frame_of_a_full_batch_travels_with_it():
    assert list(batched([1, 2, "end", 3], lambda: 2, counts=lambda item: item != "end")) == [[1, 2, "end"], [3]]
