"""Clients of the stack: submit at a rate through every web, send again what was not taken, look at documents."""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import httpx2

from bench.embedded import EmbeddedStack
from bench.faults import barcode

#: a client that was refused comes back after so long; shorter than what the server asks for, to be a nuisance
AGAIN_SECONDS = 1.0
ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and its answer; ``status`` 0 when there was none."""

    key: str
    number: int
    web: int
    sent_at: float
    answered_at: float
    status: int
    job_id: str | None = None
    code: str | None = None

    @property
    def took_seconds(self) -> float:
        """From the first byte to the answer, as the client sees it."""
        return self.answered_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Sample:
    """A job document as a poller saw it; ``at``: when the answer had come."""

    asked_at: float
    at: float
    job_id: str
    run: int
    state: str
    terminal: bool
    progress: float


@dataclass(frozen=True, slots=True)
class Order:
    """What is submitted: the bytes are made from the number."""

    pipeline: str = "barcode"
    params: Mapping[str, Any] = field(default_factory=dict)
    media: Callable[[int], bytes] = barcode.still
    filename: str = "still.png"
    #: how many rows the result must have; None: that is not looked at
    rows: int | None = 1
    #: further fields of the form, such as webhook_url
    fields: Mapping[str, str] = field(default_factory=dict)


def clip_order(seconds: int, **params: Any) -> Order:
    """A clip of so many seconds, of which every frame is read; a number is encoded once, however often it is sent."""
    every_frame = {"sampler": {"policy": "stride", "stride": 1}}
    return Order("barcode", {**every_frame, **params}, partial(_clip, seconds), "clip.mp4", seconds * barcode.RATE)


@lru_cache(64)
def _clip(seconds: int, number: int) -> bytes:
    return barcode.clip(number, seconds)


class Load:
    """Threads of its own; ``stop`` ends them. Requests and samples are kept as they come."""

    def __init__(self, stack: EmbeddedStack, *, prefix: str = "load", threads: int = 8, pollers: int = 2) -> None:
        """``prefix`` begins every idempotency key."""
        self._stack = stack
        self._prefix = prefix
        self._threads = threads
        self._pollers = pollers
        self._webs = len(stack.state.api_urls)
        self._numbers = iter(range(1, 2**31))
        self._due: queue.SimpleQueue[tuple[int, Order] | None] = queue.SimpleQueue()
        self._open: set[int] = set()
        self._lock = threading.Lock()
        self._giving_up = threading.Event()
        self._pacing_over = threading.Event()
        self._running: list[threading.Thread] = []
        self.requests: list[Sent] = []
        #: what was submitted under each key
        self.orders: dict[str, Order] = {}
        self.samples: list[Sample] = []
        self.errors: list[BaseException] = []

    def start(self, per_second: float, *orders: Order) -> None:
        """Submit at this rate until ``stop``, the orders in turn."""
        chosen = orders or (Order(),)
        self._pacing_over.clear()
        self._begin(lambda: self._pace(per_second, chosen), "pace")
        for turn in range(self._threads):
            self._begin(lambda turn=turn: self._send_all(turn), f"sender-{turn}")
        for turn in range(self._pollers):
            self._begin(lambda turn=turn: self._poll(turn), f"poller-{turn}")

    def stop(self, *, patience_seconds: float = 60.0) -> None:
        """Submit no more; go on sending what was not acknowledged yet for so long.

        Raises: AssertionError when a thread failed, or a request was never taken.
        """
        self._pacing_over.set()
        deadline = time.monotonic() + patience_seconds
        while self.open and not self.errors and time.monotonic() < deadline:
            time.sleep(0.05)
        left = self.open
        self.abandon()
        if self.errors:
            raise AssertionError(f"the load itself failed: {self.errors[0]!r}") from self.errors[0]
        assert not left, f"{left} requests were not taken within {patience_seconds:.0f} s after the load ended"

    def abandon(self) -> None:
        """End every thread now."""
        self._pacing_over.set()
        self._giving_up.set()
        for _ in range(self._threads):
            self._due.put(None)
        for thread in self._running:
            thread.join(ANSWER_SECONDS + 5)
        self._running.clear()
        self._giving_up.clear()
        self._due = queue.SimpleQueue()

    def burst(self, count: int, order: Order | None = None, *, threads: int = 8) -> list[Sent]:
        """Submit so many as fast as they are taken, each once; return the answers."""
        chosen = order or Order()
        numbers = [self._next() for _ in range(count)]
        with ExitStack() as clients, ThreadPoolExecutor(threads) as pool:
            opened = [clients.enter_context(self._stack.client(web, ANSWER_SECONDS)) for web in range(self._webs)]
            return list(pool.map(lambda number: self._submit(opened, number, chosen), numbers))

    @property
    def open(self) -> int:
        """How many submissions were begun and not acknowledged yet."""
        with self._lock:
            return len(self._open)

    @property
    def acknowledged(self) -> Mapping[str, set[str]]:
        """By key: the ids of the jobs that were acknowledged for it; more than one is a broken promise."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for sent in list(self.requests):
            if sent.job_id is not None:
                found[sent.key].add(sent.job_id)
        return found

    @property
    def job_ids(self) -> list[str]:
        """Every acknowledged job."""
        return sorted({job_id for ids in self.acknowledged.values() for job_id in ids})

    def between(self, since: float, until: float) -> list[Sent]:
        """The requests that were sent in a stretch of time, answered by now."""
        return [sent for sent in list(self.requests) if since <= sent.sent_at < until]

    def number_of(self) -> Mapping[str, int]:
        """By job id: the number that was drawn in what was submitted."""
        return {sent.job_id: sent.number for sent in list(self.requests) if sent.job_id is not None}

    def _begin(self, work: Callable[[], None], name: str) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - told by stop, in the thread of the scenario
                self.errors.append(error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._running.append(thread)
        thread.start()

    def _next(self) -> int:
        with self._lock:
            return next(self._numbers)

    def _pace(self, per_second: float, orders: Sequence[Order]) -> None:
        begun = time.monotonic()
        turn = 0
        while not self._pacing_over.wait(max(0.0, begun + turn / per_second - time.monotonic())):
            number = self._next()
            with self._lock:
                self._open.add(number)
            self._due.put((number, orders[turn % len(orders)]))
            turn += 1

    def _send_all(self, turn: int) -> None:
        with ExitStack() as clients:
            opened = [clients.enter_context(self._stack.client(web, ANSWER_SECONDS)) for web in range(self._webs)]
            while (due := self._due.get()) is not None:
                number, order = due
                sent = self._submit(opened, number, order)
                if sent.job_id is not None:
                    with self._lock:
                        self._open.discard(number)
                elif sent.status and sent.status != httpx2.codes.SERVICE_UNAVAILABLE:
                    raise AssertionError(f"a submission was answered with {sent.status} {sent.code}")
                elif not self._giving_up.wait(AGAIN_SECONDS):
                    self._due.put(due)

    def _submit(self, clients: Sequence[httpx2.Client], number: int, order: Order) -> Sent:
        """POST one; again under the same key, the next web is asked."""
        key = f"{self._prefix}-{number}"
        with self._lock:
            self.orders[key] = order
            web = (number + len(self.requests)) % len(clients)
        form = {"pipeline": order.pipeline, "params": json.dumps(dict(order.params)), **order.fields}
        files = {"file": (order.filename, order.media(number))}
        status, job_id, code, sent_at = 0, None, None, time.time()
        try:
            answer = clients[web].post("/v1/jobs", data=form, files=files, headers={"Idempotency-Key": key})
            status = answer.status_code
            body = answer.json()
            job_id, code = (body["id"], None) if status == httpx2.codes.ACCEPTED else (None, body.get("code"))
        except (httpx2.TransportError, ValueError) as error:
            code = type(error).__name__
        sent = Sent(key, number, web, sent_at, time.time(), status, job_id, code)
        self.requests.append(sent)
        return sent

    def _poll(self, turn: int) -> None:
        """Look at jobs by chance, at those of late more often; about twenty documents a second."""
        chance = random.Random(f"{self._prefix}-{turn}")
        with self._stack.client(turn % self._webs, ANSWER_SECONDS) as client:
            while not self._giving_up.wait(0.1):
                taken = [sent.job_id for sent in self.requests[-400:] if sent.job_id is not None]
                if taken:
                    self._look(client, chance.choice(taken))

    def _look(self, client: httpx2.Client, job_id: str) -> None:
        asked_at = time.time()
        try:
            answer = client.get(f"/v1/jobs/{job_id}")
            body = answer.json()
        except (httpx2.TransportError, ValueError):
            return
        if answer.status_code == httpx2.codes.OK:
            seen = (body["run"], body["state"], body["terminal"], body["progress"])
            self.samples.append(Sample(asked_at, time.time(), job_id, *seen))
        elif answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
            raise AssertionError(f"job {job_id}, acknowledged, is answered with {answer.status_code}")
