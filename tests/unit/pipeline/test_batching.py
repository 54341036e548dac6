"""Batches of a stream."""

from __future__ import annotations

import weakref

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


def test_a_full_batch_does_not_wait_for_what_comes_after_it():
    def frames():
        yield from (1, 2)
        raise AssertionError("asked for more than the batch needs")

    assert next(batched(frames(), lambda: 2)) == [1, 2]


def test_a_mark_goes_with_the_frames_before_it_or_alone_where_none_wait():
    marks = {"counts": lambda item: item != "end"}
    assert list(batched([1, "end", 2, 3], lambda: 2, **marks)) == [[1, "end", 2], [3]]
    assert list(batched([1, 2, "end", 3, "end"], lambda: 2, **marks)) == [[1, 2], ["end"], [3, "end"]]


@given(st.lists(st.integers(0, 9)), st.integers(1, 7), st.integers(1, 20))
def test_a_batch_weighs_less_than_its_room_and_one_item(items, size, room):
    batches = list(batched(items, lambda: size, weight=lambda item: item, room=room))
    assert [item for batch in batches for item in batch] == items
    assert all(sum(batch[:-1]) < room for batch in batches)


def test_nothing_of_a_batch_lives_on_while_the_next_one_is_gathered():
    class Frame:
        pass

    alive = []

    def frames():
        for _ in range(20):
            frame = Frame()
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            most.append(sum(one() is not None for one in alive))

    most = []
    for batch in batched(frames(), lambda: 4):
        assert len(batch) == 4
        del batch
    assert max(most) <= 4
