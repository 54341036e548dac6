"""Whether a store answers is asked by one, heard by all, and asked again soon."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.errors import ObjectStoreUnavailable
from storage.objects.proof import BAD_SECONDS, GOOD_SECONDS, STALE_SECONDS, Proof


class Store:
    """Answers as told, and counts; ``gate`` holds an answer back, as a frozen store does."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.now = 100.0
        self.called, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.proof = Proof(self._ask, clock=lambda: self.now)

    def _ask(self) -> None:
        self.asked += 1
        self.called.set()
        assert self.gate.wait(10)
        if self.away:
            raise ObjectStoreUnavailable("away")


def test_an_answer_vouches_for_a_moment() -> None:
    store = Store()
    for passed, asked in ((0, 1), (GOOD_SECONDS - 0.1, 1), (0.2, 2)):
        store.now += passed
        store.proof.demand()
        assert store.asked == asked


def test_a_failure_refuses_everybody_for_a_moment_and_a_return_is_seen_after_it() -> None:
    store = Store()
    store.away = True
    for passed, asked in ((0, 1), (BAD_SECONDS - 0.1, 1), (0.2, 2)):
        store.now += passed
        with pytest.raises(ObjectStoreUnavailable, match="away"):
            store.proof.demand()
        assert store.asked == asked
    store.away = False
    store.now += BAD_SECONDS
    store.proof.demand()
    assert store.asked == 3


def test_a_frozen_store_is_asked_by_one_thread_and_all_hear_its_answer() -> None:
    store = Store()
    store.away = True
    store.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(store.proof.demand) for _ in range(8)]
        assert store.called.wait(5)
        store.gate.set()
        errors = [one.exception(10) for one in waiting]
    assert all(isinstance(error, ObjectStoreUnavailable) for error in errors)
    assert store.asked == 1


def test_while_a_store_that_failed_is_asked_again_the_others_do_not_wait() -> None:
    store = Store()
    store.away = True
    with pytest.raises(ObjectStoreUnavailable):
        store.proof.demand()
    store.now += BAD_SECONDS
    store.gate.clear()
    store.called.clear()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(store.proof.demand)
        assert store.called.wait(5)
        with pytest.raises(ObjectStoreUnavailable):
            store.proof.demand()
        store.away = False
        store.gate.set()
        asking.result(10)
    store.proof.demand()
    assert store.asked == 2


def test_a_failure_of_long_ago_refuses_nobody_who_comes_back_together_with_others() -> None:
    store = Store()
    store.away = True
    with pytest.raises(ObjectStoreUnavailable):
        store.proof.demand()
    store.away = False
    store.now += STALE_SECONDS
    store.gate.clear()
    store.called.clear()
    with ThreadPoolExecutor(8) as pool:
        coming = [pool.submit(store.proof.demand) for _ in range(8)]
        assert store.called.wait(5)
        store.gate.set()
        assert [one.exception(10) for one in coming] == [None] * 8
    assert store.asked == 2


def test_what_becomes_of_any_call_is_heard_by_all() -> None:
    store = Store()
    store.proof.demand()
    with pytest.raises(ObjectStoreUnavailable), store.proof.watching():
        raise ObjectStoreUnavailable("fell over in the middle of a put")
    with pytest.raises(ObjectStoreUnavailable, match="middle"):
        store.proof.demand()
    assert store.asked == 1
