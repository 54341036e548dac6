"""What was erased leaves a worker's disk: at once, at the end of its use, or at the end of its way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.erasures import Told
from storage.errors import DatabaseUnavailable
from storage.job import InputRef
from storage.objects.port import StoredObject, Tick, no_tick
from tests.fakes.memory_store import MemoryObjectStore
from workers.forgetting import Forgetting
from workers.scratch import IDLE_SECONDS, Scratch

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Slow(MemoryObjectStore):
    """A store that, once told to, waits in the middle of a fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def fetch(self, key: str, path: Path, *, tick: Tick = no_tick) -> StoredObject:
        self.begun.set()
        assert self.go_on.wait(10)
        return super().fetch(key, path, tick=tick)


class Clock:
    """Seconds in the test's hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Bed:
    """A scratch folder and its store."""

    def __init__(self, scratch: Scratch, store: Slow, clock: Clock) -> None:
        self.scratch = scratch
        self.store = store
        self.clock = clock

    def put(self, key: str) -> InputRef:
        stored = self.store.put(key, key.encode())
        return InputRef(key=key, size_bytes=stored.size_bytes, etag=stored.etag)

    def used(self, key: str) -> InputRef:
        source = self.put(key)
        with self.scratch.input(source):
            return source

    def on_disk(self) -> set[str]:
        return {path.read_text() for path in self.scratch.folder.iterdir() if path.name != "lock"}


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    store, clock = Slow(), Clock()
    with Scratch(tmp_path, "me", store, max_bytes=10_000, clock=clock) as scratch:
        yield Bed(scratch, store, clock)


def test_a_copy_that_nobody_uses_goes_at_once_and_others_stay(bed: Bed) -> None:
    bed.used("erased")
    bed.used("kept")
    bed.scratch.forget(["erased", "never seen"])
    assert bed.on_disk() == {"kept"}


def test_a_copy_in_use_goes_when_its_last_user_lets_go(bed: Bed) -> None:
    source = bed.put("erased")
    with bed.scratch.input(source) as (path, _):
        bed.scratch.forget(["erased"])
        with bed.scratch.input(source) as (same, _):
            assert same == path
        assert path.read_text() == "erased"
    assert bed.on_disk() == set()


def test_a_copy_that_was_on_its_way_when_it_was_erased_is_not_kept(bed: Bed) -> None:
    for number, forget in enumerate([lambda key: bed.scratch.forget([key]), lambda _: bed.scratch.forget_all()]):
        key = f"erased {number}"
        source = bed.put(key)
        bed.store.begun.clear()
        bed.store.go_on.clear()
        used = threading.Event()

        def use(source: InputRef = source, used: threading.Event = used) -> None:
            with bed.scratch.input(source) as (path, _):
                used.set()
                assert path.exists()

        fetching = threading.Thread(target=use)
        fetching.start()
        assert bed.store.begun.wait(10)
        forget(key)
        bed.store.go_on.set()
        fetching.join(10)
        assert used.is_set()
        assert bed.on_disk() == set()


def test_everything_can_be_forgotten_and_fetched_again(bed: Bed) -> None:
    source = bed.used("one")
    bed.scratch.forget_all()
    assert bed.on_disk() == set()
    with bed.scratch.input(source) as (path, _):
        assert path.read_text() == "one"
    assert bed.on_disk() == {"one"}


def test_what_nobody_has_used_for_an_hour_goes_with_the_next_look(bed: Bed) -> None:
    source = bed.used("old")
    bed.clock.now = IDLE_SECONDS - 1
    bed.used("young")
    bed.scratch.forget([])
    assert bed.on_disk() == {"old", "young"}
    bed.clock.now = IDLE_SECONDS + 1
    bed.scratch.forget([])
    assert bed.on_disk() == {"young"}
    with bed.scratch.input(source):
        bed.clock.now = 10 * IDLE_SECONDS
        bed.scratch.forget([])
        assert bed.on_disk() == {"old"}


class Scripted:
    """Answers from a list, and keeps the questions."""

    def __init__(self, *answers: Told | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[datetime | None] = []

    def since(self, after: datetime | None) -> Told:
        self.asked.append(after)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_each_question_goes_on_where_the_last_answer_ended_and_an_outage_skips_nothing(bed: Bed) -> None:
    later = NOW + timedelta(seconds=5)
    erased = Scripted(
        Told([], NOW, everything=True), DatabaseUnavailable("away"), Told(["one"], later), Told([], later)
    )
    forgetting = Forgetting(erased, bed.scratch)
    forgetting()
    bed.used("one")
    bed.used("two")
    with pytest.raises(DatabaseUnavailable):
        forgetting()
    forgetting()
    forgetting()
    assert erased.asked == [None, NOW, NOW, later]
    assert bed.on_disk() == {"two"}


def test_whoever_missed_too_much_forgets_everything(bed: Bed) -> None:
    bed.used("one")
    Forgetting(Scripted(Told([], NOW, everything=True)), bed.scratch)()
    assert bed.on_disk() == set()
