"""For operators: the queue, the workers, and pauses."""

from __future__ import annotations

from typing import Literal

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from web.answers import answer
from web.auth import scope
from web.context import caller, services
from web.documents import Changed, PauseDocument, QueueDocument, WorkerList
from web.errors import Problem
from web.shapes import lane_document, worker_document

bp = APIBlueprint("fleet", __name__, url_prefix="/v1", tag="Operations")


class PauseOrder(BaseModel):
    """What to pause or resume."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["pipeline", "lane", "tenant"]
    name: str = Field(min_length=1, max_length=200)


@bp.get("/queue")
@scope("read")
@bp.output(QueueDocument)
def get_queue() -> Response:
    """See how full the queue is, lane by lane, and what is paused."""
    depth, scene = services().depth, services().situation.scene()
    paused = [PauseDocument(**pause) for pause in depth.pauses() if _may_see(pause["kind"], pause["name"])]
    lanes = [lane_document(lane, scene) for lane in depth.lanes()]
    return answer(QueueDocument(lanes=lanes, jobs=depth.jobs_by_state(), paused=paused))


def _may_see(kind: str, name: str) -> bool:
    """Other tenants' names are for operators."""
    return kind != "tenant" or name == caller().tenant or caller().may("operate")


@bp.get("/workers")
@scope("operate")
@bp.output(WorkerList)
def list_workers() -> Response:
    """List the worker processes: devices, lanes, and what they hold."""
    return answer(WorkerList(workers=[worker_document(row) for row in services().fleet.list()]))


@bp.post("/workers/<worker_id>/drain")
@scope("operate")
@bp.output(Changed, 202)
def drain_worker(worker_id: str) -> Response:
    """Ask a worker to finish what it holds and claim no more."""
    if not services().fleet.drain(worker_id, by=caller().actor):
        raise Problem("worker.unknown", "no such live worker", advice="see GET /v1/workers")
    return answer(Changed(changed=True), 202)


@bp.post("/pause")
@scope("operate")
@bp.input(PauseOrder)
@bp.output(Changed)
def pause(json_data: PauseOrder) -> Response:
    """Stop claims of a pipeline, a lane or a tenant; what runs goes on, new jobs are taken and wait."""
    changed = services().depth.pause(json_data.kind, json_data.name, by=caller().actor)
    return answer(Changed(changed=changed))


@bp.post("/resume")
@scope("operate")
@bp.input(PauseOrder)
@bp.output(Changed)
def resume(json_data: PauseOrder) -> Response:
    """Undo a pause."""
    changed = services().depth.resume(json_data.kind, json_data.name, by=caller().actor)
    if changed:
        for lane, size_class in services().fleet.live_by_lane():
            if json_data.kind != "lane" or lane == json_data.name:
                services().doorbell.ring(lane, size_class)
    return answer(Changed(changed=changed))
