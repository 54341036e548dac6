"""What a submission does: object, row, doorbell, in this order. No Flask here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Protocol

import structlog

from pipeline.spec import canonical_json
from storage.errors import StorageError, StorageUnavailable
from storage.ids import new_id
from storage.job import InputRef, JobState, Priority
from storage.jobs import Created
from storage.new_job import NewJob
from storage.objects.keys import input_key
from storage.objects.port import ObjectStore
from storage.registry import PipelineRow
from storage.uploads import Upload
from web.caller import Caller
from web.errors import Problem
from web.orders import InputSource, Order
from web.pinning import Pinned, pin
from web.services import Services
from web.sniff import HEAD_BYTES, Kind, classify

log = structlog.get_logger(__name__)

#: until the plan knows better: seconds of work for a still, and per MiB of a video
SHORT_COST_SECONDS = 0.2
LONG_COST_SECONDS_PER_MIB = 0.5
#: fields of an order that count for its fingerprint where they are set
_EXTRAS = ("allow_partial", "webhook_url", "batch_id", "batch_key")


class IncomingFile(Protocol):
    """A file on its way in, as ``web.multipart.FormFile`` gives it."""

    filename: str
    content_type: str | None

    def peek(self, size: int) -> bytes:
        """Return leading bytes without consuming them."""

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, nothing at the end."""


