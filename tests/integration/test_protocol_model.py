"""A model check of the protocol: random operations, alone and truly at once, on real PostgreSQL.

After every step the rows must be what the plain model says for some order of what ran, and the history must keep every
rule of the checker. At the end the queue is worked empty: every job must come to its end.

``make test`` runs half a minute of it; CONTRIBUTING.md says how to run it for hours.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, FlakyStrategyDefinition
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from bench.faults.checker import Verdict, check
from bench.faults.history import read_snapshot
from storage.audit import SHELL
from storage.claims import Plan
from storage.database import Database
from storage.ids import new_id
from storage.job import (
    Bury,
    Claim,
    Done,
    Failed,
    Fault,
    GiveBack,
    InputRef,
    JobState,
    Outcome,
    Retry,
    Rows,
    SegmentPlan,
)
from storage.objects.keys import rows_key
from tests.fakes.sql_queue import SqlQueue
from tests.integration import protocol_deeds as deeds
from tests.integration.protocol_deeds import Deed, explain
from tests.integration.protocol_model import ENDED, Job, Model
from tests.integration.racing import wait_until_blocked
from tests.unit.faults.histories import Kill, Seen

#: how long, and from which seed on; a failure names the seed of its round
SECONDS = float(os.environ.get("PROTOCOL_MODEL_SECONDS", "20"))
SEED = int(os.environ.get("PROTOCOL_MODEL_SEED", "1"))
WORKERS = ("worker-a", "worker-b", "worker-c")
TENANTS = ("one", "other")
FAULT = Fault("device.failed", "it broke")
MOST_JOBS = 8
#: how long two operations are given to run into the lock that is held against them
STALL_SECONDS = 0.25
TABLES = "jobs, segments, job_events, workers, pauses, lanes, flows, webhook_events"
EVERYTHING = text(f"TRUNCATE {TABLES} CASCADE")
LOCKS = {
    "jobs": text("SELECT FROM jobs ORDER BY id FOR UPDATE"),
    "segments": text("SELECT FROM segments ORDER BY id FOR UPDATE"),
}
VIEW = text("""
    SELECT job_id::text, run, kind, index, state, solo, attempts, holdups, losses, claim_id::text, worker_id, id::text
    FROM segments
""")
JOBS = text("""
    SELECT id::text, run, state, attempts, segments_total, segments_left, frames,
        ARRAY(SELECT (gap ->> 'segment')::int FROM jsonb_array_elements(missing_ranges) AS gap) AS missing, progress
    FROM jobs
