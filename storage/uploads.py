"""Rows of presigned, resumable uploads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.database import Database
from storage.errors import StateConflict, UploadNotFound
from storage.ids import is_id
from storage.jsonb import clean_text
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


_COLUMNS = """id::text AS id, tenant, state, key, multipart_id, size_bytes, part_size_bytes, filename, content_type,
    etag, created_at, expires_at"""

_INSERT = text(f"""
    INSERT INTO uploads (id, tenant, state, key, multipart_id, size_bytes, part_size_bytes, filename, content_type,
        etag, created_at, expires_at)
    VALUES (CAST(:id AS uuid), :tenant, :state, :key, :multipart_id, :size_bytes, :part_size_bytes, :filename,
        :content_type, :etag, :created_at, :expires_at)
    RETURNING {_COLUMNS}
""")  # noqa: S608 - fixed text

_GET = text(f"SELECT {_COLUMNS} FROM uploads WHERE id = CAST(:id AS uuid) AND tenant = :tenant")  # noqa: S608 - fixed text

_FIND = text(f"""
    SELECT {_COLUMNS} FROM uploads WHERE id = ANY(CAST(:ids AS uuid[])) AND tenant = :tenant
""")  # noqa: S608 - fixed text

_COMPLETE = text("""
    UPDATE uploads SET state = 'complete', etag = :etag, size_bytes = :size_bytes, sha256 = :sha256
    WHERE id = CAST(:id AS uuid) AND tenant = :tenant AND state = 'open'
""")

_EXPIRE = text(f"""
    UPDATE uploads SET state = 'expired' WHERE id IN (
        SELECT id FROM uploads WHERE state IN ('open', 'complete') AND expires_at <= (SELECT clock_timestamp())
        ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
""")  # noqa: S608 - fixed text


class UploadStore:
    """Conditional writes on ``uploads``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, upload: Upload) -> Upload:
        """Insert."""
        record = asdict(upload) | {
            "filename": clean_text(upload.filename),
            "content_type": clean_text(upload.content_type),
        }
        with self._database.transaction() as connection:
            return Upload(**connection.execute(_INSERT, record).one()._mapping)

    def get(self, upload_id: str, tenant: str) -> Upload:
        """Raises: UploadNotFound."""
        with self._database.transaction() as connection:
            return _get(connection, upload_id, tenant)

    def find(self, upload_ids: Sequence[str], tenant: str) -> Mapping[str, Upload]:
        """Return those of these uploads that there are, by id."""
        ids = [upload_id for upload_id in upload_ids if is_id(upload_id)]
        with self._database.transaction() as connection:
            rows = connection.execute(_FIND, {"ids": ids, "tenant": tenant})
            return {row.id: Upload(**row._mapping) for row in rows}

    def complete(self, upload_id: str, tenant: str, stored: StoredObject) -> Upload:
        """``open`` -> ``complete``; repeatable. Raises: UploadNotFound, StateConflict (expired)."""
        facts = {
            "id": upload_id,
            "tenant": tenant,
            "etag": stored.etag,
            "size_bytes": stored.size_bytes,
            "sha256": stored.sha256,
        }
        with self._database.transaction() as connection:
            _get(connection, upload_id, tenant)
            connection.execute(_COMPLETE, facts)
            upload = _get(connection, upload_id, tenant)
        if upload.state == "expired":
            raise StateConflict(f"upload {upload_id} has expired; start a new one")
        return upload

    def expire(self, limit: int = 100) -> Sequence[Upload]:
        """Mark untaken uploads past their time ``expired`` and return them, so that their parts can be thrown away."""
        with self._database.transaction() as connection:
            return [Upload(**row._mapping) for row in connection.execute(_EXPIRE, {"limit": limit})]


def _get(connection: Connection, upload_id: str, tenant: str) -> Upload:
    row = None
    if is_id(upload_id):
        row = connection.execute(_GET, {"id": upload_id, "tenant": tenant}).one_or_none()
    if row is None:
        raise UploadNotFound(f"no upload {upload_id}")
    return Upload(**row._mapping)
