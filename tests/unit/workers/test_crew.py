"""A few threads that work off a short list."""

from __future__ import annotations

import threading

from workers.dispatcher.crew import Crew

SECONDS = 10.0


def test_everything_offered_is_done_in_order_by_one_thread() -> None:
    done: list[int] = []
    crew = Crew(1, done.append, name="test")
    crew.offer({str(number): number for number in range(20)})
    assert crew.wait(SECONDS)
    assert done == list(range(20))


def test_threads_end_when_there_is_nothing_to_do_and_come_back() -> None:
    done: list[int] = []
    crew = Crew(3, done.append, name="crew-that-ends")
    for round_ in range(3):
        crew.offer({"one": round_})
        assert crew.wait(SECONDS)
    assert done == [0, 1, 2]
    assert all(not thread.name.startswith("crew-that-ends") for thread in threading.enumerate() if thread.is_alive())


class Held:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = threading.Event()
        self.at_work = threading.Semaphore(0)

    def __call__(self, item: str) -> None:
        self.begun.append(item)
        self.at_work.release()
        self.go.wait(SECONDS)


def test_what_is_in_hand_is_not_begun_again_and_the_list_is_replaced() -> None:
    held = Held()
    crew = Crew(2, held, name="test")
    crew.offer({key: key for key in "abcd"})
    assert held.at_work.acquire(timeout=SECONDS)
    assert held.at_work.acquire(timeout=SECONDS)
    assert not crew.has_room()
    crew.offer({key: key for key in "abe"})
    assert crew.has_room()
    held.go.set()
    assert crew.wait(SECONDS)
    assert sorted(held.begun) == ["a", "b", "e"]


def test_a_closed_crew_finishes_what_is_in_hand_and_begins_nothing() -> None:
    held = Held()
    crew = Crew(1, held, name="test")
    crew.offer({"a": "a", "b": "b"})
    assert held.at_work.acquire(timeout=SECONDS)
    assert not crew.close(0.0)
    crew.offer({"c": "c"})
    assert not crew.has_room()
    held.go.set()
    assert crew.wait(SECONDS)
    assert held.begun == ["a"]


def test_what_is_added_comes_behind_what_is_there_and_room_is_what_no_thread_is_busy_with() -> None:
    held = Held()
    crew = Crew(3, held, name="test")
    assert crew.wait_for_room(0) == 3
    crew.add({"a": "a"})
    crew.add({"b": "b", "c": "c", "d": "d"})
    assert crew.wait_for_room(0.01) == 0
    held.go.set()
    assert crew.wait_for_room(SECONDS) >= 1
    assert crew.wait(SECONDS)
    assert sorted(held.begun) == ["a", "b", "c", "d"]
    assert crew.wait_for_room(0) == 3


def test_a_closed_crew_has_no_room_and_keeps_nobody_waiting() -> None:
    held = Held()
    crew = Crew(1, held, name="test")
    crew.add({"a": "a"})
    assert held.at_work.acquire(timeout=SECONDS)
    found: list[int] = []
    waiter = threading.Thread(target=lambda: found.append(crew.wait_for_room(SECONDS)))
    waiter.start()
    crew.close(0.0)
    waiter.join(SECONDS)
    crew.add({"b": "b"})
    held.go.set()
    assert crew.wait(SECONDS)
    assert (found, held.begun) == ([0], ["a"])