""")


def duel(first: str, second: str) -> Callable[..., None]:
    """A rule of two operations at once."""

    def fight(self: Protocol, data: st.DataObject) -> None:
        self.fight(data, first, second)

    fight.__name__ = f"{first}_against_{second}".replace(" ", "_")
    return rule(data=st.data())(fight)  # type: ignore[no-any-return]


class Protocol(RuleBasedStateMachine):
    """One queue, emptied; whatever is done to it is done to the model too."""

    queue: SqlQueue
    #: a psycopg2 connection for the checker alone
    reader: Any
    #: what was found, by all examples
    found: list[str]

    def __init__(self) -> None:
        super().__init__()
        with self.queue.database.transaction() as connection:
            connection.execute(EVERYTHING)
        self.model = Model()
        self.claims: list[Claim] = []
        self.acknowledged: dict[str, set[str]] = {}
        self.erased: set[str] = set()
        self.kills: list[Kill] = []
        self.samples: list[Seen] = []
        self.trace: list[str] = []
        self.focus: str | None = None
        self.broken = False
        for worker in WORKERS:
            self.queue.register(worker)
            self.model.register(worker)

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        for _ in range(3):
            self._do(self._submit(data))

    # rules: one operation, or several at once

    @precondition(lambda self: len(self.model.jobs) < MOST_JOBS)
    @rule(data=st.data(), count=st.integers(1, 3))
    def submit(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            self._do(self._submit(data))

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        self._do(self._claim(data))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def plan(self, data: st.DataObject) -> None:
        self._do(self._plan(data))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self._do(self._finish(data))

    @rule(data=st.data(), turns=st.integers(1, 5), parts=st.integers(1, 3))
    def work(self, data: st.DataObject, turns: int, parts: int) -> None:
        """Claim, plan and bring results, as a worker does on a good day."""
        for _ in range(turns):
            before = len(self.claims)
            self._do(self._claim(data))
            if len(self.claims) > before:
                self._carry_out(self.claims[-1], parts)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), what=st.sampled_from(["cancel", "replay", "replay", "erase", "attach"]))
    def say(self, data: st.DataObject, what: str) -> None:
        self._do(self._word(data, what))

    @rule(data=st.data(), what=st.sampled_from(["beat", "child", "host", "leave", "drain", "register", "register"]))
    def worker(self, data: st.DataObject, what: str) -> None:
        self._do(self._worker(data, what))

    @rule(data=st.data(), what=st.sampled_from(["wake", "expire", "pause", "resume", "resume"]))
    def keep_up(self, data: st.DataObject, what: str) -> None:
        self._do(self._upkeep(data, what))

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), several=st.sampled_from([2, 2, 2, 3]))
    def race(self, data: st.DataObject, several: int) -> None:
        """Several operations, on one job if it goes by us, at the same moment."""
        self._race(data, several, None)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), several=st.sampled_from([2, 2, 2, 3]), behind=st.sampled_from(["jobs", "jobs", "segments"]))
    def race_behind_a_lock(self, data: st.DataObject, several: int, behind: str) -> None:
        """The same, each of them begun before any can go on."""
        self._race(data, several, behind)

    finish_against_cancel = duel("finish", "cancel")
    finish_against_erase = duel("finish", "erase")
    finish_against_death = duel("finish", "child")
    finish_against_silence = duel("finish", "host")
    finish_against_itself = duel("finish", "finish")
    plan_against_silence = duel("plan", "host")
    late_finish_against_claim = duel("late finish", "claim")
    late_finish_against_cancel = duel("late finish", "cancel")
    late_finish_against_replay = duel("late finish", "replay")
    claim_against_itself = duel("claim", "claim")
    claim_against_death = duel("claim", "child")
    claim_against_cancel = duel("claim", "cancel")
    replay_against_itself = duel("replay", "replay")

    def fight(self, data: st.DataObject, first: str, second: str) -> None:
        """Two that meet in life, on one claim that is in somebody's hand; ``late``: after its worker was lost."""
        claim = self._held(data)
        if claim is None:
            return
        self.focus = claim.segments[0].job_id
        if first in ("late finish", "claim"):
            self._do(self._worker(data, "host", claim.worker_id))
            self._do(self._worker(data, "register", claim.worker_id))
        if second == "replay":
            self._do(self._word(data, "cancel"))
        self._hurry(self.focus)
        makers: dict[str, Callable[[], Deed]] = {
            "finish": lambda: self._finish(data, claim),
            "late finish": lambda: self._finish(data, claim),
            "plan": lambda: self._plan(data, claim),
            "claim": lambda: self._claim(data, claim.worker_id),
            "child": lambda: self._worker(data, "child", claim.worker_id),
            "host": lambda: self._worker(data, "host", claim.worker_id),
        }
        both = [makers[word]() if word in makers else self._word(data, word) for word in (first, second)]
        self._do(*both, stall=data.draw(st.sampled_from([None, None, "jobs"])))
        self.focus = None

    def _held(self, data: st.DataObject) -> Claim | None:
        """A claim that holds something: one there is, a fresh one, or one of a merge."""
        held = {one.claim for one in self.model.segments if one.state == "claimed"}
        known = [one for one in self.claims if one.id in held]
        if known and data.draw(st.booleans(), "known"):
            return data.draw(st.sampled_from(known), "held")
        worker = data.draw(st.sampled_from(WORKERS))
        before = len(self.claims)
        if not any(one.state == "ready" for one in self.model.segments):
            self._do(self._submit(data))
        self._do(self._worker(data, "register", worker))
        self._do(self._claim(data, worker))
        if len(self.claims) == before:
            return None
        parts = data.draw(st.sampled_from([1, 2, 0]), "parts")
        self._carry_out(self.claims[-1], parts, finish=False) if parts else None
        for _ in range(3 if parts == 2 else 0):
            if any(self._kind(segment.id) == "merge" for segment in self.claims[-1].segments):
                break
            self._carry_out(self.claims[-1], 1)
            self._hurry(self.claims[-1].segments[0].job_id)
            self._do(self._claim(data, worker))
        return self.claims[-1]

    def _race(self, data: st.DataObject, several: int, stall: str | None) -> None:
        self.focus = data.draw(st.sampled_from(sorted(self.model.jobs)), "about")
        chosen = [self._any(data) for _ in range(several)]
        self._do(*chosen, stall=stall)
        self.focus = None

    @invariant()
    def the_history_keeps_every_rule(self) -> None:
        verdict = self._judge(cut_short=True)
        assert verdict.held, self._told(str(verdict))

    def teardown(self) -> None:
        """Whatever has happened, the queue can be worked empty, and every job comes to its end."""
        if self.broken:  # what has been found is not to be hidden by what follows from it
            return
        self._work_empty()
        verdict = self._judge(cut_short=False)
        assert verdict.held, self._told(str(verdict))

    def _carry_out(self, claim: Claim, parts: int, *, finish: bool = True) -> None:
        plans = {segment.id: parts for segment in claim.segments if self._kind(segment.id) == "plan"}
        if plans:
            self._do(deeds.plan(self.queue, claim, plans))
        done = [self._done(claim, segment.id) for segment in claim.segments if self._kind(segment.id) != "plan"]
        if finish and done:
            self._do(deeds.finish(self.queue, claim, done))

    # operations, drawn

    def _any(self, data: st.DataObject) -> Deed:
        kinds: dict[str, Callable[[], Deed]] = {
            "claim": partial(self._claim, data),
            "submit": partial(self._submit, data),
            "worker": lambda: self._worker(
                data, data.draw(st.sampled_from(["beat", "child", "host", "leave", "drain"]))
            ),
            "word": lambda: self._word(data, data.draw(st.sampled_from(["cancel", "replay", "erase", "attach"]))),
            "upkeep": lambda: self._upkeep(data, data.draw(st.sampled_from(["wake", "expire", "pause", "resume"]))),
        }
        if self.claims:
            kinds |= {"plan": partial(self._plan, data), "finish": partial(self._finish, data)}
        chances = ["claim", "claim", "finish", "finish", "finish", "plan", "word", "word", "worker", "upkeep", "submit"]
        return kinds[data.draw(st.sampled_from([kind for kind in chances if kind in kinds]), "kind")]()

    def _submit(self, data: st.DataObject) -> Deed:
        tenant = data.draw(st.sampled_from(TENANTS))
        uploading, delayed, expired = (data.draw(st.sampled_from([False] * 5 + [True])) for _ in range(3))
        job = Job(
            id=new_id(), tenant=tenant, batch_key=data.draw(st.sampled_from(["alike", "alike", "unlike"])),
            size_class=data.draw(st.sampled_from(["short", "short", "long"])),
            max_attempts=data.draw(st.integers(1, 3)), allow_partial=data.draw(st.booleans()),
            state="uploading" if uploading else "queued", expired=expired, delayed=delayed,
            arrived=not uploading,
        )  # fmt: skip
        key = data.draw(st.sampled_from([None, None, f"{tenant} one", f"{tenant} two"]))
        fields: dict[str, Any] = {
            name: getattr(job, name) for name in ("tenant", "batch_key", "size_class", "max_attempts", "allow_partial")
        }
        fields |= {"params": {"stride": 0}, "state": JobState(job.state)}
        if uploading:
            fields["input"] = InputRef(source_url="https://example.org/clip.mp4")
        if delayed:
            fields["run_after"] = datetime.now(UTC) + timedelta(hours=1)
        if expired:
            fields["expires_at"] = datetime.now(UTC) - timedelta(hours=1)
        deed = deeds.submit(self.queue, job, key, fields)
        deed.remember = lambda answer: self.acknowledged.update({answer[0]: {answer[0]}})
        return deed

    def _claim(self, data: st.DataObject, worker: str | None = None) -> Deed:
        worker, limit = worker or data.draw(st.sampled_from(WORKERS)), data.draw(st.sampled_from([4, 1, 2, 3]))
        return deeds.claim(self.queue, worker, limit, lambda found: self.claims.append(found) if found else None)

    def _plan(self, data: st.DataObject, claim: Claim | None = None) -> Deed:
        claim = claim or self._some_claim(data)
        several = st.dictionaries(
            st.sampled_from([segment.id for segment in claim.segments]), st.integers(1, 3), min_size=1
        )
        return deeds.plan(self.queue, claim, data.draw(several, "parts"))

    def _finish(self, data: st.DataObject, claim: Claim | None = None) -> Deed:
        claim = claim or self._some_claim(data)
        ids = data.draw(st.lists(st.sampled_from([one.id for one in claim.segments]), min_size=1, unique=True))
        return deeds.finish(self.queue, claim, [self._outcome(data, claim, segment_id) for segment_id in ids])

    def _outcome(self, data: st.DataObject, claim: Claim, segment_id: str) -> Outcome:
        makers: list[Callable[[], Outcome]] = [
            lambda: Failed(segment_id, FAULT),
            lambda: Bury(segment_id, FAULT),
            lambda: GiveBack(segment_id),
            lambda: Retry(segment_id, FAULT, 0.0, charged=True, solo=True),
            lambda: Retry(segment_id, FAULT, 3600.0, charged=True),
            lambda: Retry(segment_id, FAULT, 3600.0, charged=False),
            lambda: Retry(segment_id, FAULT, 0.0, charged=False),
        ]
        if self._kind(segment_id) in ("infer", "merge"):
            makers += [partial(self._done, claim, segment_id)] * 7
        return data.draw(st.sampled_from(makers), "outcome")()

    def _word(self, data: st.DataObject, what: str) -> Deed:
        job_id = self._some_job(data)
        store = self.queue.store
        if what == "cancel":
            return deeds.simple(f"cancel {job_id[-4:]}", lambda: store.cancel(job_id)[1], lambda m: m.cancel(job_id))
        if what == "attach":
            source = InputRef(key=f"inputs/{job_id}/source", size_bytes=1, etag="e")
            call = partial(store.attach_input, job_id, source)
            return deeds.simple(f"attach {job_id[-4:]}", call, lambda model: model.attach(job_id))
        if what == "erase":
            deed = deeds.simple(
                f"erase {job_id[-4:]}", deeds.quiet(partial(store.erase, job_id)), lambda model: model.erase(job_id)
            )
            deed.remember = lambda answer: self.erased.add(job_id)
            return deed
        params = data.draw(st.sampled_from([None, None, 0, 1]), "params")
        changed = (
            {} if params is None else {"params": {"stride": params}, "batch_key": self.model.jobs[job_id].batch_key}
        )
        return deeds.simple(
            f"replay {job_id[-4:]} with {params}",
            lambda: store.replay(job_id, **changed).run,
            lambda model: model.replay(job_id, params),
        )

    def _worker(self, data: st.DataObject, what: str, worker: str | None = None) -> Deed:
        worker = worker or data.draw(st.sampled_from(WORKERS))
        fleet = self.queue.fleet
        if what == "beat":
            mine = [one.id for one in self.model.segments if one.worker == worker and one.id is not None]
            done = data.draw(st.integers(0, 10))
            return deeds.heartbeat(self.queue, worker, dict.fromkeys(mine, (done, 10)), self._in_hand(data, worker))
        if what == "drain":
            return deeds.simple(f"drain {worker}", partial(fleet.drain, worker), lambda model: model.drain(worker))
        if what == "register":
            call = partial(self.queue.register, worker)
            return deeds.simple(f"register {worker}", call, lambda model: model.register(worker))
        self.kills.append(Kill(time.time(), (worker,)))
        if what == "leave":
            return deeds.taking_back("leaves", partial(fleet.leave, worker), worker, "leave", "stopped")
        if what == "child":
            call = partial(fleet.lose_child, worker, reason="killed")
            return deeds.taking_back("loses its process", call, worker, "child", "lost")
        self.queue.silence(worker, 2 * deeds.LEASE_SECONDS)
        self.model.silent.add(worker)
        return deeds.lose_silent(self.queue, WORKERS)

    def _upkeep(self, data: st.DataObject, what: str) -> Deed:
        upkeep, jobs = self.queue.upkeep, sorted(self.model.jobs)
        if what == "wake":
            if data.draw(st.booleans(), "time has passed"):
                self.queue.execute("UPDATE segments SET run_after = run_after - interval '2 hours'")
                for one in self.model.segments:
                    one.due = one.due or one.state == "waiting"
            return deeds.skipping("wake", deeds.quiet(upkeep.wake_due), lambda model, but: model.wake(but), jobs)
        if what == "expire":
            return deeds.expire(upkeep.expire, jobs)
        kind, name = data.draw(st.sampled_from([("tenant", "one"), ("pipeline", "motion"), ("lane", "cpu")]))
        if what == "pause":
            call = partial(self.queue.depth.pause, kind, name, by=SHELL)
            return deeds.simple(f"pause {kind}", call, lambda model: model.pause(kind, name))
        call = partial(self.queue.depth.resume, kind, name)
        return deeds.simple(f"resume {kind}", call, lambda model: model.resume(kind, name))

    # doing them

    def _do(self, *several: Deed, stall: str | None = None) -> None:
        self.trace.append(" || ".join(deed.name for deed in several) + (f" held up at {stall}" if stall else ""))
        note(self.trace[-1])
        try:
            answers = [several[0].run()] if len(several) == 1 else self._at_once(several, stall)
        except Exception as error:
            raise AssertionError(self._told(repr(error))) from error
        view, ids = self._rows()
        after = explain(self.model, several, answers, view)
        if after is None:
            why = deeds.why_not(self.model, several, answers, view)
            raise AssertionError(self._told(f"{answers}\n{why}"))
        self.model = after
        after.learn(ids)
        for deed, answer in zip(several, answers, strict=True):
            if not isinstance(answer, Exception):
                deed.remember(answer)
        self._sample()

    def _at_once(self, several: Sequence[Deed], stall: str | None) -> list[Any]:
        """Start together; ``stall``: behind a lock on these rows, so that each has begun before any can go on."""
        barrier = threading.Barrier(len(several) + 1)
        over = threading.Event()

        def run(deed: Deed) -> Any:
            barrier.wait(10)
            return deed.run()

        with ThreadPoolExecutor(len(several) + 1) as pool:
            watching = pool.submit(self._watch, over)
            running = [pool.submit(run, deed) for deed in several]
            try:
                if stall is None:
                    barrier.wait(10)
                else:
                    with self.queue.database.transaction() as holder:
                        holder.execute(LOCKS[stall])
                        barrier.wait(10)
                        wait_until_blocked(self.queue.database, running, STALL_SECONDS)
                return [one.result(30) for one in running]
            finally:
                over.set()
                watching.result(30)

    def _watch(self, over: threading.Event) -> None:
        """Poll as clients do, while operations run."""
        while not over.wait(0.002):
            self._sample()

    def _sample(self) -> None:
        asked_at = time.monotonic()
        with self.queue.database.transaction() as connection:
            rows = connection.execute(JOBS).all()
        at = time.monotonic()
        self.samples += [
            Seen(asked_at, at, row.id, row.run, row.state, row.state in ENDED, row.progress) for row in rows
        ]

    def _rows(self) -> tuple[Any, Mapping[Any, str]]:
        """The tables as the model's view, and how the database calls the segments."""
        with self.queue.database.transaction() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            jobs = {row.id: (*row[1:7], tuple(row.missing)) for row in connection.execute(JOBS)}
            rows = connection.execute(VIEW).all()
            workers = {row.id: row.state for row in connection.execute(text("SELECT id, state FROM workers"))}
        return (jobs, {tuple(row[:4]): tuple(row[4:11]) for row in rows}, workers), {
            tuple(row[:4]): row[11] for row in rows
        }

    def _judge(self, *, cut_short: bool) -> Verdict:
        return check(
            read_snapshot(self.reader),
            acknowledged=self.acknowledged,
            erased=self.erased,
            kills=self.kills,
            samples=self.samples,
            cut_short=cut_short,
        )

    def _work_empty(self) -> None:
        for kind, name in self.model.pauses:
            self.queue.depth.resume(kind, name)
        for worker in WORKERS:
            self.kills.append(Kill(time.time(), (worker,)))
            self.queue.fleet.leave(worker)
        for job in self.model.jobs.values():
            if job.state == "uploading":
                self.queue.store.attach_input(job.id, InputRef(key=f"inputs/{job.id}/source"))
        self.queue.register("last")
        for _ in range(100):
            self.queue.pass_time(7200)
            while (found := self.queue.claim("last", limit=4, **deeds.WANTED)) is not None:
                plans = [segment.id for segment in found.segments if segment.kind == "plan"]
                self.queue.plan_all(found, {segment_id: Plan([SegmentPlan()], {}) for segment_id in plans})
                self.queue.finish(found, [self._done(found, segment.id) for segment in found.segments])
            if not self.queue.execute("SELECT FROM segments WHERE state IN ('waiting', 'ready', 'claimed')"):
                return

    # small things

    def _some_job(self, data: st.DataObject) -> str:
        return self.focus or data.draw(st.sampled_from(sorted(self.model.jobs)), "job")

    def _some_claim(self, data: st.DataObject) -> Claim:
        """Mostly one that still holds something (of the job that a race is about); now and then any old one."""
        held = {one.claim for one in self.model.segments if one.state in ("claimed", "ready", "waiting")}
        about = [one for one in self.claims if self.focus in {None, *(segment.job_id for segment in one.segments)}]
        chosen = [one for one in about if one.id in held] or about or self.claims
        old = data.draw(st.integers(0, 4)) == 0
        return data.draw(st.sampled_from((about or self.claims)[-8:] if old else chosen[-6:]), "claim")

    def _in_hand(self, data: st.DataObject, worker: str) -> set[str] | None:
        """Claims that a worker knows of; time has passed for it to know of all."""
        if data.draw(st.booleans()):
            return None
        self.queue.execute("UPDATE segments SET claimed_at = claimed_at - interval '2 minutes'")
        for one in self.model.segments:
            one.old = one.state == "claimed"
        mine = sorted({one.claim for one in self.model.segments if one.worker == worker and one.claim is not None})
        return set(data.draw(st.lists(st.sampled_from(mine))) if mine else ())

    def _hurry(self, job_id: str) -> None:
        """Put a job in front of all others."""
        statement = "UPDATE segments SET tag = (SELECT min(tag) - 1 FROM segments) WHERE job_id = CAST(:id AS uuid)"
        self.queue.execute(statement, id=job_id)

    def _kind(self, segment_id: str) -> str | None:
        segment = self.model.named(segment_id)
        return None if segment is None else segment.kind

    def _done(self, claim: Claim, segment_id: str) -> Done:
        (segment,) = [one for one in claim.segments if one.id == segment_id]
        key = rows_key(segment.job_id, segment.run, segment_id, claim.id)
        rows = Rows(1, 10, hashlib.sha256(key.encode()).hexdigest(), key=key)
        return Done(segment_id, rows, {"by": claim.id})

    def _told(self, message: str) -> str:
        self.broken = True
        steps = "\n".join(f"  {number:3}. {step}" for number, step in enumerate(self.trace, 1))
        self.found.append(f"after\n{steps}\n{message}")
        return self.found[-1]


