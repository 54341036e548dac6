"""The one bounded thread: errors travel both ways, and it always ends."""

from __future__ import annotations

import threading

import pytest

from pipeline.prefetch import Prefetch


def names_of_threads():
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert names_of_threads() == []


def test_items_arrive_in_order():
    with Prefetch(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))


def test_the_producer_works_ahead_but_no_further_than_its_depth():
    made = threading.Semaphore(0)
    count = [0]

    def produce():
        for number in range(100):
            count[0] += 1
            made.release()
            yield number

    with Prefetch(produce(), 3) as items:
        assert next(items) == 0
        for _ in range(5):  # one taken, three waiting, one in hand
            assert made.acquire(timeout=5)
        assert not made.acquire(timeout=0.05)
        assert count[0] == 5


def test_an_error_of_the_producer_is_raised_in_the_consumer_after_the_items_before_it():
    def produce():
        yield 1
        yield 2
        raise OSError("disk gone")

    seen = []
    with Prefetch(produce(), 8) as items, pytest.raises(OSError, match="disk gone"):
        seen.extend(items)
    assert seen == [1, 2]


def test_an_error_of_the_consumer_closes_the_generator_in_its_own_thread():
    closed_in = []

    def produce():
        try:
            while True:
                yield 0
        finally:
            closed_in.append(threading.current_thread().name)

    def consume():
        with Prefetch(produce(), 2) as items:
            next(items)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        consume()
    assert closed_in == ["prefetch"]


def test_a_generator_that_hangs_is_interrupted_and_then_joined():
    woken = threading.Event()

    def produce():
        yield 1
        assert woken.wait(10)  # as a read from a child process that says nothing
        yield 2

    with Prefetch(produce(), 1, interrupt=woken.set, patience_seconds=0.05) as items:
        assert next(items) == 1
    assert woken.is_set()


def test_a_thread_that_will_not_end_is_told_and_not_waited_for_without_end():
    release = threading.Event()

    def produce():
        yield 1
        release.wait(10)

    prefetch = Prefetch(produce(), 1, patience_seconds=0.02)
    with pytest.raises(RuntimeError, match="did not end"):
        with prefetch as items:
            next(items)
    release.set()
    prefetch.close()


def waiting_for(event):
    yield 1
    assert event.wait(10)
    yield 2


def test_a_consumer_that_waits_is_asked_now_and_then():
    asked = threading.Event()
    with Prefetch(waiting_for(asked), 1, idle=asked.set, idle_seconds=0.01) as items:
        assert list(items) == [1, 2]


def test_a_consumer_that_waits_may_leave():
    def leave():
        raise InterruptedError

    woken = threading.Event()
    prefetch = Prefetch(
        waiting_for(woken), 1, interrupt=woken.set, patience_seconds=0.01, idle=leave, idle_seconds=0.01
    )
    with pytest.raises(InterruptedError), prefetch as items:
        list(items)


def test_an_error_while_closing_does_not_hide_the_first_one():
    def produce():
        try:
            yield 1
            raise KeyError("first")
        finally:
            pass

    class Awkward:
        def __init__(self):
            self.inner = produce()

        def __iter__(self):
            return self

        def __next__(self):
            return next(self.inner)

        def close(self):
            raise ValueError("second")

    with Prefetch(Awkward(), 1) as items:
        next(items)
        with pytest.raises(KeyError, match="first"):
            next(items)


def test_a_depth_below_one_is_refused():
    with pytest.raises(ValueError, match="depth"):
        Prefetch(iter(()), 0)
