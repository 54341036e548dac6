"""Open multipart uploads of the local store: a folder each, a file per part named by number and hash."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from storage.errors import ObjectMismatch, ObjectNotFound, ObjectTooLarge
from storage.objects.drafts import Draft, Drafts, disk_errors, reading
from storage.objects.folder import remove_older, sync_folder
from storage.objects.measured import MeasuredBody
from storage.objects.parts import check_parts, joined_etag
from storage.objects.port import StoredPart
from storage.objects.signing import PartGrant
from storage.objects.streams import COPY_BYTES

_ID = re.compile(r"[0-9a-f]{32}")
_PART = re.compile(r"(\d{5})-([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Joined:
    """What is known of parts put together."""

    etag: str
    content_type: str | None


class LocalParts:
    """The part files of all open uploads."""

    def __init__(self, root: Path, drafts: Drafts) -> None:
        self._root = root
        self._drafts = drafts

    def start(self, key: str, content_type: str | None) -> str:
        """Open an upload and return its id."""
        multipart_id = secrets.token_hex(16)
        with disk_errors():
            folder = self._root / multipart_id
            folder.mkdir()
            with (folder / "upload.json").open("w") as file:
                json.dump({"key": key, "content_type": content_type}, file)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._root)
        return multipart_id

    def receive(self, grant: PartGrant, stream: BinaryIO) -> StoredPart:
        """Write one part of exactly the granted size. Raises: ObjectMismatch, ObjectNotFound."""
        folder, _ = self._upload(grant.key, grant.multipart_id)
        measured = MeasuredBody(stream, grant.size_bytes)
        with self._drafts.new() as draft:
            try:
                while piece := measured.read(COPY_BYTES):
                    draft.write(piece)
            except ObjectTooLarge as error:
                raise ObjectMismatch(
                    f"part {grant.number} is larger than the {grant.size_bytes} bytes agreed"
                ) from error
            if measured.size_bytes != grant.size_bytes:
                raise ObjectMismatch(
                    f"part {grant.number} ended after {measured.size_bytes} of {grant.size_bytes} bytes"
                )
            draft.seal()
            with reading(f"open upload {grant.multipart_id}", self._root):
                # no making of folders here: an upload that was aborted meanwhile must stay away
                os.replace(draft.path, folder / f"{grant.number:05d}-{measured.sha256}")
                sync_folder(folder)
        return StoredPart(grant.number, measured.size_bytes, measured.sha256)

    def list(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """Return the latest version of each part, by number. Raises: ObjectNotFound."""
        folder, _ = self._upload(key, multipart_id)
        latest: dict[int, tuple[int, StoredPart]] = {}
        with reading(f"open upload {multipart_id}", self._root):
            for path in folder.iterdir():
                if (match := _PART.fullmatch(path.name)) is None:
                    continue
                stat = path.stat()
                part = StoredPart(int(match[1]), stat.st_size, match[2])
                latest[part.number] = max(
                    latest.get(part.number, (0, part)), (stat.st_mtime_ns, part), key=lambda x: x[0]
                )
        return [part for _, part in (latest[number] for number in sorted(latest))]

    def join(self, key: str, multipart_id: str, parts: Sequence[StoredPart], draft: Draft) -> Joined:
        """Write the parts one after the other. Raises: ObjectMismatch, ObjectNotFound (no such open upload)."""
        folder, content_type = self._upload(key, multipart_id)
        ordered = check_parts(parts, self.list(key, multipart_id))
        for part in ordered:
            with (
                reading(f"open upload {multipart_id}", self._root),
                (folder / f"{part.number:05d}-{part.etag}").open("rb") as file,
            ):
                while piece := file.read(COPY_BYTES):
                    draft.write(piece)
        return Joined(joined_etag(ordered), content_type)

    def abort(self, key: str, multipart_id: str) -> None:
        """Throw an open upload away; none is no error."""
        with suppress(ObjectNotFound):
            self._upload(key, multipart_id)
            self.discard(multipart_id)

    def discard(self, multipart_id: str) -> None:
        """Delete the folder of an upload."""
        shutil.rmtree(self._root / multipart_id, ignore_errors=True)

    def discard_older(self, older_than: datetime, limit: int) -> int:
        """Delete uploads without a change since ``older_than``; return how many."""
        return remove_older(self._root, older_than, limit)

    def _upload(self, key: str, multipart_id: str) -> tuple[Path, str | None]:
        """Folder and content type of an open upload. Raises: ObjectNotFound, also for another key's id."""
        if _ID.fullmatch(multipart_id) is None:
            raise ObjectNotFound(f"no open upload {multipart_id!r}")
        folder = self._root / multipart_id
        with reading(f"open upload {multipart_id}", self._root):
            upload = json.loads((folder / "upload.json").read_text())
        if upload["key"] != key:
            raise ObjectNotFound(f"no open upload {multipart_id} for {key}")
        return folder, upload["content_type"]