@pytest.mark.timeout(SECONDS + 150)
def test_rows_and_history_follow_some_order_of_whatever_is_done_at_once(database_url: str) -> None:
    database = Database(database_url, pool_size=12)
    reader = psycopg2.connect(database_url)
    try:
        machine = type("Machine", (Protocol,), {"queue": SqlQueue(database), "reader": reader, "found": []})
        until = time.monotonic() + SECONDS
        done = 0
        while time.monotonic() < until:
            search(machine, SEED + done)
            done += 1
            assert not machine.found, f"with PROTOCOL_MODEL_SEED={SEED + done - 1}, {machine.found[0]}"
        assert done > 0
    finally:
        reader.close()
        database.close()


def search(machine: type[Protocol], number: int) -> None:
    """Some examples from one seed; what they find is in ``machine.found``.

    Who wins a race is no function of the seed, so an example that Hypothesis runs again may go another way. It calls
    that flaky and gives up the round; what was found at the first time counts, whether it comes again or not.
    """
    machine._hypothesis_internal_use_seed = number  # type: ignore[attr-defined]  # what hypothesis.seed does
    chosen = settings(
        max_examples=4, stateful_step_count=40, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        run_state_machine_as_test(machine, settings=chosen)
    except FlakyStrategyDefinition:
        return
    except (AssertionError, Flaky):
        if not machine.found:
            raise
