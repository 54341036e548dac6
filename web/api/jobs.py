"""Jobs: submit, look, list, cancel, replay, erase."""

from __future__ import annotations

import re

import structlog
from apiflask import APIBlueprint
from flask import Response, request
from pydantic import ValidationError

from storage.erasures import delete_objects
from storage.errors import ObjectStoreUnavailable
from storage.job import Job, JobState
from storage.jobs import Created
from web.access_log import SUBMITTED
from web.answers import answer
from web.auth import scope
from web.bodies import idempotency_key
from web.context import caller, services
from web.documents import JobDocument, JobList
from web.errors import Problem
from web.forms import read_form
from web.jobviews import answer_job, clear_wait, client_has, own_job, view_job
from web.multipart import StreamedForm
from web.orders import JsonOrder, ReplayOrder, faults_of, order_from_form
from web.pinning import pin
from web.queries import JobsQuery, WaitQuery
from web.shapes import etag_of
from web.submit import Terms, check_order, submit_file, submit_job

bp = APIBlueprint("jobs", __name__, url_prefix="/v1/jobs", tag="Jobs")
log = structlog.get_logger(__name__)

_PREFER_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,4})\"?\s*(?=,|;|$)", re.IGNORECASE)


@bp.post("")
@scope("submit")
@bp.output(JobDocument, 202)
def create_job() -> Response:
    """Submit a job.

    Multipart with the file, or JSON that says where the input is. The answer is 202 as soon as the job stands in the
    database; then poll `urls.self`, best with `?wait=20`.
    """
    terms = Terms(caller(), idempotency_key())
    if request.mimetype == "multipart/form-data":
        created = _create_from_form(terms)
    elif request.is_json:
        created = _create_from_json(terms)
    else:
        raise Problem("type.unsupported", "send multipart/form-data or application/json")
    if created.fresh:
        SUBMITTED.labels(created.job.pipeline).inc()
    return _answer_created(created)


def _create_from_json(terms: Terms) -> Created:
    try:
        order = JsonOrder.model_validate(request.get_json())
    except ValidationError as error:
        raise Problem("request.invalid", "see faults", faults=faults_of(error)) from None
    return submit_job(services(), terms, order, order.input)


def _create_from_form(terms: Terms) -> Created:
    return read_form(services().settings.max_upload_bytes, lambda form: _read_form(terms, form))


def _read_form(terms: Terms, form: StreamedForm) -> Created:
    file = form.next_file()
    if file is None:
        raise Problem("request.invalid", "see faults", faults=[{"path": "/file", "message": "a file is needed"}])
    if "pipeline" in form.fields and "params" in form.fields:
        # all that could be wrong is known before gigabytes are read
        check_order(services(), terms.caller, order_from_form(form.fields))

    def read_order_after_file() -> object:
        form.finish()
        return order_from_form(form.fields)

    return submit_file(services(), terms, file, read_order_after_file)  # type: ignore[arg-type]


def _answer_created(created: Created) -> Response:
    job = created.job
    wanted = _PREFER_WAIT.search(request.headers.get("Prefer", ""))
    headers: dict[str, str] = {}
    if wanted is not None:
        seconds = clear_wait(float(wanted.group(1)))
        headers["Preference-Applied"] = f"wait={int(seconds)}"
        job = services().waiting.until(job, seconds, _ended)
    if not created.fresh:
        headers["Idempotent-Replayed"] = "true"
    status = 200 if wanted is not None and job.terminal else 202
    document = view_job(job)
    headers["Location"] = document.urls.self
    return answer_job(job, status, headers)


def _ended(job: Job) -> bool:
    return job.terminal


@bp.get("/<job_id>")
@scope("read")
@bp.input(WaitQuery, location="query")
@bp.output(JobDocument)
def get_job(job_id: str, query_data: WaitQuery) -> Response:
    """Look at a job.

    With `?wait=20` the answer comes when the job ends (or changes, with If-None-Match), at the latest after that time.
    """
    job = own_job(job_id)
    seconds = clear_wait(query_data.wait)
    if seconds > 0 and not job.terminal:
        known = bool(request.if_none_match) and client_has(etag_of(view_job(job)))
        if known or not request.if_none_match:
            first = job
            job = services().waiting.until(job, seconds, lambda found: found.terminal or (known and found != first))
    return answer_job(job)


@bp.get("")
@scope("read")
@bp.input(JobsQuery, location="query")
@bp.output(JobList)
def list_jobs(query_data: JobsQuery) -> Response:
    """List your jobs, newest first.

    Narrow by state, pipeline, time of creation, and `metadata.<name>=<value>`.
    """
    page = services().jobs.list(caller().tenant, query_data.filter(), cursor=query_data.cursor, limit=query_data.limit)
    return answer(JobList(jobs=[view_job(job, placed=False) for job in page.jobs], next_cursor=page.next_cursor))


@bp.post("/<job_id>/cancel")
@scope("submit")
@bp.output(JobDocument)
def cancel_job(job_id: str) -> Response:
    """Cancel a job at once, even while it runs; a job that has ended stays as it is."""
    found = own_job(job_id)
    job, changed = services().jobs.cancel(found.id, caller().tenant)
    if changed:
        services().cancels.tell(job.id)
        services().hints.tell(job.id)
    return answer_job(job)


@bp.post("/<job_id>/replay")
@scope("submit")
@bp.output(JobDocument, 202)
def replay_job(job_id: str) -> Response:
    """Run a job that has ended once more, as its next run; new parameters may be given."""
    job = own_job(job_id)
    order = _replay_order()
    if order.params is None:
        job = services().jobs.replay(job.id, caller().tenant, by=caller().actor)
    else:
        row, params = services().catalog.params(job.pipeline, order.params)
        new = pin(services().models, row, params)
        job = services().jobs.replay(job.id, caller().tenant, **new.as_json(), by=caller().actor)
    if job.state is JobState.QUEUED:
        services().doorbell.ring(job.lane, job.size_class)
    services().hints.tell(job.id)
    return answer_job(job, 202)


def _replay_order() -> ReplayOrder:
    if not request.data:
        return ReplayOrder(params=None)
    try:
        return ReplayOrder.model_validate(request.get_json())
    except ValidationError as error:
        raise Problem("request.invalid", "see faults", faults=faults_of(error)) from None


@bp.delete("/<job_id>")
@scope("submit")
@bp.output({}, 204)
def erase_job(job_id: str) -> Response:
    """Cancel a job if need be and erase it with its input and results.

    Copies on workers' disks go with their next heartbeat.
    """
    job = own_job(job_id)
    keys = services().jobs.erase(job.id, caller().tenant, by=caller().actor)
    services().cancels.tell(job.id)
    services().hints.tell(job.id)
    try:
        delete_objects(services().objects, job.id, keys)
    except ObjectStoreUnavailable as error:
        # the dispatcher looks for them again, three times in some hours
        log.warning("erase.litter", job_id=job.id, reason=str(error))
    return Response(status=204)
