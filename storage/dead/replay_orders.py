"""Orders to replay dead letters: made by web, carried out by the dispatcher (``storage.dead.replay_steps``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Row

from storage import audit
from storage.audit import Actor
from storage.database import Database
from storage.dead.filter import DeadFilter
from storage.errors import CursorInvalid, ReplayOrderNotFound
from storage.ids import is_id, new_id
from storage.jsonb import dump


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """One row of ``replay_orders``."""

    id: str
    state: str  # running | finished | canceled
    by: str
    #: whose dead letters it means; None: everyone's
    tenant: str | None
    filter: DeadFilter
    #: as the client gave them; None: each job keeps its own
    params: Mapping[str, Any] | None
    force: bool
    per_second: float
    replayed: int
    #: left alone for their last runs ended with one error
    skipped: int
    #: impossible to replay
    refused: int
    #: the first of skipped and refused: job_id, code, message
    refusals: Sequence[Mapping[str, str]]
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewParams:
    """Parameters that replace those of every job, as each pipeline completes them."""

    given: Mapping[str, Any]
    #: pipeline -> {"params", "batch_key", "pins"}; a job of another pipeline is refused
    by_pipeline: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Orders, newest first, and the cursor for the next page."""

    orders: Sequence[ReplayOrder]
    next_cursor: str | None


COLUMNS = """o.id::text AS id, o.state, o.by, o.tenant, o.filter, o.params -> 'given' AS params, o.force, o.per_second,
    o.replayed, o.skipped, o.refused, o.refusals, o.created_at, o.finished_at"""

# The first job need not wait.
_INSERT = text(f"""
    INSERT INTO replay_orders AS o (id, state, by, tenant, filter, params, force, per_second, paced_at)
    VALUES (CAST(:id AS uuid), 'running', :by, :tenant, CAST(:filter AS jsonb), CAST(:params AS jsonb), :force,
        :per_second, clock_timestamp() - make_interval(secs => 1.0 / :per_second))
    RETURNING {COLUMNS}
""")  # noqa: S608 - fixed text

_OWN = "(CAST(:tenant AS text) IS NULL OR o.tenant = :tenant)"
_GET = text(f"SELECT {COLUMNS} FROM replay_orders o WHERE o.id = CAST(:id AS uuid) AND {_OWN}")  # noqa: S608 - fixed text
_PAGE = text(f"""
    SELECT {COLUMNS} FROM replay_orders o
    WHERE {_OWN} AND (CAST(:cursor AS uuid) IS NULL OR o.id < CAST(:cursor AS uuid)) ORDER BY o.id DESC LIMIT :limit
""")  # noqa: S608 - fixed text
_CANCEL = text(f"""
    UPDATE replay_orders o SET state = 'canceled', finished_at = clock_timestamp()
    WHERE o.id = CAST(:id AS uuid) AND o.state = 'running' AND {_OWN}
""")  # noqa: S608 - fixed text


class ReplayOrders:
    """Made, looked at, canceled; ``tenant`` None is an operator, who sees everyone's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, where: DeadFilter, *, params: NewParams | None, force: bool, per_second: float, by: Actor
    ) -> ReplayOrder:
        """Order that what is dead now, and fits the filter, runs again."""
        given = None if params is None else {"given": params.given, "by_pipeline": params.by_pipeline}
        row = {
            "id": new_id(),
            "by": by.by,
            "tenant": where.tenant,
            "filter": dump(where.as_json()),
            "params": None if given is None else dump(given),
            "force": force,
            "per_second": per_second,
        }
        with self._database.transaction() as connection:
            order = order_of(connection.execute(_INSERT, row).one())
            told = {"order": order.id, "filter": where.summary(), "force": force, "per_second": per_second}
            audit.note(connection, by, "dead.replay", **told, params=None if params is None else params.given)
            return order

    def get(self, order_id: str, tenant: str | None) -> ReplayOrder:
        """Raises: ReplayOrderNotFound."""
        row = None
        if is_id(order_id):
            with self._database.transaction() as connection:
                row = connection.execute(_GET, {"id": order_id, "tenant": tenant}).one_or_none()
        if row is None:
            raise ReplayOrderNotFound(f"no replay order {order_id}")
        return order_of(row)

    def page(self, tenant: str | None, *, cursor: str | None, limit: int) -> OrderPage:
        """Newest first. Raises: CursorInvalid."""
        if cursor is not None and not is_id(cursor):
            raise CursorInvalid("the cursor is not one that a listing returned")
        where = {"tenant": tenant, "cursor": cursor, "limit": limit + 1}
        with self._database.transaction() as connection:
            rows = connection.execute(_PAGE, where).all()
        orders = [order_of(row) for row in rows[:limit]]
        return OrderPage(orders, orders[-1].id if len(rows) > limit else None)

    def cancel(self, order_id: str, tenant: str | None, *, by: Actor) -> tuple[ReplayOrder, bool]:
        """Replay nothing more by it; return it, and whether this call did that. Raises: ReplayOrderNotFound."""
        self.get(order_id, tenant)
        with self._database.transaction() as connection:
            canceled = connection.execute(_CANCEL, {"id": order_id, "tenant": tenant}).rowcount > 0
            if canceled:
                audit.note(connection, by, "dead.replay.cancel", order=order_id)
        return self.get(order_id, tenant), canceled


def order_of(row: Row[Any]) -> ReplayOrder:
    """Return the order of a row selected with COLUMNS."""
    fields = {name: row._mapping[name] for name in ReplayOrder.__dataclass_fields__}
    return ReplayOrder(**(fields | {"filter": DeadFilter.of_json(fields["filter"])}))
