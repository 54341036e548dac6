"""Pictures and films of results: what a job has, and each as a file on this disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from framequeue.documents import as_count, as_mappings, as_text
from framequeue.errors import APIError
from framequeue.transport import Call, Transport
from framequeue.waiting import job_path


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file that shows something of a result: the input with what was found drawn on it, or a thumbnail."""

    name: str
    content_type: str
    size_bytes: int | None
    sha256: str | None
    #: what it shows, in a line
    caption: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Artifact:
        """Read one of ``GET /v1/jobs/<id>/artifacts``."""
        return cls(
            name=str(raw.get("name") or ""),
            content_type=str(raw.get("content_type") or ""),
            size_bytes=as_count(raw.get("size_bytes")),
            sha256=as_text(raw.get("sha256")),
            caption=str(raw.get("caption") or ""),
            raw=raw,
        )


class Artifacts:
    """Calls about the artifacts of jobs; ``Client.artifacts``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, job_id: str) -> Sequence[Artifact]:
        """Return what was made of a job's result; nothing before it has succeeded. Raises: NotFoundError, APIError."""
        found = self._transport.json(Call("GET", f"{job_path(job_id)}/artifacts"))
        return [Artifact.read(raw) for raw in as_mappings(found.get("artifacts"))]

    def save(self, job_id: str, artifact: Artifact, folder: str | os.PathLike[str]) -> Path:
        """Write an artifact into a folder and return its path; the file appears whole, with the digest that was told.

        Raises: APIError (code ``artifact.mismatch`` where other bytes came, ``artifact.unsafe`` for a name that is no
        plain file name), OSError.
        """
        if not artifact.name or Path(artifact.name).name != artifact.name or artifact.name.startswith("."):
            raise APIError(f"{artifact.name!r} is no plain file name", code="artifact.unsafe")
        path = Path(folder) / artifact.name
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        digest = hashlib.sha256()
        call = Call("GET", f"{job_path(job_id)}/artifacts/{quote(artifact.name, safe='')}")
        try:
            with partial.open("wb") as file, self._transport.stream(call) as response:
                for piece in response.iter_bytes():
                    digest.update(piece)
                    file.write(piece)
            if artifact.sha256 not in {None, digest.hexdigest()}:
                raise APIError(
                    f"{artifact.name} came with other bytes than were told",
                    code="artifact.mismatch",
                    advice="try again",
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def save_all(self, job_id: str, folder: str | os.PathLike[str]) -> Sequence[Path]:
        """Write all artifacts of a job into a folder, which is made if need be. Raises: as ``list`` and ``save``."""
        found = self.list(job_id)
        Path(folder).mkdir(parents=True, exist_ok=True)
        return [self.save(job_id, artifact, folder) for artifact in found]
