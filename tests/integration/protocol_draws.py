"""Operations of the protocol with everything about them drawn: whose, on what, and with which outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import strategies as st

from storage.audit import SHELL
from storage.ids import new_id
from storage.job import Bury, Claim, Failed, Fault, GiveBack, InputRef, JobState, Outcome, Retry
from tests.integration import protocol_deeds as deeds
from tests.integration.protocol_deeds import Deed
from tests.integration.protocol_rows import Job
from tests.integration.protocol_run import WORKERS, ProtocolRun
from tests.unit.faults.histories import Kill

TENANTS = ("one", "other")
FAULT = Fault("device.failed", "it broke")


class ProtocolDraws(ProtocolRun):
    """Draws single operations; mostly such as can have an effect."""

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
