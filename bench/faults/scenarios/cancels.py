"""Cancel at any moment: the answer is final, and what runs stops."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx2

from bench.faults.load import Order, clip_order
from bench.faults.scenario import Outcome
from workers.heartbeat import INTERVAL_SECONDS

if TYPE_CHECKING:
    from bench.faults.world import World

CANCELS = 1000
PER_SECOND = 20.0
#: a cancel comes at most so long after the job
LATEST_SECONDS = 6.0
BATCH = 8
FRAME_SECONDS = 0.1
#: of each so many jobs one is a film of so many seconds of work, the others are pictures
FILM_EVERY = 20
FILM_SECONDS = 10
THREADS = 16


@dataclass(frozen=True, slots=True)
class Canceled:
    """One cancel and what was answered."""

    job_id: str
    status: int
    state: str


class Cancels:
    """Pictures and films stream in; each is canceled at a moment of chance, some before anybody has looked at them."""

    name = "cancels"
    fault = f"{CANCELS:,} jobs, pictures and films, are each canceled at a random moment of their first seconds."
    bar = (
        "Each has one end and the API says the same as the answer to the cancel; what runs stops within one heartbeat "
        "and one batch."
    )

    def run(self, world: World) -> Outcome:
        """See the protocol."""
        world.start(settings={"FQ_BATCH_SIZE": str(BATCH)})
        still = Order(params={"frame_seconds": FRAME_SECONDS})
        film = clip_order(FILM_SECONDS, frame_seconds=FRAME_SECONDS)
        world.load.start(PER_SECOND, film, *[still] * (FILM_EVERY - 1))
        canceled = _cancel_all(world, world.size(CANCELS, least=50))
        world.load.stop()
        world.settle()
        stops = sorted(_stops(world, {one.job_id for one in canceled}))
        figures = {
            "cancels": len(canceled),
            "answers": dict(Counter(f"{one.status} {one.state}" for one in canceled)),
            "the API disagrees": _disagreements(world, canceled),
            "more or less than one end": _ends_other_than_one(world),
            "films stopped midway": len(stops),
            "slowest stop (s)": round(max(stops, default=0.0), 2),
        }
        faults = _faults(figures)
        return Outcome(not faults, figures, "; ".join(faults))


def _cancel_all(world: World, wanted: int) -> list[Canceled]:
    """Cancel jobs of the load as they are acknowledged, each after a delay by chance."""
    futures: list[Future[Canceled]] = []
    with ExitStack() as exits:
        webs = range(len(world.stack.state.api_urls))
        clients = [exits.enter_context(world.stack.client(web)) for web in webs]
        pool = exits.enter_context(ThreadPoolExecutor(THREADS))
        due: list[tuple[float, str]] = []
        for job_id in _acknowledged(world):
            now = time.time()
            if job_id is not None:
                due.append((now + world.rng.uniform(0.0, LATEST_SECONDS), job_id))
            for at, one in [entry for entry in due if entry[0] <= now]:
                due.remove((at, one))
                futures.append(pool.submit(_cancel, clients[len(futures) % len(clients)], one))
            if len(futures) >= wanted:
                break
        return [future.result() for future in futures]


def _acknowledged(world: World) -> Iterator[str | None]:
    """Every acknowledged job once, as it comes; None in between, so that the time goes on."""
    seen = 0
    while True:
        for sent in world.load.requests[seen:]:
            seen += 1
            if sent.job_id is not None:
                yield sent.job_id
        yield None
        time.sleep(0.01)


def _cancel(client: httpx2.Client, job_id: str) -> Canceled:
    answer = client.post(f"/v1/jobs/{job_id}/cancel")
    return Canceled(job_id, answer.status_code, str(answer.json().get("state")))


def _disagreements(world: World, canceled: list[Canceled]) -> int:
    """How many jobs the API shows now in another state than it answered."""
    with world.stack.client() as client:
        states = {one.job_id: client.get(f"/v1/jobs/{one.job_id}").json()["state"] for one in canceled}
    return sum(states[one.job_id] != one.state for one in canceled)


def _ends_other_than_one(world: World) -> int:
    """How many runs of jobs have not exactly one end in the history."""
    sql = (
        "SELECT count(*) FROM (SELECT FROM job_events GROUP BY job_id, run"
        " HAVING count(*) FILTER (WHERE kind IN ('succeeded', 'failed', 'dead', 'canceled')) <> 1) AS wrong"
    )
    return int(world.books.ask(sql)[0][0])


def _stops(world: World, job_ids: set[str]) -> Iterator[float]:
    """For each claim of a film that was in hand at the cancel: how long until the worker let go of it."""
    sql = (
        "SELECT e.job_id::text, extract(epoch FROM e.at)::float FROM job_events e JOIN jobs j ON j.id = e.job_id"
        " WHERE e.kind = 'canceled' AND j.size_class = 'long'"
    )
    at = {job_id: moment for job_id, moment in world.books.ask(sql) if job_id in job_ids}
    taken: dict[tuple[str, str], float] = {}
    for line in _worker_lines(world):
        claim, moment = str(line.get("claim")), datetime.fromisoformat(line["timestamp"]).timestamp()
        for job_id in line.get("jobs") or [line.get("job_id")]:
            if line["event"] == "segment.claimed":
                taken[claim, job_id] = moment
            elif job_id in at and taken.get((claim, job_id), moment) < at[job_id] < moment:
                del taken[claim, job_id]
                yield moment - at[job_id]


def _worker_lines(world: World) -> Iterator[Mapping[str, Any]]:
    """What workers logged of claims and segments, in order of time in each."""
    for part in world.stack.replicas("worker"):
        for text in world.stack.log(part).splitlines():
            if '"event": "segment.' in text or '"event": "claim.lost' in text:
                yield json.loads(text[text.index("{") :])


def _faults(told: Mapping[str, Any]) -> list[str]:
    limit = INTERVAL_SECONDS + BATCH * FRAME_SECONDS
    wrong = {
        "a cancel was not answered 200 with an end": not set(told["answers"]) <= {"200 canceled", "200 succeeded"},
        "hardly a job was canceled": told["answers"].get("200 canceled", 0) < told["cancels"] // 4,
        "the API disagrees with its answers": told["the API disagrees"] > 0,
        "a job has not exactly one end": told["more or less than one end"] > 0,
        "no film was stopped midway": told["films stopped midway"] == 0,
        f"a film went on for more than {limit:g} s": told["slowest stop (s)"] > limit,
    }
    return [fault for fault, is_so in wrong.items() if is_so]


SCENARIOS = (Cancels(),)
