"""Taking in a model version: object, row, doorbell, in this order. No Flask here."""

from __future__ import annotations

from dataclasses import replace

from storage.ids import new_id
from storage.model_rows import ModelVersion, NewVersion
from storage.objects.keys import model_key
from web.caller import Caller
from web.errors import Problem
from web.model_orders import version_from_form
from web.multipart import StreamedForm
from web.services import Services
from web.submit import as_stream, kept_only_if_created


def add_version(services: Services, caller: Caller, form: StreamedForm) -> tuple[ModelVersion, bool]:
    """Check the card, stream the weights into the store, then make the row; return it and whether it is new.

    Nothing is kept of weights that are not what was declared, and nothing is read of those that are here already.
    Raises: Problem, StateConflict, ObjectTooLarge, ObjectStoreUnavailable, DatabaseUnavailable.
    """
    file = form.next_file()
    if file is None:
        raise Problem("request.invalid", "see faults", faults=[{"path": "/file", "message": "the weights are needed"}])
    new = version_from_form(form.fields)
    known = services.models.version(new.name, new.version)
    if known is not None and known.state != "refused":
        return services.models.add(new, by=caller.actor)
    stored = services.objects.put(
        model_key(new_id(), new.digest),
        as_stream(file),
        content_type="application/octet-stream",
        limit_bytes=services.settings.max_model_bytes,
    )
    with kept_only_if_created(services.objects, stored.key) as keep:
        form.finish()
        if stored.sha256 != new.digest:
            raise Problem("upload.mismatch", f"the weights that came have the digest {stored.sha256}")
        new = replace(new, object_key=stored.key, size_bytes=stored.size_bytes)
        found, fresh = services.models.add(new, by=caller.actor)
        keep(fresh)
    if fresh:
        _ring(services, new)
    return found, fresh


def _ring(services: Services, new: NewVersion) -> None:
    """Rouse the workers that can check it: those of every pipeline that takes models of its task."""
    rows = services.catalog.pipelines()
    lanes = {row.lane for row in rows if any(new.task in tasks for tasks in row.spec.get("models", {}).values())}
    for lane in sorted(lanes):
        services.doorbell.ring(lane, "short")
