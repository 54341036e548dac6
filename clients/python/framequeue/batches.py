"""Batches: many items under one name, counted, canceled, replayed and fetched together."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from framequeue.documents import Page, as_count, as_mapping, as_mappings, as_number, as_text
from framequeue.errors import WaitTimeoutError
from framequeue.transport import Call, Transport

Item = Mapping[str, Any]

#: items that one request carries; each request is safe to send again
ITEMS_PER_REQUEST = 1000
#: pause between two looks at a batch that is waited for
LOOK_SECONDS = 2.0
_NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Batch:
    """How a batch stands."""

    id: str
    name: str | None
    #: open, running, finished or canceled
    state: str
    #: items in all, and how many of them are waiting, rejected, queued, running, succeeded, failed, dead, canceled
    counts: Mapping[str, int]
    progress: float
    #: the first rejected items: index, key, error
    errors: Sequence[Mapping[str, Any]]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Batch:
        """Read a batch document."""
        counts = {name: as_count(value) or 0 for name, value in as_mapping(raw.get("counts")).items()}
        return cls(
            id=str(raw.get("id") or ""),
            name=as_text(raw.get("name")),
            state=str(raw.get("state") or ""),
            counts=counts,
            progress=as_number(raw.get("progress")) or 0.0,
            errors=as_mappings(raw.get("errors")),
            raw=raw,
        )

    @property
    def terminal(self) -> bool:
        """Whether nothing of it will change any more by itself."""
        return self.state in {"finished", "canceled"}

    @property
    def unfinished(self) -> int:
        """Items that have not come to their end."""
        return sum(self.counts.get(name, 0) for name in ("waiting", "uploading", "queued", "running"))

    @property
    def ok(self) -> bool:
        """Whether it has finished and every item of it succeeded."""
        return self.state == "finished" and self.counts.get("succeeded", 0) == self.counts.get("total", 0)


class Batches:
    """The calls under ``/v1/batches``; made by ``Client.batches``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        items: Iterable[Item] = (),
        *,
        name: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        max_queue: int | None = None,
        leave_open: bool = False,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Make a batch and add its items, a thousand at a time; then close it, unless it is to stay open.

        items: ``{"url"|"object"|"prefix"|"upload_id": ..., "key": your own unique name, "params": ...}``; members of an
        item override ``defaults`` (pipeline, params, priority, metadata, webhook_url, ...). ``max_queue``: at most so
        many of its jobs are unfinished at once. The same idempotency key finds the same batch again.
        Raises: APIError.
        """
        members: dict[str, Any] = {
            "name": name,
            "defaults": dict(defaults or {}),
            "max_queue": max_queue,
            "open": True,
            "items": [],
        }
        body = {"json": {key: value for key, value in members.items() if value is not None}}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        made = Batch.read(self._transport.json(Call("POST", "/v1/batches", headers=headers, body=lambda: body)))
        added = self.add(made.id, items)
        if not leave_open:
            return self.close(made.id)
        return added or made

    def add(self, batch_id: str, items: Iterable[Item]) -> Batch | None:
        """Add items to an open batch; those whose key it has already change nothing. Raises: APIError."""
        batch: Batch | None = None
        left = iter(items)
        while chunk := list(islice(left, ITEMS_PER_REQUEST)):
            text = "".join(json.dumps(item, separators=(",", ":")) + "\n" for item in chunk).encode()
            # a chunk that comes twice is recognized by its keys; without them it must not
            keyed = all("key" in item for item in chunk)
            call = Call("POST", f"{batch_path(batch_id)}/items", headers=_NDJSON, body=_content(text), repeatable=keyed)
            batch = Batch.read(self._transport.json(call))
        return batch

    def close(self, batch_id: str) -> Batch:
        """Say that no further items will come. Raises: APIError."""
        return self._post(batch_id, "close")

    def get(self, batch_id: str, *, wait: float | None = None) -> Batch:
        """Return a batch as it stands; with ``wait``, when it has ended or after so many seconds. Raises: APIError."""
        query = {"wait": wait}
        seconds = None if wait is None else self._transport.timeout + wait
        return Batch.read(self._transport.json(Call("GET", batch_path(batch_id), query=query, timeout=seconds)))

    def wait(
        self, batch_id: str, timeout: float | None = None, *, on_update: Callable[[Batch], None] | None = None
    ) -> Batch:
        """Return the batch once it has ended. Raises: WaitTimeoutError, APIError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            batch = self.get(batch_id)
            if on_update is not None:
                on_update(batch)
            if batch.terminal:
                return batch
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(batch, timeout or 0.0)
            self._transport.pause(LOOK_SECONDS)

    def page(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Batch]:
        """Return one page of batches, newest first. Raises: APIError."""
        found = self._transport.json(Call("GET", "/v1/batches", query={"cursor": cursor, "limit": limit}))
        return Page([Batch.read(raw) for raw in as_mappings(found.get("batches"))], as_text(found.get("next_cursor")))

    def items(self, batch_id: str, *, state: str | None = None, page_size: int = 1000) -> Iterator[Item]:
        """Yield items in order: index, key, state, job_id, error. Raises: APIError."""
        cursor: str | None = None
        while True:
            query = {"state": state, "cursor": cursor, "limit": page_size}
            page = self._transport.json(Call("GET", f"{batch_path(batch_id)}/items", query=query))
            yield from as_mappings(page.get("items"))
            cursor = as_text(page.get("next_cursor"))
            if cursor is None:
                return

    def results(self, batch_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield one document per item: index, key, job_id, state, summary, error. Raises: APIError."""
        with self._transport.stream(Call("GET", f"{batch_path(batch_id)}/results")) as response:
            for line in response.iter_lines():
                if line.strip():
                    yield json.loads(line)

    def save_results(self, batch_id: str, to: str | os.PathLike[str]) -> int:
        """Write the results as JSON lines and return the size in bytes; the file appears whole or not at all.

        Raises: APIError, OSError.
        """
        path = Path(to)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with (
                partial.open("wb") as file,
                self._transport.stream(Call("GET", f"{batch_path(batch_id)}/results")) as response,
            ):
                for piece in response.iter_bytes():
                    file.write(piece)
            size = partial.stat().st_size
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return size

    def cancel(self, batch_id: str) -> Batch:
        """End it: what is not in the queue yet never comes there, and its unfinished jobs end. Raises: APIError."""
        return self._post(batch_id, "cancel")

    def replay_failed(
        self, batch_id: str, params: Mapping[str, Any] | None = None, *, states: Sequence[str] | None = None
    ) -> Batch:
        """Run again what ended failed or dead, with other parameters if so wished; ``raw["replay"]`` tells of it.

        Raises: ConflictError (such an order is under way), InvalidError, APIError.
        """
        members = {"params": None if params is None else dict(params), "states": list(states) if states else None}
        body = {"json": {key: value for key, value in members.items() if value is not None}}
        call = Call("POST", f"{batch_path(batch_id)}/replay-failed", body=lambda: body, repeatable=False)
        return Batch.read(self._transport.json(call))

    def _post(self, batch_id: str, verb: str) -> Batch:
        call = Call("POST", f"{batch_path(batch_id)}/{verb}", body=lambda: {"json": {}})
        return Batch.read(self._transport.json(call))


def batch_path(batch_id: str) -> str:
    """Return the path of a batch."""
    return f"/v1/batches/{quote(batch_id, safe='')}"


def _content(text: bytes) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"content": text}
