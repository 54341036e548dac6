"""Dead letters: look, understand, replay, discard. A key with scope operate sees every tenant's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from pipeline.spec import ParamsInvalid
from storage.dead.filter import DeadFilter
from storage.dead.replay_orders import NewParams
from web.answers import answer
from web.auth import scope
from web.context import base_url, caller, services
from web.dead import (
    DeadGroupList,
    DeadGroupsQuery,
    DeadJobList,
    DeadJobsQuery,
    DeadReplayOrder,
    Discarded,
    DiscardOrder,
    PageQuery,
    ReplayOrderDocument,
    ReplayOrderList,
    dead_document,
    group_document,
    order_document,
)
from web.errors import Problem
from web.pinning import pin

bp = APIBlueprint("dead", __name__, url_prefix="/v1/dead", tag="Dead letters")


@bp.get("")
@scope("read")
@bp.input(DeadGroupsQuery, location="query")
@bp.output(DeadGroupList)
def list_dead_groups(query_data: DeadGroupsQuery) -> Response:
    """See dead letters grouped by their error, largest group first.

    With scope operate: every tenant's.
    """
    found = services().dead.groups(_allowed(query_data.filter()), limit=query_data.limit)
    groups = [group_document(group, inside=caller().may("operate")) for group in found.groups]
    return answer(DeadGroupList(groups=groups, groups_total=found.groups_total, total=found.jobs_total))


@bp.get("/jobs")
@scope("read")
@bp.input(DeadJobsQuery, location="query")
@bp.output(DeadJobList)
def list_dead_jobs(query_data: DeadJobsQuery) -> Response:
    """See dead letters one by one: their last errors, the segment that broke, whether they can be replayed."""
    where = _allowed(query_data.filter())
    page = services().dead.page(where, cursor=query_data.cursor, limit=query_data.limit)
    jobs = [dead_document(job, base_url(), inside=caller().may("operate")) for job in page.jobs]
    return answer(DeadJobList(jobs=jobs, next_cursor=page.next_cursor))


@bp.post("/replay")
@scope("submit")
@bp.input(DeadReplayOrder)
@bp.output(ReplayOrderDocument, 202)
def replay_dead(json_data: DeadReplayOrder) -> Response:
    """Order that what is dead now runs again, at most so many jobs a second.

    Left alone: jobs whose last 3 runs ended with the same error (unless `force`). Refused: jobs whose input is gone, or
    that the new parameters do not fit. The order names the first of them.
    """
    where = _allowed(json_data.filter.filter())
    params = None if json_data.params is None else _new_params(where, json_data.params)
    order = services().replays.create(
        where, params=params, force=json_data.force, per_second=json_data.per_second, by=caller().actor
    )
    return answer(order_document(order), 202)


@bp.get("/replays")
@scope("read")
@bp.input(PageQuery, location="query")
@bp.output(ReplayOrderList)
def list_replays(query_data: PageQuery) -> Response:
    """List orders to replay dead letters, newest first."""
    page = services().replays.page(_tenant(), cursor=query_data.cursor, limit=query_data.limit)
    return answer(ReplayOrderList(replays=[order_document(one) for one in page.orders], next_cursor=page.next_cursor))


@bp.get("/replays/<order_id>")
@scope("read")
@bp.output(ReplayOrderDocument)
def get_replay(order_id: str) -> Response:
    """See how far an order is, and what it refused."""
    return answer(order_document(services().replays.get(order_id, _tenant())))


@bp.post("/replays/<order_id>/cancel")
@scope("submit")
@bp.output(ReplayOrderDocument)
def cancel_replay(order_id: str) -> Response:
    """Replay nothing more by an order; what runs again already goes on."""
    order, _ = services().replays.cancel(order_id, _tenant(), by=caller().actor)
    return answer(order_document(order))


@bp.post("/discard")
@scope("submit")
@bp.input(DiscardOrder)
@bp.output(Discarded)
def discard_dead(json_data: DiscardOrder) -> Response:
    """Take dead letters off these lists; their inputs and results then go as those of any job that has ended.

    A discarded job can still be replayed by its id, as long as its input is there.
    """
    return answer(Discarded(discarded=services().dead.discard(_allowed(json_data.filter.filter()), by=caller().actor)))


def _tenant() -> str | None:
    """Whose dead letters the caller may see; None: everyone's."""
    return None if caller().may("operate") else caller().tenant


def _allowed(where: DeadFilter) -> DeadFilter:
    """Narrow to what the caller may see. Raises: Problem with code scope.missing."""
    own = caller().tenant
    if where.tenant not in {None, own} and not caller().may("operate"):
        raise Problem("scope.missing", "another tenant's dead letters need a key with scope operate", scope="operate")
    return where if where.tenant is not None else replace(where, tenant=_tenant())


def _new_params(where: DeadFilter, params: Mapping[str, Any]) -> NewParams:
    """Complete the parameters for each pipeline that they fit, of those that are meant.

    Raises: Problem with code pipeline.unknown, ParamsInvalid: they fit none of them.
    """
    names = services().dead.pipelines(where) if where.pipeline is None else [where.pipeline]
    fitting: dict[str, dict[str, Any]] = {}
    misfit: Exception | None = None
    for name in names:
        try:
            row, filled = services().catalog.params(name, params)
        except (ParamsInvalid, Problem) as error:
            misfit = misfit or error
        else:
            fitting[name] = pin(services().models, row, filled).as_json()
    if misfit is not None and not fitting:
        raise misfit
    return NewParams(params, fitting)
