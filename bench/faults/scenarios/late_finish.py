"""A result that comes when its job was buried and replayed with other parameters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import httpx2

from bench.embedded import eventually
from bench.faults.poison import DIARY, notes
from bench.faults.poison_media import half_dark_half_white
from bench.faults.proxy import LOOPBACK, Door, Mode, Proxy
from bench.faults.scenario import Outcome
from deploy.local.child import Child, Command
from deploy.local.home import REPOSITORY
from deploy.local.reach import service_folder

if TYPE_CHECKING:
    from bench.faults.world import World

ROUNDS = 5
STEP_SECONDS = 60.0
AT_THE_GATE = "at the gate"


@dataclass(frozen=True, slots=True)
class Bed:
    """What a round works with."""

    world: World
    #: on the cut-off worker's way to the database
    proxy: Proxy
    door: Door
    folder: Path
    client: httpx2.Client


class LateFinish:
    """One worker holds a segment and cannot reach the database; meanwhile the job dies of another and is replayed."""

    name = "late-finish"
    fault = (
        "A worker finishes a segment while it is cut off from the database; when its finish arrives, the job was "
        "buried for another segment's sake and replayed with other parameters."
    )
    bar = "The late finish is refused; state and result of the job are the replay's."

    def run(self, world: World) -> Outcome:
        """See the protocol."""
        folder = world.keep(service_folder("late"))
        world.start(
            workers=1,
            settings={
                "FQ_PIPELINES": "motion,bench.faults.poison:TwoFaced",
                "FQ_CONCURRENCY": "1",
                "FQ_SEGMENT_SECONDS": "0.05",
                DIARY: str(folder / "diary"),
            },
        )
        proxy = world.keep(Proxy(urlsplit(world.stack.state.database_url).port or 0))
        bed = Bed(world, proxy, proxy.door("worker"), folder, world.keep(world.stack.client()))
        world.keep(_worker_behind(bed))
        rounds = [_round(bed, number) for number in range(world.size(ROUNDS))]
        figures = {
            "rounds": len(rounds),
            "late finishes refused": sum(one["refused"] for one in rounds),
            "late finishes accepted": sum(one["accepted"] for one in rounds),
            "results other than the replay's": sum(one["changed"] for one in rounds),
        }
        faults = _faults(figures)
        return Outcome(not faults, figures, "; ".join(faults))


@contextmanager
def _worker_behind(bed: Bed) -> Iterator[None]:
    """A worker like the stack's own, but for its way to the database."""
    stack = bed.world.stack
    raw = Path(f"/proc/{stack.pid('worker')}/environ").read_text()
    told = dict(line.split("=", 1) for line in raw.split("\0") if "=" in line)
    place = urlsplit(told["FQ_DATABASE_URL"])
    through = place._replace(netloc=f"{place.username}:{place.password}@{LOOPBACK}:{bed.door.port}")
    env = told | {"FQ_DATABASE_URL": urlunsplit(through), "FQ_SCRATCH_DIR": str(bed.folder / "scratch")}
    argv = [sys.executable, "-m", "workers"]
    child = Child(Command("worker-behind", argv, env=env, log_path=stack.home.logs / "behind.log", cwd=REPOSITORY))
    try:
        sql = "SELECT count(*) FROM workers WHERE state = 'live'"
        eventually(lambda: bed.world.books.ask(sql)[0][0] == 2, STEP_SECONDS, "the second worker did not come")
        yield
    finally:
        bed.proxy.turn(Mode.PASS)
        child.stop(25.0)


def _round(bed: Bed, number: int) -> Mapping[str, int]:
    """Bury a job under a worker that cannot hear of it, replay it, and let the worker finish."""
    world, gate = bed.world, bed.folder / f"gate-{number}"
    at_gate = _at_the_gate(bed)
    frozen = world.nemesis.freeze("worker")
    job_id = _submit(bed, gate)
    _until(lambda: _at_the_gate(bed) > at_gate, "nobody is at the gate")
    bed.proxy.turn(Mode.FREEZE)
    world.inject("cut off from the database", "the worker at the gate")
    world.nemesis.thaw(frozen)

    _until(lambda: _document(bed, job_id)["state"] == "dead", "the job did not die")
    answer = bed.client.post(f"/v1/jobs/{job_id}/replay", json={"params": {"fail_on_white": False, "gate": ""}})
    assert answer.is_success, answer.text
    _until(lambda: _document(bed, job_id)["state"] == "succeeded", "the replay did not succeed")
    before = _told(bed, job_id)

    asked = len(bed.door.requests)
    gate.touch()
    _until(lambda: len(bed.door.requests) > asked, "the worker at the gate does not come back to the database")
    bed.proxy.turn(Mode.PASS)
    _until(lambda: _late(bed, job_id) != (0, 0), "no late finish came")
    refused, accepted = _late(bed, job_id)
    return {"refused": refused, "accepted": accepted, "changed": int(_told(bed, job_id) != before)}


def _at_the_gate(bed: Bed) -> int:
    return sum(note.what == AT_THE_GATE for note in notes(bed.folder / "diary"))


def _submit(bed: Bed, gate: Path) -> str:
    params = {"fail_on_white": True, "gate": str(gate), "sampler": {"stride": 1}}
    answer = bed.client.post(
        "/v1/jobs",
        data={"pipeline": "two-faced", "params": json.dumps(params)},
        files={"file": ("film.mp4", half_dark_half_white())},
    )
    assert answer.status_code == httpx2.codes.ACCEPTED, answer.text
    job_id = str(answer.json()["id"])
    bed.world.promised.add(job_id)
    return job_id


def _document(bed: Bed, job_id: str) -> dict[str, Any]:
    return dict(bed.client.get(f"/v1/jobs/{job_id}").raise_for_status().json())


def _told(bed: Bed, job_id: str) -> tuple[Any, ...]:
    """What a client is told of the job: its run, its end, its summary and its rows."""
    document = _document(bed, job_id)
    rows = bed.client.get(f"/v1/jobs/{job_id}/frames").raise_for_status().json()["frames"]
    return document["run"], document["state"], document["summary"], rows


def _late(bed: Bed, job_id: str) -> tuple[int, int]:
    """How many finishes of the first run came after the replay, and were refused, or accepted."""
    sql = (
        "SELECT count(*) FILTER (WHERE kind = 'refused'), count(*) FILTER (WHERE kind = 'done') FROM job_events e"
        " WHERE job_id = %s::uuid AND run = 1 AND id > (SELECT max(id) FROM job_events r"
        " WHERE r.job_id = e.job_id AND r.kind = 'replayed')"
    )
    refused, accepted = bed.world.books.ask(sql, job_id)[0]
    return int(refused), int(accepted)


def _until(holds: Any, otherwise: str) -> None:
    eventually(holds, STEP_SECONDS, otherwise, every=0.05)


def _faults(told: Mapping[str, int]) -> list[str]:
    wrong = {
        "a late finish was accepted": told["late finishes accepted"] > 0,
        "a late finish was not recorded as refused": told["late finishes refused"] < told["rounds"],
        "a result was not the replay's": told["results other than the replay's"] > 0,
    }
    return [fault for fault, is_so in wrong.items() if is_so]


SCENARIOS = (LateFinish(),)
