"""Large files in presigned parts: several at once, and a broken upload goes on where it stopped.

What has arrived is known by the store alone; here we only remember which upload belongs to which file.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from framequeue.documents import Upload, as_count, as_mappings
from framequeue.errors import APIError, ConfigurationError, NotFoundError
from framequeue.sources import Local, LocalFile, Meter, OnProgress, Stretch, content_type
from framequeue.transport import Call, Transport

#: parts on their way at the same time
PARALLEL_PARTS = 4
#: signed links asked for at once
LINKS_AT_ONCE = 16
#: how often a part is sent again with a fresh link, after the transport's own tries
PART_ROUNDS = 3


class Uploader:
    """Sends a file as an upload and returns its id."""

    def __init__(self, transport: Transport, on_progress: OnProgress | None = None) -> None:
        self._transport = transport
        self._on_progress = on_progress
        self._journal = Journal(transport.connection.base_url)

    def send(self, source: Local) -> str:
        """Send what has not arrived yet, complete the upload and return its id.

        Raises: ConfigurationError (the file changed meanwhile), APIError.
        """
        upload = self._open(source)
        if upload.state == "open":
            meter = Meter(source.size_bytes, self._on_progress, self._transport.closed)
            meter.add(sum(map(upload.part_size, upload.arrived)))
            missing = [number for number in range(1, upload.part_count + 1) if number not in upload.arrived]
            with self._pool() as pool:
                for numbers in _chunks(missing, LINKS_AT_ONCE):
                    self._send_parts(pool, source, upload, numbers, meter)
            _check_unchanged(source)
            self._transport.json(Call("POST", f"/v1/uploads/{upload.id}/complete", body=lambda: {"json": {}}))
        return upload.id

    def forget(self, source: Local) -> None:
        """A job has taken the upload: the same file sent again is a new upload."""
        self._journal.forget(source)

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        """Threads for the parts; after an error or Ctrl-C what has not begun is dropped."""
        pool = ThreadPoolExecutor(PARALLEL_PARTS, thread_name_prefix="framequeue-part")
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _open(self, source: Local) -> Upload:
        """Return the open upload of this very file if there is one, else a new one."""
        known = self._journal.find(source)
        if known is not None:
            try:
                upload = _read(self._transport.json(Call("GET", f"/v1/uploads/{known}")))
            except NotFoundError:
                upload = None
            if upload is not None and upload.state in {"open", "complete"} and upload.size_bytes == source.size_bytes:
                return upload
        body = {
            "json": {
                "size_bytes": source.size_bytes,
                "filename": source.filename,
                "content_type": content_type(source.filename),
            }
        }
        # Happening twice leaves an empty upload that the server throws away by itself.
        upload = _read(self._transport.json(Call("POST", "/v1/uploads", body=lambda: body)))
        self._journal.remember(source, upload.id)
        return upload

    def _send_parts(
        self, pool: ThreadPoolExecutor, source: Local, upload: Upload, numbers: Sequence[int], meter: Meter
    ) -> None:
        """Send some parts; those whose link failed get a fresh one."""
        left = list(numbers)
        for last in (False,) * (PART_ROUNDS - 1) + (True,):
            failed: dict[int, APIError] = {}
            links = self._links(upload, left)
            running = {
                pool.submit(self._send_part, source, upload, number, links[number], meter): number for number in left
            }
            for future, number in _as_they_end(running):
                error = future.exception()
                if error is None:
                    continue
                if not isinstance(error, APIError) or last:
                    raise error
                failed[number] = error
            left = sorted(failed)
            if not left:
                return

    def _links(self, upload: Upload, numbers: Sequence[int]) -> Mapping[int, str]:
        body = {"json": {"numbers": list(numbers)}}
        found = self._transport.json(Call("POST", f"/v1/uploads/{upload.id}/parts", body=lambda: body))
        links = {as_count(item.get("number")): str(item.get("url")) for item in as_mappings(found.get("urls"))}
        missing = [number for number in numbers if number not in links]
        if missing:
            raise APIError(f"the server gave no link for part {missing[0]}", code="answer.malformed")
        return {number: links[number] for number in numbers}

    def _send_part(self, source: Local, upload: Upload, number: int, link: str, meter: Meter) -> None:
        size = upload.part_size(number)
        with source.open() as file:
            body = Stretch(file, (number - 1) * upload.part_size_bytes, size, meter)

            def again() -> Stretch:
                meter.add(-body.tell())
                body.seek(0)
                return body

            try:
                self._transport.put_part(link, again, size)
            except APIError:
                meter.add(-body.tell())
                raise


class Journal:
    """Which upload belongs to which file, in the user's cache folder: one small file each."""

    def __init__(self, base_url: str, folder: Path | None = None) -> None:
        self._base_url = base_url
        self._folder = folder or cache_folder() / "framequeue" / "uploads"

    def find(self, source: Local) -> str | None:
        """Return the id of the upload that was begun for this file in this version."""
        path = self._path(source)
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path else {}
        except (OSError, ValueError):
            return None
        return str(found["upload_id"]) if isinstance(found, dict) and "upload_id" in found else None

    def remember(self, source: Local, upload_id: str) -> None:
        """Write it down; a cache that cannot be written only means that a broken upload starts anew."""
        path = self._path(source)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
            partial.write_text(json.dumps({"upload_id": upload_id, "filename": source.filename}), encoding="utf-8")
            partial.replace(path)
        except OSError:
            return

    def forget(self, source: Local) -> None:
        """Remove it."""
        path = self._path(source)
        if path is not None:
            path.unlink(missing_ok=True)

    def _path(self, source: Local) -> Path | None:
        if not isinstance(source, LocalFile):
            return None
        identity = [self._base_url, os.fspath(source.path.resolve()), source.size_bytes, source.modified_ns]
        return self._folder / f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}.json"


def cache_folder() -> Path:
    """Return where this user keeps what may be lost."""
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named) if named else Path.home() / ".cache"
    except RuntimeError:  # an account without a home
        return Path(tempfile.gettempdir())


def _read(raw: Mapping[str, Any]) -> Upload:
    size, part_size = as_count(raw.get("size_bytes")), as_count(raw.get("part_size_bytes"))
    if not size or not part_size or not raw.get("id"):
        raise APIError("the server's upload document lacks id, size_bytes or part_size_bytes", code="answer.malformed")
    upload = Upload(str(raw["id"]), str(raw.get("state")), size, part_size, frozenset(), raw)
    arrived = {
        number
        for part in as_mappings(raw.get("parts"))
        if (number := as_count(part.get("number"))) and as_count(part.get("size_bytes")) == upload.part_size(number)
    }
    return Upload(upload.id, upload.state, size, part_size, frozenset(arrived), raw)


def _as_they_end(running: Mapping[Future[None], int]) -> Iterator[tuple[Future[None], int]]:
    left = set(running)
    while left:
        ended, left = wait(left, return_when=FIRST_COMPLETED)
        for future in ended:
            yield future, running[future]


def _chunks(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def _check_unchanged(source: Local) -> None:
    if isinstance(source, LocalFile):
        now = source.path.stat()
        if (now.st_size, now.st_mtime_ns) != (source.size_bytes, source.modified_ns):
            raise ConfigurationError(f"{source.path} changed while it was being sent", code="file.changed")
