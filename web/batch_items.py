"""Lines of a manifest into records that are ready to become jobs: each is checked as a submission is, on arrival.

So what is wrong with an item is known in the answer, and the dispatcher needs to know nothing of pipelines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from pipeline.spec import ParamsInvalid, canonical_json
from storage.batches.rows import NewItem
from storage.errors import ModelInactive, ObjectNotFound
from storage.registry import PipelineRow
from storage.uploads import Upload
from web.batch_orders import ORDER_MEMBERS, PLACES, invalid, key_of, place_of
from web.caller import Caller
from web.errors import Problem, problem_of
from web.incoming import parse
from web.manifest import LINE_BYTES_MAX, Line
from web.orders import Order
from web.pinning import Pinned, pin
from web.services import Services
from web.sniff import HEAD_BYTES, classify
from web.submit import check_order, clean_name, fingerprint, predicted_cost, unfit

#: orders remembered as checked: most lines of a manifest ask for the same
REMEMBERED = 256

Checked = tuple[PipelineRow, Pinned]


class ItemReader:
    """Reads the lines of one request."""

    def __init__(self, services: Services, caller: Caller, defaults: Mapping[str, Any]) -> None:
        self._services = services
        self._caller = caller
        self._defaults = dict(defaults)
        self._checked: dict[str, Checked | Problem | ParamsInvalid] = {}

    def read(self, lines: Sequence[Line]) -> list[NewItem]:
        """Return an item for each line, good or refused. Raises: StorageUnavailable."""
        items = [self._read_one(line) for line in lines]
        return self._with_uploads(items)

    def read_members(self, values: Sequence[Any]) -> list[NewItem]:
        """Return an item for each JSON value, as ``read``."""
        return self._with_uploads([self._item(value, None) for value in values])

    def _read_one(self, line: Line) -> NewItem:
        if line.text is None:
            problem = Problem("item.too_long", f"a line may have {LINE_BYTES_MAX} bytes")
            return _refused(f"line {line.number}", problem, line=line.number)
        try:
            members = parse(line.text)
        except ValueError as error:
            return _refused(line.text.hex(), Problem("item.malformed", f"is not JSON: {error}"), line=line.number)
        return self._item(members, line.number)

    def _item(self, members: Any, line: int | None) -> NewItem:
        text = canonical_json(members)
        key: str | None = None
        try:
            if not isinstance(members, dict):
                raise Problem("item.malformed", "is not a JSON object")
            key = key_of(members)
            record = self._record(members)
        except (Problem, ParamsInvalid) as error:
            return _refused(text, problem_of(error), key=key, line=line)
        return NewItem(_digest(text), key, record, line=line)

    def _record(self, members: dict[str, Any]) -> dict[str, Any]:
        """The record of an item whose input nobody has looked into. Raises: Problem, ParamsInvalid."""
        if unknown := set(members) - ORDER_MEMBERS - {"key", *PLACES}:
            raise Problem("item.invalid", f"{min(unknown)[:50]}: no member of an item")
        place, address = place_of(members)
        order = self._order({name: value for name, value in members.items() if name in ORDER_MEMBERS})
        row, work = self._check(order)
        source: dict[str, Any] = {"upload_id": address} if place == "upload_id" else {"prefix": address}
        if place in {"url", "object"}:
            filename = clean_name(address.partition("?")[0].rpartition("/")[2])
            source = {"source_url": address, "filename": filename}
        identity = f"upload:{address}" if place == "upload_id" else f"at:{address}"
        return source | {
            "pipeline": row.name,
            "spec_version": row.spec_version,
            **work.as_json(),
            "lane": row.lane,
            "size_class": "long",
            "priority": order.priority.value,
            "metadata": order.metadata,
            "fingerprint": fingerprint(identity, order, work.params),
            "cost_seconds": predicted_cost("long", None),
            **_extras(order),
        }

    def _order(self, members: Mapping[str, Any]) -> Order:
        try:
            return Order.model_validate({**self._defaults, **members})
        except ValidationError as error:
            raise invalid(error) from None

    def _check(self, order: Order) -> Checked:
        asked = order.model_dump(mode="json", exclude={"metadata", "run_after", "expires_in_seconds"})
        name = canonical_json(asked)
        found = self._checked.get(name)
        if found is None:
            if len(self._checked) >= REMEMBERED:
                self._checked.clear()
            try:
                row, params = check_order(self._services, self._caller, order)
                found = row, pin(self._services.models, row, params)
            except (Problem, ParamsInvalid) as error:
                found = error
            except ModelInactive as error:
                found = problem_of(error)
            self._checked[name] = found
        if isinstance(found, Exception):
            raise found
        return found

    def _with_uploads(self, items: list[NewItem]) -> list[NewItem]:
        """Look at the uploads that the items name, all rows at once."""
        ids = [item.record["upload_id"] for item in items if item.error is None and "upload_id" in item.record]
        if not ids:
            return items
        uploads = self._services.uploads.find(ids, self._caller.tenant)
        return [
            self._of_upload(item, uploads.get(item.record["upload_id"]))
            if item.error is None and "upload_id" in item.record
            else item
            for item in items
        ]

    def _of_upload(self, item: NewItem, upload: Upload | None) -> NewItem:
        try:
            if upload is None:
                raise Problem("upload.unknown", f"no upload {item.record['upload_id']}")
            return replace(item, record={**item.record, **self._facts(upload, item.record["pipeline"])})
        except (Problem, ObjectNotFound) as error:
            return replace(item, record={}, error=_told(problem_of(error), item.line))

    def _facts(self, upload: Upload, pipeline: str) -> dict[str, Any]:
        """What the head of an upload says of the work. Raises: Problem, ObjectNotFound, ObjectStoreUnavailable."""
        if upload.state == "taken":
            raise Problem("state.conflict", f"upload {upload.id} was taken by another job")
        if upload.state != "complete":
            raise Problem("upload.incomplete", f"upload {upload.id} is {upload.state}")
        with self._services.objects.open(upload.key, 0, HEAD_BYTES) as body:
            kind = classify(body.read(HEAD_BYTES))
        accepts = frozenset(self._services.catalog.pipeline(pipeline).spec.get("accepts", ()))
        if not kind.fits(accepts):
            raise unfit(pipeline, kind, accepts)
        cost = predicted_cost(kind.size_class, upload.size_bytes)
        return {"size_class": kind.size_class, "cost_seconds": cost}


def _extras(order: Order) -> dict[str, Any]:
    """What only some orders say; the job is made later, so an instant stays one and a span begins then."""
    asked = order.model_dump(mode="json", exclude_defaults=True)
    return {name: asked[name] for name in asked if name not in {"pipeline", "params", "priority", "metadata"}}


def _refused(identity: str, problem: Problem, *, line: int | None, key: str | None = None) -> NewItem:
    return NewItem(_digest(identity), key, error=_told(problem, line), line=line)


def _told(problem: Problem, line: int | None) -> dict[str, Any]:
    """What an item's error says: a problem in one sentence, its faults named, and the line it stands in."""
    faults = "; ".join(f"{fault['path'].strip('/')}: {fault['message']}" for fault in problem.faults[:5])
    message = (faults or problem.detail or problem.title)[:1000]
    told = {"code": problem.code, "message": message, "advice": problem.advice, "line": line}
    return {name: value for name, value in told.items() if value is not None}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
