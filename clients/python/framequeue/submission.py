"""One submission: a small file goes in the request itself, a large one in presigned parts first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from framequeue.errors import APIStatusError
from framequeue.sources import Local, Meter, OnProgress, Remote, Stretch, content_type
from framequeue.transport import Call, Transport
from framequeue.uploads import Uploader

#: from this size on a file goes up in parts
MULTIPART_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Order:
    """What to do with an input."""

    pipeline: str
    params: Mapping[str, Any]
    priority: str | None
    metadata: Mapping[str, Any]
    run_after: str | None
    expires_in_seconds: int | None
    idempotency_key: str
    allow_partial: bool = False
    webhook_url: str | None = None
    #: the open batch it belongs to, and its unique name in it
    batch_id: str | None = None
    batch_key: str | None = None

    def members(self) -> dict[str, Any]:
        """Return the members of the request that are set."""
        members = {
            "pipeline": self.pipeline,
            "params": dict(self.params) or None,
            "priority": self.priority,
            "metadata": dict(self.metadata) or None,
            "run_after": self.run_after,
            "expires_in_seconds": self.expires_in_seconds,
            "allow_partial": self.allow_partial or None,
            "webhook_url": self.webhook_url,
            "batch_id": self.batch_id,
            "batch_key": self.batch_key,
        }
        return {name: value for name, value in members.items() if value is not None}

    def headers(self) -> dict[str, str]:
        """Return the header that makes a repeated request harmless."""
        return {"Idempotency-Key": self.idempotency_key}

    def form(self) -> dict[str, str]:
        """Return the members as text fields of a form; what has structure is JSON.

        ``params`` is always there: with it before the file, a wrong one is refused before the file is sent.
        """
        members = {"params": {}} | self.members()
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in members.items()}


class Submission:
    """Sends one order with its input; each way returns the job document. Raises: APIError."""

    def __init__(self, transport: Transport, order: Order, on_progress: OnProgress | None = None) -> None:
        self._transport = transport
        self._order = order
        self._on_progress = on_progress

    def remote(self, source: Remote) -> Mapping[str, Any]:
        """Name an input that the server gets by itself."""
        return self._by_name({source.kind: source.address})

    def local(self, source: Local) -> Mapping[str, Any]:
        """Send a file or bytes."""
        if source.size_bytes < MULTIPART_BYTES:
            return self._in_one(source)
        uploader = Uploader(self._transport, self._on_progress)
        upload_id = uploader.send(source)
        try:
            document = self._by_name({"upload_id": upload_id})
        except APIStatusError as error:
            if error.code in {"upload.unknown", "upload.incomplete"}:  # it expired between the two calls
                uploader.forget(source)
            raise
        uploader.forget(source)
        return document

    def _by_name(self, where: Mapping[str, str]) -> Mapping[str, Any]:
        body = {"json": self._order.members() | {"input": dict(where)}}
        return self._transport.json(Call("POST", "/v1/jobs", headers=self._order.headers(), body=lambda: body))

    def _in_one(self, source: Local) -> Mapping[str, Any]:
        meter = Meter(source.size_bytes, self._on_progress, self._transport.closed)
        with source.open() as file:
            body = Stretch(file, 0, source.size_bytes, meter)

            def form() -> Mapping[str, Any]:
                meter.add(-body.tell())
                body.seek(0)
                part = (source.filename, body, content_type(source.filename))
                return {"data": self._order.form(), "files": {"file": part}}

            return self._transport.json(Call("POST", "/v1/jobs", headers=self._order.headers(), body=form))
