"""Dead letters: jobs that used up their attempts on faults that were not the input's; for operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from framequeue.documents import as_count, as_mapping, as_mappings, as_text
from framequeue.transport import Call, Transport

Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead jobs that ended with the same error."""

    fingerprint: str
    code: str
    message: str
    jobs: int
    example_job_ids: tuple[str, ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> DeadGroup:
        """Read one of ``GET /v1/dead``."""
        examples = raw.get("example_job_ids")
        return cls(
            fingerprint=str(raw.get("fingerprint") or ""),
            code=str(raw.get("code") or ""),
            message=str(raw.get("message") or ""),
            jobs=as_count(raw.get("jobs")) or 0,
            example_job_ids=tuple(map(str, examples)) if isinstance(examples, list) else (),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """An order to replay dead jobs, carried out by the dispatcher at a limited rate."""

    id: str
    #: running, finished or canceled
    state: str
    replayed: int
    skipped: int
    #: jobs that could not be replayed, with the reason; the first of them
    refusals: tuple[Mapping[str, Any], ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> ReplayOrder:
        """Read an order document."""
        return cls(
            id=str(raw.get("id") or ""),
            state=str(raw.get("state") or ""),
            replayed=as_count(raw.get("replayed")) or 0,
            skipped=as_count(raw.get("skipped")) or 0,
            refusals=tuple(as_mappings(raw.get("refusals"))),
            raw=raw,
        )


class DeadLetters:
    """The calls under ``/v1/dead``; made by ``Client.dead``.

    A filter names what is meant: ``pipeline``, ``code``, ``fingerprint``, ``since``, ``until``; for ``replay`` and
    ``discard`` also ``job_ids``, or ``{"all": True}``.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def groups(self, where: Filter | None = None) -> list[DeadGroup]:
        """Return dead jobs grouped by their error, largest group first. Raises: APIError."""
        found = self._transport.json(Call("GET", "/v1/dead", query=dict(where or {})))
        return [DeadGroup.read(raw) for raw in as_mappings(found.get("groups"))]

    def jobs(self, where: Filter | None = None, *, page_size: int = 100) -> Iterator[Mapping[str, Any]]:
        """Yield dead jobs with their last errors, the offending segment, and whether they can be replayed.

        Raises: APIError.
        """
        cursor: str | None = None
        while True:
            query = {**(where or {}), "cursor": cursor, "limit": page_size}
            page = self._transport.json(Call("GET", "/v1/dead/jobs", query=query))
            yield from as_mappings(page.get("jobs"))
            cursor = as_text(page.get("next_cursor"))
            if cursor is None:
                return

    def replay(
        self,
        where: Filter,
        *,
        params: Mapping[str, Any] | None = None,
        per_second: float | None = None,
        force: bool = False,
    ) -> ReplayOrder:
        """Order that dead jobs run again, at most ``per_second`` of them; return the order.

        force: also those whose last runs all ended with the same error. Raises: InvalidError, APIError.
        """
        members = {
            "filter": dict(where),
            "params": None if params is None else dict(params),
            "per_second": per_second,
            "force": force or None,
        }
        return ReplayOrder.read(self._post("/v1/dead/replay", members))

    def replays(self) -> list[ReplayOrder]:
        """Return the orders, newest first. Raises: APIError."""
        found = self._transport.json(Call("GET", "/v1/dead/replays"))
        return [ReplayOrder.read(raw) for raw in as_mappings(found.get("replays"))]

    def replay_order(self, order_id: str) -> ReplayOrder:
        """Return how far an order is. Raises: NotFoundError, APIError."""
        return ReplayOrder.read(self._transport.json(Call("GET", f"/v1/dead/replays/{quote(order_id, safe='')}")))

    def cancel_replay(self, order_id: str) -> ReplayOrder:
        """Replay nothing more by this order. Raises: NotFoundError, APIError."""
        return ReplayOrder.read(self._post(f"/v1/dead/replays/{quote(order_id, safe='')}/cancel", {}))

    def discard(self, where: Filter) -> int:
        """Take dead jobs off the list for good and return how many. Raises: APIError."""
        return as_count(self._post("/v1/dead/discard", {"filter": dict(where)}).get("discarded")) or 0

    def _post(self, path: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        body = {"json": {name: value for name, value in members.items() if value is not None}}
        return as_mapping(self._transport.json(Call("POST", path, body=lambda: body, repeatable=False)))
