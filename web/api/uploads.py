"""Resumable uploads: parts go to signed URLs, straight to the store."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from storage.errors import ObjectNotFound, UploadNotFound
from storage.ids import new_id
from storage.objects.keys import upload_key
from storage.objects.port import StoredObject, StoredPart
from storage.uploads import Upload
from web.answers import answer
from web.auth import scope
from web.context import base_url, caller, services
from web.documents import PartUrl, PartUrls, UploadDocument
from web.errors import Problem
from web.incoming import known_id
from web.shapes import part_bytes, part_count, upload_document
from web.submit import clean_name, clean_type

bp = APIBlueprint("uploads", __name__, url_prefix="/v1/uploads", tag="Uploads")

LIFE = timedelta(hours=24)
#: S3 takes so many parts and no more
PARTS_MAX = 10_000
URLS_AT_ONCE_MAX = 1000


class UploadOrder(BaseModel):
    """What is to be uploaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size_bytes: int = Field(ge=0, description="Exact size of the file.")
    filename: str | None = Field(None, max_length=1000)
    content_type: str | None = Field(None, max_length=200)


class PartNumbers(BaseModel):
    """Which parts to send next."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers: list[int] = Field(min_length=1, max_length=URLS_AT_ONCE_MAX, description="Part numbers, from 1.")


def own_upload(upload_id: str) -> Upload:
    """Return the caller's upload. Raises: UploadNotFound, also for another tenant's."""
    return services().uploads.get(known_id(upload_id, UploadNotFound), caller().tenant)


@bp.post("")
@scope("submit")
@bp.input(UploadOrder)
@bp.output(UploadDocument, 201)
def create_upload(json_data: UploadOrder) -> Response:
    """Begin an upload: ask for part URLs, PUT the parts, complete it, then submit a job with its id.

    It lives 24 hours unless a job takes it.
    """
    limit = services().settings.max_upload_bytes
    if json_data.size_bytes == 0:
        raise Problem("media.empty", "an upload has at least one byte")
    if json_data.size_bytes > limit:
        raise Problem("media.too_large", f"a file may have {limit} bytes")
    upload_id = new_id()
    key = upload_key(upload_id)
    now = datetime.now(UTC)
    upload = Upload(
        id=upload_id,
        tenant=caller().tenant,
        state="open",
        key=key,
        multipart_id=services().objects.start_multipart(key, content_type="application/octet-stream"),
        size_bytes=json_data.size_bytes,
        part_size_bytes=_part_size(json_data.size_bytes),
        filename=clean_name(json_data.filename),
        content_type=clean_type(json_data.content_type),
        etag=None,
        created_at=now,
        expires_at=now + LIFE,
    )
    created = services().uploads.create(upload)
    return answer(upload_document(created, []), 201, {"Location": f"{base_url()}/v1/uploads/{upload_id}"})


def _part_size(size_bytes: int) -> int:
    """The configured size, or as many whole MiB as keep the number of parts in bounds."""
    least = math.ceil(size_bytes / PARTS_MAX / 1024**2) * 1024**2
    return max(services().settings.upload_part_bytes, least)


@bp.get("/<upload_id>")
@scope("submit")
@bp.output(UploadDocument)
def get_upload(upload_id: str) -> Response:
    """See which parts have arrived, to go on after a break."""
    upload = own_upload(upload_id)
    return answer(upload_document(upload, _arrived(upload)))


def _arrived(upload: Upload) -> list[StoredPart]:
    """The parts of an open upload. Raises: UploadNotFound when it was aborted."""
    if upload.state != "open":
        return []
    try:
        return list(services().objects.list_parts(upload.key, upload.multipart_id))
    except ObjectNotFound:
        _joined(upload)
        count = part_count(upload)
        return [StoredPart(number, part_bytes(upload, number), "") for number in range(1, count + 1)]


def _joined(upload: Upload) -> StoredObject:
    """What an earlier call joined whose answer was lost. Raises: UploadNotFound when there is nothing."""
    try:
        return services().objects.stat(upload.key)
    except ObjectNotFound:
        raise UploadNotFound("the upload was aborted") from None


@bp.post("/<upload_id>/parts")
@scope("submit")
@bp.input(PartNumbers)
@bp.output(PartUrls)
def sign_parts(upload_id: str, json_data: PartNumbers) -> Response:
    """Get the signed URLs of some parts.

    PUT each with exactly its size and Content-Type application/octet-stream; a part may be sent again.
    """
    upload = own_upload(upload_id)
    if upload.state != "open":
        raise Problem("state.conflict", f"the upload is {upload.state}")
    count = part_count(upload)
    if wrong := [number for number in json_data.numbers if not 1 <= number <= count]:
        fault = {"path": "/numbers", "message": f"parts are numbered 1 to {count}; got {wrong[0]}"}
        raise Problem("request.invalid", "see faults", faults=[fault])
    expires = services().settings.upload_url_seconds
    urls = [_part_url(upload, number, expires) for number in dict.fromkeys(json_data.numbers)]
    return answer(PartUrls(urls=urls, expires_in_seconds=expires))


def _part_url(upload: Upload, number: int, expires_seconds: int) -> PartUrl:
    size = part_bytes(upload, number)
    url = services().objects.presign_part(
        upload.key, upload.multipart_id, number, size_bytes=size, expires_seconds=expires_seconds
    )
    return PartUrl(number=number, size_bytes=size, url=url)


@bp.post("/<upload_id>/complete")
@scope("submit")
@bp.output(UploadDocument)
def complete_upload(upload_id: str) -> Response:
    """Join the parts; may be repeated. Then submit a job with `input: {"upload_id": ...}`."""
    upload = own_upload(upload_id)
    if upload.state in {"complete", "taken"}:
        return answer(upload_document(upload, []))
    if upload.state != "open":
        raise Problem("state.conflict", f"the upload is {upload.state}")
    stored = _join(upload)
    if stored.size_bytes != upload.size_bytes:
        services().objects.delete([upload.key])
        raise Problem("upload.mismatch", f"{upload.size_bytes} bytes were declared, {stored.size_bytes} came")
    return answer(upload_document(services().uploads.complete(upload.id, upload.tenant, stored), []))


def _join(upload: Upload) -> StoredObject:
    try:
        parts = services().objects.list_parts(upload.key, upload.multipart_id)
    except ObjectNotFound:
        return _joined(upload)
    _require_all(upload, list(parts))
    return services().objects.complete_multipart(upload.key, upload.multipart_id, parts)


def _require_all(upload: Upload, parts: list[StoredPart]) -> None:
    """Every part is there with its exact size, or the client is told which are not."""
    sizes = {part.number: part.size_bytes for part in parts}
    wrong = [number for number in range(1, part_count(upload) + 1) if sizes.get(number) != part_bytes(upload, number)]
    if wrong:
        raise Problem(
            "upload.incomplete",
            f"{len(wrong)} of {part_count(upload)} parts are missing or have another size",
            missing_parts=wrong[:URLS_AT_ONCE_MAX],
        )


@bp.delete("/<upload_id>")
@scope("submit")
@bp.output({}, 204)
def abort_upload(upload_id: str) -> Response:
    """Give an open upload up and throw its parts away.

    A complete one goes by itself 24 hours after it was begun, unless a job takes it.
    """
    upload = own_upload(upload_id)
    if upload.state in {"complete", "taken"}:
        raise Problem("state.conflict", f"the upload is {upload.state}", advice="erase the job that has taken it")
    # the parts alone: a job may be taking the joined object in this very moment
    services().objects.abort_multipart(upload.key, upload.multipart_id)
    return Response(status=204)
