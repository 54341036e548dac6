"""How fast the queue itself is: jobs a second through create, claim, plan and finish, on a durable PostgreSQL.

No media, no Redis, no HTTP: what is measured is the price of the guarantees. Each repetition uses fresh jobs.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.reach import service_folder
from storage.claims import Plan
from storage.database import Database
from storage.fleet import Fleet
from storage.ids import new_id
from storage.job import Claim, Done, InputRef, Rows, SegmentKind, SegmentPlan
from storage.jobs import JobStore
from storage.migrate import upgrade
from storage.new_job import NewJob
from storage.sql_claims import SqlClaims

JOBS = 256
REPETITIONS = 5
BATCH = 32
ROWS = Rows(count=1, size_bytes=2, sha256="0" * 64, inline=b"{}")


@contextmanager
def durable_database() -> Iterator[Database]:
    """A migrated database with fsync on, thrown away at the end."""
    with service_folder("bench") as folder:
        password = secrets.token_urlsafe(16)
        with EmbeddedPostgres(folder / "data", password=password, log_path=folder / "log", durable=True) as server:
            url = server.create_database("bench")
            upgrade(url)
            database = Database(url)
            try:
                yield database
            finally:
                database.close()


def measure() -> dict[str, Any]:
    """Return jobs a second of each step, as the median of the repetitions, and their spread."""
    with durable_database() as database:
        Fleet(database).register(
            "bench", host="bench", pid=1, lanes=["cpu"], size_classes=["short"], pipelines=["motion"], device={}
        )
        runs = [_one_round(database) for _ in range(REPETITIONS + 1)][1:]
    return {
        step: {
            "jobs_per_second": round(statistics.median(run[step] for run in runs), 1),
            "lowest": round(min(run[step] for run in runs), 1),
            "highest": round(max(run[step] for run in runs), 1),
        }
        for step in runs[0]
    }


def _one_round(database: Database) -> dict[str, float]:
    jobs, claims = JobStore(database), SqlClaims(database)
    rates = {}
    started = time.perf_counter()
    for _ in range(JOBS):
        jobs.create(_new_job())
    rates["create"] = JOBS / (time.perf_counter() - started)
    spent = {"claim": 0.0, "plan": 0.0, "finish": 0.0}
    finished = 0
    while finished < JOBS:
        finished += _one_claim(claims, spent)
    rates |= {step: JOBS / seconds for step, seconds in spent.items()}
    rates["claim, plan and finish"] = JOBS / sum(spent.values())
    rates["claim and finish"] = JOBS / (spent["claim"] + spent["finish"])
    return rates


def _one_claim(claims: SqlClaims, spent: dict[str, float]) -> int:
    started = time.perf_counter()
    claim = claims.claim("bench", lanes=["cpu"], size_classes=["short"], serves=[("motion", 1)], limit=BATCH)
    spent["claim"] += time.perf_counter() - started
    if claim is None:
        raise RuntimeError("the queue is empty before its jobs are done")
    started = time.perf_counter()
    _plan(claims, claim)
    spent["plan"] += time.perf_counter() - started
    started = time.perf_counter()
    accepted = claims.finish(claim, [Done(segment.id, ROWS, summary={"frames": 1}) for segment in claim.segments])
    spent["finish"] += time.perf_counter() - started
    if not all(accepted.values()):
        raise RuntimeError("a finish was refused")
    return len(accepted)


def _plan(claims: SqlClaims, claim: Claim) -> None:
    plan = Plan([SegmentPlan(cost_seconds=0.5)], {"kind": "image"})
    planned = claims.plan_all(
        claim, {segment.id: plan for segment in claim.segments if segment.kind is SegmentKind.PLAN}
    )
    if planned.lost:
        raise RuntimeError("a plan was refused")


def _new_job() -> NewJob:
    job_id = new_id()
    return NewJob(
        id=job_id,
        tenant="bench",
        pipeline="motion",
        spec_version=1,
        params={},
        batch_key="bench",
        lane="cpu",
        size_class="short",
        input=InputRef(key=f"inputs/{job_id}/source", size_bytes=1, etag="1"),
        fingerprint=job_id,
    )