@dataclass(frozen=True, slots=True)
class Source:
    """An input as the row will name it, and what makes it the same input as another."""

    job_id: str
    ref: InputRef
    #: None: nobody has looked inside yet
    kind: Kind | None
    identity: str
    state: JobState = JobState.QUEUED
    upload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Who asks for it, and under which key the request may be repeated."""

    caller: Caller
    idempotency_key: str | None = None


def check_order(services: Services, caller: Caller, order: Order) -> tuple[PipelineRow, dict[str, Any]]:
    """Return the pipeline and the full parameters of an order.

    Raises: Problem (pipeline.unknown, scope.missing, webhook.secret_missing), ParamsInvalid, DatabaseUnavailable.
    """
    if order.priority is Priority.URGENT and not caller.may("operate"):
        raise Problem("scope.missing", "priority urgent needs a key with scope operate", scope="operate")
    if order.webhook_url is not None and not services.webhook_secrets.has_one(caller.tenant):
        advice = "POST /v1/webhooks/secrets"
        raise Problem("webhook.secret_missing", "webhooks are signed, and you have no secret yet", advice=advice)
    return services.catalog.params(order.pipeline, order.params)


def submit_file(services: Services, terms: Terms, file: IncomingFile, read_order: Callable[[], Order]) -> Created:
    """Stream a file into the store, then make its job; ``read_order`` is called when the file has been read.

    Nothing is kept when the file is refused, the order is, or the client goes away.
    Raises: Problem, ParamsInvalid, ObjectTooLarge, ObjectStoreUnavailable, DatabaseUnavailable, IdempotencyConflict.
    """
    job_id = new_id()
    kind = classify(file.peek(HEAD_BYTES))
    limit = services.settings.max_upload_bytes
    stored = services.objects.put(
        input_key(job_id), as_stream(file), content_type="application/octet-stream", limit_bytes=limit
    )
    with kept_only_if_created(services.objects, stored.key) as keep:
        ref = InputRef(
            key=stored.key,
            size_bytes=stored.size_bytes,
            etag=stored.etag,
            sha256=stored.sha256,
            filename=clean_name(file.filename),
            content_type=clean_type(file.content_type),
        )
        source = Source(job_id, ref, kind, f"sha256:{stored.sha256}")
        created = _create(services, terms, read_order(), source)
        keep(created.fresh)
    return created


def submit_job(services: Services, terms: Terms, order: Order, where: InputSource) -> Created:
    """Make a job whose input is an upload, or lies where the ingest duty will fetch it. Raises: as ``submit_file``."""
    if where.upload_id is not None:
        return _create(services, terms, order, _upload_source(services, terms.caller, where.upload_id))
    job_id = new_id()
    address = where.url or where.object or ""
    filename = clean_name(address.partition("?")[0].rpartition("/")[2])
    # no key yet: a replay must know that the input was never copied in
    ref = InputRef(filename=filename, source_url=address)
    return _create(services, terms, order, Source(job_id, ref, None, f"at:{address}", JobState.UPLOADING))


def _upload_source(services: Services, caller: Caller, upload_id: str) -> Source:
    upload = services.uploads.get(upload_id, caller.tenant)
    if upload.state in {"open", "expired"}:
        raise Problem("upload.incomplete", f"the upload is {upload.state}", advice="POST /v1/uploads/<id>/complete")
    ref = InputRef(
        key=upload.key,
        size_bytes=upload.size_bytes,
        etag=upload.etag,
        filename=upload.filename,
        content_type=upload.content_type,
    )
    kind = _kind_of(services.objects, upload)
    return Source(new_id(), ref, kind, f"upload:{upload.id}", upload_id=upload.id)


def _kind_of(objects: ObjectStore, upload: Upload) -> Kind | None:
    if upload.state == "taken":
        return None  # a repeated request: the job exists, and its input may be gone by now
    with objects.open(upload.key, 0, HEAD_BYTES) as body:
        return classify(body.read(HEAD_BYTES))


def _create(services: Services, terms: Terms, order: Order, source: Source) -> Created:
    row, params = check_order(services, terms.caller, order)
    accepts = frozenset(row.spec.get("accepts", ()))
    if source.kind is not None and not source.kind.fits(accepts):
        raise unfit(row.name, source.kind, accepts)
    created = services.jobs.create(_new_job(terms, order, source, row, pin(services.models, row, params)))
    if created.fresh and created.job.state is JobState.QUEUED:
        services.doorbell.ring(created.job.lane, created.job.size_class)
    return created


def _new_job(terms: Terms, order: Order, source: Source, row: PipelineRow, work: Pinned) -> NewJob:
    now = datetime.now(UTC)
    size_class = source.kind.size_class if source.kind else "long"
    return NewJob(
        id=source.job_id,
        tenant=terms.caller.tenant,
        pipeline=row.name,
        spec_version=row.spec_version,
        params=work.params,
        batch_key=work.batch_key,
        pins=work.pins,
        lane=row.lane,
        size_class=size_class,
        input=source.ref,
        fingerprint=fingerprint(source.identity, order, work.params),
        state=source.state,
        priority=order.priority,
        metadata=order.metadata,
        idempotency_key=terms.idempotency_key,
        run_after=order.run_after if order.run_after and order.run_after > now else None,
        expires_at=now + timedelta(seconds=order.expires_in_seconds) if order.expires_in_seconds else None,
        cost_seconds=predicted_cost(size_class, source.ref.size_bytes),
        upload_id=source.upload_id,
        allow_partial=order.allow_partial,
        webhook_url=order.webhook_url,
        batch_id=order.batch_id,
        item_key=order.batch_key,
    )


def fingerprint(identity: str, order: Order, params: Mapping[str, Any]) -> str:
    """Return what must be equal for two requests under one idempotency key to be the same (64 hex digits)."""
    # What was not asked for is left out: a request keeps its fingerprint when the API learns something new.
    extras = {name: value for name in _EXTRAS if (value := getattr(order, name))}
    text = canonical_json(
        [identity, order.pipeline, params, order.priority.value, order.metadata, *filter(None, [extras])]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def predicted_cost(size_class: str, size_bytes: int | None) -> float:
    """Guess the seconds of work from the size alone; the plan corrects it."""
    if size_class == "short":
        return SHORT_COST_SECONDS
    return max(1.0, (size_bytes or 0) / 1024**2 * LONG_COST_SECONDS_PER_MIB)


def clean_name(text: str | None) -> str | None:
    """Return a client's file name as text to show: printable, no folders, at most 255 characters."""
    if not text:
        return None
    name = text.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char for char in name if char.isprintable())[:255]
    return kept or None


def clean_type(text: str | None) -> str | None:
    """Return a declared content type as text to show; nothing is ever decided by it."""
    return "".join(char for char in text if char.isprintable())[:100] if text else None


def unfit(pipeline: str, kind: Kind, accepts: frozenset[str]) -> Problem:
    """Return the refusal of an input that is none for this pipeline."""
    takes = " and ".join(sorted(accepts))
    return Problem("media.unsupported", f"pipeline {pipeline} takes {takes}, this looks like {kind.value}")


def as_stream(file: IncomingFile) -> BinaryIO:
    """Return the file as the object store takes it."""
    return file  # type: ignore[return-value]  # the store only ever calls read(size)


@contextmanager
def kept_only_if_created(objects: ObjectStore, key: str) -> Iterator[Callable[[bool], None]]:
    """Delete the object unless the row that names it was made, best effort: what is left over is swept later."""
    kept = [False]
    try:
        yield lambda fresh: kept.__setitem__(0, fresh)
    except StorageUnavailable:
        # the row may have been committed although its answer was lost: deleting now could rob a live job
        kept[0] = True
        raise
    finally:
        if not kept[0]:
            try:
                objects.delete([key])
            except StorageError as error:
                log.warning("submit.litter", key=key, reason=str(error))
