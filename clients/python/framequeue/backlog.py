"""Putting a backlog into the queue: begun, stopped and begun again as often as it takes, each item once.

The batch on the server knows which items it has; here only the batch's id is remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from framequeue.batches import ITEMS_PER_REQUEST, Batch
from framequeue.client import Client
from framequeue.errors import ConfigurationError, FramequeueError, NotFoundError
from framequeue.manifest import BadLine, Entry, Source
from framequeue.uploads import cache_folder

#: pause between two looks at a batch that is as full as it may be
FULL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What all items of a backlog share."""

    defaults: Mapping[str, Any]
    name: str
    #: at most so many unfinished items in the queue; None: all at once
    max_queue: int | None = None
    #: files sent at the same time
    concurrency: int = 4


@dataclass(slots=True)
class Tally:
    """How far an enqueue is."""

    #: items seen in the source so far
    seen: int = 0
    #: of those, in the batch before this start
    known: int = 0
    added: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """One thing that happened: a count that moved, or an item that was refused."""

    tally: Tally
    refused: str | None = None
    error: Exception | None = field(default=None)


class Backlog:
    """One enqueue of one source into one batch."""

    def __init__(self, client: Client, terms: Terms, journal: Journal) -> None:
        self._client = client
        self._terms = terms
        self._journal = journal
        self.tally = Tally()

    def open_batch(self, *, resume: bool) -> Batch:
        """Return the batch to fill: that of the start before, or a new one.

        Raises: ConfigurationError when an earlier start was not brought to its end and ``resume`` is not set; APIError.
        """
        known = self._journal.read()
        if known is not None and not resume:
            raise ConfigurationError(
                f"an earlier start of this backlog was interrupted (batch {known})",
                code="backlog.interrupted",
                advice="add --resume to go on with it, or --fresh to begin anew",
            )
        if known is not None:
            try:
                batch = self._client.batches.get(known)
            except NotFoundError:
                batch = None
            if batch is not None and batch.state != "canceled":
                return batch
        terms = self._terms
        made = self._client.batches.create(
            name=terms.name, defaults=terms.defaults, max_queue=terms.max_queue, leave_open=True
        )
        self._journal.write(made.id)
        return made

    def fill(self, batch: Batch, source: Source) -> Iterator[News]:
        """Bring every item of the source into the batch that is not there yet, then close it.

        Closing the iterator stops after what is under way. Raises: APIError when the API refuses the batch itself.
        """
        if batch.state != "open":  # only its end was missed
            self._journal.forget()
            return
        there = {
            str(item.get("key"))
            for item in self._client.batches.items(batch.id)
            if item.get("state") != "rejected"  # may be better now
        }
        with Senders(self._client, batch, self._terms) as senders:
            yield from self._feed(batch, source, there, senders)
            yield from self._heard(senders.drain())
        self._client.batches.close(batch.id)
        self._journal.forget()
        yield News(self.tally)

    def _feed(self, batch: Batch, source: Source, there: set[str], senders: Senders) -> Iterator[News]:
        remote: list[dict[str, Any]] = []
        for found in source():
            self.tally.seen += 1
            if isinstance(found, BadLine):
                self.tally.refused += 1
                yield News(self.tally, f"line {found.number} {found.reason}")
                continue
            if found.key in there:
                self.tally.known += 1
            elif found.path is not None:
                senders.offer(found)
            else:
                remote.append({**found.members, "key": found.key})
            if len(remote) >= ITEMS_PER_REQUEST:
                yield self._add(batch, remote)
            yield from self._heard(senders.heard())
        if remote:
            yield self._add(batch, remote)

    def _add(self, batch: Batch, remote: list[dict[str, Any]]) -> News:
        self._client.batches.add(batch.id, remote)
        self.tally.added += len(remote)
        remote.clear()
        return News(self.tally)

    def _heard(self, said: Iterator[tuple[Entry, Exception | None]]) -> Iterator[News]:
        for entry, error in said:
            if error is None:
                self.tally.added += 1
                yield News(self.tally)
            else:
                self.tally.refused += 1
                yield News(self.tally, entry.key, error)


