"""Pictures and films of a result: their list, and each as a file."""

from __future__ import annotations

from apiflask import APIBlueprint
from apiflask.schemas import FileSchema
from flask import Response

from storage.job import Job
from web.answers import answer
from web.artifacts import ArtifactList, artifact_list, artifact_named
from web.auth import scope
from web.context import base_url, services
from web.errors import Problem
from web.jobviews import client_has, own_job
from web.sending import Sent, send_object

bp = APIBlueprint("artifacts", __name__, url_prefix="/v1/jobs", tag="Artifacts")


@bp.get("/<job_id>/artifacts")
@scope("read")
@bp.output(ArtifactList)
def list_artifacts(job_id: str) -> Response:
    """List the pictures and films that were made of a result, because its parameter `artifacts` asked for them."""
    return answer(artifact_list(_job_with_results(job_id), base_url()))


@bp.get("/<job_id>/artifacts/<name>")
@scope("read")
@bp.output(FileSchema(type="string", format="binary"), content_type="application/octet-stream")
def get_artifact(job_id: str, name: str) -> Response:
    """Download one of them, whole or a range of it. Its ETag is its SHA-256."""
    job = _job_with_results(job_id)
    found = artifact_named(job, name)
    if found is None:
        raise Problem(
            "artifact.unknown", f"this job has no artifact {name[:100]!r}", advice="GET .../artifacts lists them"
        )
    if client_has(found.sha256):
        return Response(status=304, headers={"ETag": f'"{found.sha256}"', "Cache-Control": "private, no-cache"})
    filename = f"{job.pipeline}-{job.id}-{found.name}"
    sent = Sent(found.key, found.size_bytes, found.sha256, found.content_type, filename)
    return send_object(services().objects, sent)


def _job_with_results(job_id: str) -> Job:
    """Return the caller's job. Raises: JobNotFound, Problem result.gone once retention took what it made."""
    job = own_job(job_id)
    if job.results_deleted_at is not None:
        raise Problem(
            "result.gone",
            f"its artifacts were deleted at {job.results_deleted_at:%Y-%m-%d %H:%M} UTC, for their time was over",
            advice="replay the job while its input is there",
        )
    return job
