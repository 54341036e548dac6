"""Batches: many inputs in one request, followed, fetched, ended and repeated as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiflask import APIBlueprint
from apiflask.schemas import FileSchema
from flask import Response, request

from pipeline.spec import ParamsInvalid
from storage.errors import StorageError
from storage.job import JobState
from storage.objects.disposition import attachment
from web.answers import answer
from web.auth import scope
from web.batch_documents import BatchDocument, BatchList, ItemPage, batch_document
from web.batch_orders import BatchOrder, ReplayFailedOrder, read_order
from web.batch_views import (
    answer_batch,
    item_page,
    own_batch,
    result_lines,
    results_etag,
    same_results,
    wait_for_end,
)
from web.batches import add_lines, receive_lines, receive_order
from web.bodies import drain, idempotency_key
from web.context import base_url, caller, services
from web.errors import Problem
from web.jobviews import clear_wait
from web.manifest import Line, read_lines
from web.pinning import pin
from web.queries import ItemsQuery, PageQuery, WaitQuery
from web.streaming import stream
from web.submit import Terms

bp = APIBlueprint("batches", __name__, url_prefix="/v1/batches", tag="Batches")

NDJSON = "application/x-ndjson"


@bp.post("")
@scope("submit")
@bp.output(BatchDocument, 202)
def create_batch() -> Response:
    """Put many inputs into the queue as one batch.

    Lines of JSON (`application/x-ndjson`), of any number up to the server's limits, or one JSON document. Items go into
    the queue as they arrive. A broken one is refused alone: see `errors` and `counts.rejected` in the answer. With an
    `Idempotency-Key` the same manifest may be sent again, also after it broke off half-way.
    """
    terms = Terms(caller(), idempotency_key())
    if request.mimetype == NDJSON:
        try:
            received = receive_lines(services(), terms, _lines())
        except (Problem, StorageError, ParamsInvalid):
            drain(request.stream)
            raise
    elif request.is_json:
        received = receive_order(services(), terms, read_order(request.get_json(), BatchOrder))
    else:
        raise Problem("type.unsupported", f"send {NDJSON} or application/json")
    headers = {"Location": f"{base_url()}/v1/batches/{received.batch.id}"}
    if not received.fresh:
        headers["Idempotent-Replayed"] = "true"
    return answer_batch(received.batch.id, 202, headers)


@bp.get("")
@scope("read")
@bp.input(PageQuery, location="query")
@bp.output(BatchList)
def list_batches(query_data: PageQuery) -> Response:
    """List your batches, newest first."""
    page = services().batches.list(caller().tenant, cursor=query_data.cursor, limit=query_data.limit)
    shown = [batch_document(found, [], base_url()) for found in page.batches]
    return answer(BatchList(batches=shown, next_cursor=page.next_cursor))


@bp.get("/<batch_id>")
@scope("read")
@bp.input(WaitQuery, location="query")
@bp.output(BatchDocument)
def get_batch(batch_id: str, query_data: WaitQuery) -> Response:
    """Look at a batch.

    With `?wait=20` the answer comes when it has ended, at the latest after that time.
    """
    batch = own_batch(batch_id)
    wait_for_end(batch, clear_wait(query_data.wait))
    return answer_batch(batch.id)


@bp.post("/<batch_id>/items")
@scope("submit")
@bp.output(BatchDocument)
def add_items(batch_id: str) -> Response:
    """Add items to an open batch, as lines of JSON.

    An item whose key is there already, word for word, changes nothing: a request that keys its items may be repeated.
    """
    batch = own_batch(batch_id)
    if request.mimetype != NDJSON:
        raise Problem("type.unsupported", f"send {NDJSON}")
    try:
        add_lines(services(), Terms(caller()), batch, _lines())
    except (Problem, StorageError, ParamsInvalid):
        drain(request.stream)
        raise
    return answer_batch(batch.id)


@bp.post("/<batch_id>/close")
@scope("submit")
@bp.output(BatchDocument)
def close_batch(batch_id: str) -> Response:
    """Say that no further items will come; may be repeated."""
    services().batches.close(own_batch(batch_id).id, caller().tenant)
    return answer_batch(batch_id)


@bp.get("/<batch_id>/items")
@scope("read")
@bp.input(ItemsQuery, location="query")
@bp.output(ItemPage)
def list_items(batch_id: str, query_data: ItemsQuery) -> Response:
    """List the items of a batch in order, those of one state if so wished."""
    return answer(item_page(own_batch(batch_id), query_data))


@bp.get("/<batch_id>/results")
@scope("read")
@bp.output(FileSchema(type="string", format="binary"), content_type=NDJSON)
def get_results(batch_id: str) -> Response:
    """Download a line of JSON per item: index, key, job_id, state, summary, error, and where the whole result is.

    Also before the batch has ended: each line tells how its item stands when it is read.
    """
    batch = own_batch(batch_id)
    etag = results_etag(batch)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if same_results(etag):
        return Response(status=304, headers=headers)
    response = stream(result_lines(batch), NDJSON)
    response.headers.update(headers)
    response.headers["Content-Disposition"] = attachment(f"batch-{batch.id}.jsonl")
    return response


@bp.post("/<batch_id>/cancel")
@scope("submit")
@bp.output(BatchDocument)
def cancel_batch(batch_id: str) -> Response:
    """End a batch at once: what is not in the queue never comes there, and its unfinished jobs end within seconds."""
    batch = own_batch(batch_id)
    if services().batches.cancel(batch.id, caller().tenant, by=caller().actor):
        services().hints.tell(batch.id)
    return answer_batch(batch.id)


@bp.post("/<batch_id>/replay-failed")
@scope("submit")
@bp.output(BatchDocument, 202)
def replay_failed(batch_id: str) -> Response:
    """Run again what ended failed or dead, with other parameters if so wished.

    It is done bit by bit: `replay` in the document says how far it is, and names the jobs that could not be replayed.
    """
    batch = own_batch(batch_id)
    order = read_order(request.get_json() if request.data else {}, ReplayFailedOrder)
    states = [JobState(state) for state in order.states]
    params = None if order.params is None else _fitting(batch.id, states, order.params)
    services().batches.order_replay(batch.id, batch.tenant, states, params, by=caller().actor)
    return answer_batch(batch.id, 202)


def _fitting(batch_id: str, states: list[JobState], given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The new parameters for each pipeline that they fit. Raises: ParamsInvalid when they fit none."""
    fitting: dict[str, dict[str, Any]] = {}
    refused: ParamsInvalid | None = None
    for name in services().batches.pipelines_in(batch_id, caller().tenant, states):
        try:
            row, params = services().catalog.params(name, given)
        except ParamsInvalid as error:
            refused = error
            continue
        fitting[name] = pin(services().models, row, params).as_json()
    if refused is not None and not fitting:
        raise refused
    return fitting


def _lines() -> Iterator[Line]:
    limit = services().settings.manifest_max_bytes
    if (request.content_length or 0) > limit:
        raise Problem("body.too_large", f"a manifest may have {limit} bytes")
    request.max_content_length = limit
    return read_lines(request.stream.read, size_bytes=request.content_length)