class Senders:
    """Threads that send files as jobs of the batch, held back while it is as full as it may be."""

    def __init__(self, client: Client, batch: Batch, terms: Terms) -> None:
        self._client = client
        self._batch_id = batch.id
        self._terms = terms
        self._gate = Gate(lambda: client.batches.get(batch.id).unfinished, terms.max_queue)
        self._todo: queue.Queue[Entry | None] = queue.Queue(maxsize=2 * terms.concurrency)
        self._said: queue.SimpleQueue[tuple[Entry, Exception | None]] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(terms.concurrency)]

    def __enter__(self) -> Senders:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the threads end after what they have in hand."""
        self._gate.close()

    def offer(self, entry: Entry) -> None:
        """Hand over a file; waits while enough are on their way."""
        self._todo.put(entry)

    def heard(self) -> Iterator[tuple[Entry, Exception | None]]:
        """Yield what has been said so far: each file with the error that kept it out, or None."""
        while not self._said.empty():
            yield self._said.get()

    def drain(self) -> Iterator[tuple[Entry, Exception | None]]:
        """Yield the rest, until all that was handed over has been said."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.1)
                yield from self.heard()
        yield from self.heard()

    def _run(self) -> None:
        while (entry := self._todo.get()) is not None:
            if not self._gate.enter():
                continue
            error: Exception | None = None
            try:
                self._send(entry)
            except Exception as refused:  # noqa: BLE001 - carried to the one who asked
                error = refused
            self._said.put((entry, error))

    def _send(self, entry: Entry) -> None:
        order = {**self._terms.defaults, **entry.members}
        name = hashlib.sha256(f"{self._batch_id}\n{entry.key}".encode()).hexdigest()[:40]
        self._client.submit(
            entry.path or b"", **order, batch=(self._batch_id, entry.key), idempotency_key=f"backlog-{name}"
        )


class Gate:
    """Lets through as many as the batch has room for; asks how full it is only when that many went through."""

    def __init__(
        self, unfinished: Callable[[], int], limit: int | None, *, pause_seconds: float = FULL_SECONDS
    ) -> None:
        self._unfinished = unfinished
        self._limit = limit
        self._pause = pause_seconds
        self._room = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def enter(self) -> bool:
        """Wait for room; False once the gate is closed."""
        if self._limit is None:
            return not self._closed.is_set()
        with self._lock:  # the others wait here for the one who looks
            while self._room <= 0 and not self._closed.is_set():
                self._room = self._look()
                if self._room <= 0:
                    self._closed.wait(self._pause)
            self._room -= 1
        return not self._closed.is_set()

    def close(self) -> None:
        """Let nothing more through."""
        self._closed.set()

    def _look(self) -> int:
        try:
            return (self._limit or 0) - self._unfinished()
        except FramequeueError:
            return 0  # away for the moment: held back as if it were full


class Journal:
    """Which batch an unfinished enqueue fills: one small file in the user's cache."""

    def __init__(self, base_url: str, source: str, terms: Terms, folder: Path | None = None) -> None:
        place = source if "://" in source else os.fspath(Path(source).resolve())
        identity = [base_url, place, terms.name, dict(terms.defaults)]
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        self._path = (folder or cache_folder() / "framequeue" / "backlogs") / f"{name}.json"

    def read(self) -> str | None:
        """Return the id of the batch, if an enqueue was not brought to its end."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return str(found["batch_id"]) if isinstance(found, dict) and "batch_id" in found else None

    def write(self, batch_id: str) -> None:
        """Remember it. Raises: ConfigurationError: without it a second start could not go on."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = self._path.with_suffix(f".{os.getpid()}.part")
            partial.write_text(json.dumps({"batch_id": batch_id}), encoding="utf-8")
            partial.replace(self._path)
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {error.strerror}", code="backlog.journal_unwritable") from error

    def forget(self) -> None:
        """The enqueue has come to its end."""
        self._path.unlink(missing_ok=True)
