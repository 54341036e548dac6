"""Clients that ask at a fixed rate whatever they are answered, each once: what an outage looks like from outside."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING

import httpx2

from bench.faults.load import Order, Sent

if TYPE_CHECKING:
    from bench.faults.world import World

#: a client that has waited so long is told as one without an answer
ANSWER_SECONDS = 30.0
#: so many answers may be waited for at once, for each request a second
PATIENCE_SECONDS = 6.0

_runs = count(1)


class Paced:
    """Submits in the background while the block runs; waits for every answer at its end."""

    def __init__(self, world: World, per_second: float, order: Order | None = None) -> None:
        """What is acknowledged counts as the world's load does."""
        self._world = world
        self._per_second = per_second
        self._order = order or Order()
        self._prefix = f"paced-{next(_runs)}"
        self._over = threading.Event()
        self._exits = ExitStack()
        self._pool = ThreadPoolExecutor(max(8, round(per_second * PATIENCE_SECONDS)), thread_name_prefix="paced")
        self._futures: list[Future[Sent]] = []
        self._thread = threading.Thread(target=self._run, name="paced", daemon=True)

    def __enter__(self) -> Paced:
        webs = range(len(self._world.stack.state.api_urls))
        self._clients = [self._exits.enter_context(_client(self._world, web)) for web in webs]
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> list[Sent]:
        """Ask no more, and return what was answered to each."""
        self._over.set()
        self._thread.join()
        sent = [future.result() for future in self._futures]
        self._pool.shutdown()
        self._exits.close()
        return sent

    @property
    def sent(self) -> list[Sent]:
        """Those that were answered by now."""
        return [future.result() for future in list(self._futures) if future.done()]

    def _run(self) -> None:
        begun = time.monotonic()
        for turn in count():
            if self._over.wait(max(0.0, begun + turn / self._per_second - time.monotonic())):
                return
            self._futures.append(self._pool.submit(self._submit, turn))

    def _submit(self, turn: int) -> Sent:
        number, web = 1_000_000 + turn, turn % len(self._clients)
        order = self._order
        key = f"{self._prefix}-{turn}"
        body = {"pipeline": order.pipeline, "params": json.dumps(dict(order.params))}
        files = {"file": (order.filename, order.media(number))}
        status, job_id, code, begun, since = 0, None, None, time.time(), time.monotonic()
        try:
            answer = self._clients[web].post("/v1/jobs", data=body, files=files, headers={"Idempotency-Key": key})
            status = answer.status_code
            told = answer.json()
            job_id, code = (told["id"], None) if status == httpx2.codes.ACCEPTED else (None, told.get("code"))
        except (httpx2.TransportError, ValueError) as error:
            code = type(error).__name__
        sent = Sent(key, number, web, begun, begun + time.monotonic() - since, status, job_id, code)
        self._world.load.requests.append(sent)
        return sent


def answers(sent: Sequence[Sent]) -> Mapping[str, int]:
    """How often each answer came: ``{"202": 10, "503 storage.unavailable": 3}``."""
    return dict(Counter(f"{one.status} {one.code}" if one.code else str(one.status) for one in sent))


def slowest(sent: Sequence[Sent]) -> float:
    """Seconds of the slowest answer."""
    return round(max((one.took_seconds for one in sent), default=0.0), 2)


def _client(world: World, web: int) -> httpx2.Client:
    state = world.stack.state
    return httpx2.Client(
        base_url=state.api_urls[web],
        headers={"Authorization": f"Bearer {state.api_key}"},
        timeout=ANSWER_SECONDS,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=50),
        trust_env=False,
    )
