"""Rows of presigned, resumable uploads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Database
from storage.objects.port import StoredObject


@dataclass(frozen=True, slots=True)
class Upload:
    """One row of ``uploads``; it lives 24 h unless a job takes it."""

    id: str
    tenant: str
    state: str  # open | complete | taken | expired
    key: str
    multipart_id: str
    size_bytes: int
    part_size_bytes: int
    filename: str | None
    content_type: str | None
    etag: str | None
    created_at: datetime
    expires_at: datetime


class UploadStore:
    """Conditional writes on ``uploads``."""

    def __init__(self, database: Database) -> None:
        raise NotImplementedError

    def create(self, upload: Upload) -> Upload:
        """Insert."""
        raise NotImplementedError

    def get(self, upload_id: str, tenant: str) -> Upload:
        """Raises: UploadNotFound."""
        raise NotImplementedError

    def complete(self, upload_id: str, tenant: str, stored: StoredObject) -> Upload:
        """``open`` -> ``complete``; repeatable. Raises: UploadNotFound, StateConflict (expired)."""
        raise NotImplementedError

    def expire(self, limit: int = 100) -> Sequence[Upload]:
        """Mark untaken uploads past their time ``expired`` and return them, so that their parts can be thrown away."""
        raise NotImplementedError
