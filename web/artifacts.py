"""Pictures and films of a result, as the API tells them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from storage.artifacts import Artifact
from storage.job import Job, JobState
from web.documents import Document


class ArtifactDocument(Document):
    """One file that shows something of the result."""

    name: str = Field(description="annotated.jpg of a still, annotated.mp4 of a video, thumbnail-01.jpg and so on.")
    content_type: str
    size_bytes: int
    sha256: str
    caption: str = Field(description="What it shows, in a line.")
    url: str


class ArtifactList(Document):
    """The files that parameter `artifacts` asked for; none before the job has succeeded."""

    job_id: str
    run: int
    state: JobState
    artifacts: Sequence[ArtifactDocument]


def artifact_list(job: Job, base_url: str) -> ArtifactList:
    """Return what a job's row names."""
    own = f"{base_url}/v1/jobs/{job.id}/artifacts"
    found = [
        ArtifactDocument(
            name=one.name,
            content_type=one.content_type,
            size_bytes=one.size_bytes,
            sha256=one.sha256,
            caption=one.caption,
            url=f"{own}/{one.name}",
        )
        for one in map(Artifact.of, job.artifacts)
    ]
    return ArtifactList(job_id=job.id, run=job.run, state=job.state, artifacts=found)


def artifact_named(job: Job, name: str) -> Artifact | None:
    """Return the artifact of that name, None where the job has none."""
    return next((one for one in map(Artifact.of, job.artifacts) if one.name == name), None)
