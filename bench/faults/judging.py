"""What is held against every scenario, whatever its bar: the history, the store, and what clients were told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench.faults.books import Books
from bench.faults.checker import Verdict, check
from bench.faults.history import History, read_history, write_history
from bench.faults.load import Load, Sample
from bench.faults.stored import Stored
from bench.faults.violations import Violation
from bench.faults.world import World
from storage.objects.local import LocalObjectStore
from storage.objects.port import ObjectStore
from storage.objects.signing import SignedUrls

#: what a fault of these kinds took from a worker explains a loss
HURTS = ("kill", "freeze")
HISTORY = "history.jsonl.gz"


def judge(world: World, out: Path) -> Verdict:
    """Read the history of the world's stack, keep it in a file, and hold it to every rule."""
    history = read_history(world.stack.state.database_url)
    write_history(history, out / HISTORY)
    load = world.load
    seen = [*load.samples, *everything_told(world)]
    verdict = check(
        history,
        acknowledged=promises(world),
        attempted=None if world.strangers_welcome else {sent.key for sent in load.requests},
        erased=world.erased,
        kills=[injection for injection in world.injected if injection.kind in HURTS],
        objects=Stored(world.store or _local_store(world)),
        samples=seen,
        expected_rows=_expected_rows(load, history),
        cut_short=world.cut_short,
    )
    return replace(verdict, violations=[*verdict.violations, *misread(load, world.books)])


def promises(world: World) -> Mapping[str, set[str]]:
    """By key: what was acknowledged, by the load or told by the scenario."""
    return {**world.load.acknowledged, **{f"told {job_id}": {job_id} for job_id in world.promised}}


def everything_told(world: World) -> Iterator[Sample]:
    """Every job document that the API lists now."""
    with world.stack.client() as client:
        cursor: str | None = None
        while True:
            asked = time.time()
            page = client.get("/v1/jobs", params={"limit": 100, **({"cursor": cursor} if cursor else {})})
            document = page.raise_for_status().json()
            now = time.time()
            for job in document["jobs"]:
                yield Sample(asked, now, job["id"], job["run"], job["state"], job["terminal"], job["progress"])
            cursor = document["next_cursor"]
            if cursor is None:
                return


def misread(load: Load, books: Books) -> Iterator[Violation]:
    """A result that is another picture's: the number read is not the number drawn."""
    drawn = load.number_of()
    rows = books.patient(
        "SELECT id::text, summary -> 'numbers' FROM jobs WHERE pipeline = 'barcode' AND state = 'succeeded'"
    )
    for job_id, read in rows:
        if job_id in drawn and read != [drawn[job_id]]:
            yield Violation("answer.wrong", f"{drawn[job_id]} was drawn, {read} was read", job_id)


def _expected_rows(load: Load, history: History) -> Mapping[str, int]:
    rows = {key: order.rows for key, order in load.orders.items() if order.rows is not None}
    return {
        job_id: rows[key]
        for key, ids in load.acknowledged.items()
        if key in rows
        for job_id in ids
        if job_id in history.jobs
    }


def _local_store(world: World) -> ObjectStore:
    # only read from here, so that what signs its URLs does not matter
    return LocalObjectStore(world.stack.home.objects, SignedUrls(b"never used to sign" * 2, world.stack.api_url))
