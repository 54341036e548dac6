"""Which dead letters are meant, and which of them may run again; words and pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: so many runs in a row that ended with one error are a loop: another one needs ``force``
LOOPING_RUNS = 3
#: ids of a filter that are told one by one
IDS_TOLD = 20


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """What is meant; None means any."""

    tenant: str | None = None
    job_ids: Sequence[str] | None = None
    fingerprint: str | None = None
    code: str | None = None
    pipeline: str | None = None
    #: dead at or after
    since: datetime | None = None
    #: dead before
    until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for a row: only what narrows, instants as text."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        given = {name: value for name, value in fields.items() if value is not None}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}

    def summary(self) -> dict[str, Any]:
        """Return it for people: ``all`` when nothing narrows, of many ids the first ones, and how many there are."""
        told = self.as_json()
        if not set(told) - {"tenant"}:
            told["all"] = True
        if self.job_ids is not None and len(self.job_ids) > IDS_TOLD:
            told |= {"job_ids": list(self.job_ids[:IDS_TOLD]), "job_ids_total": len(self.job_ids)}
        return told

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> DeadFilter:
        """Read what ``as_json`` gave."""
        instants = {name: datetime.fromisoformat(fields[name]) for name in ("since", "until") if name in fields}
        return cls(**{**fields, **instants})

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """Return the condition on jobs ``j`` as SQL, in the words of the index ``jobs_dead``, and its values."""
        parts = ["j.state = 'dead' AND j.discarded_at IS NULL"]
        values: dict[str, Any] = {}
        for name, condition in _CONDITIONS.items():
            value = getattr(self, name)
            if value is not None:
                parts.append(condition)
                values[name] = list(value) if name == "job_ids" else value
        return " AND ".join(parts), values


_CONDITIONS = {
    "tenant": "j.tenant = :tenant",
    "job_ids": "j.id = ANY(CAST(:job_ids AS uuid[]))",
    "fingerprint": "j.error_fingerprint = :fingerprint",
    "code": "j.error_code = :code",
    "pipeline": "j.pipeline = :pipeline",
    "since": "j.finished_at >= :since",
    "until": "j.finished_at < :until",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a dead letter is not replayed."""

    code: str
    message: str


def input_is_gone(*, key: str | None, source_url: str | None, deleted_at: datetime | None) -> bool:
    """Whether a job cannot run again for want of its input; one that was never fetched can be fetched still."""
    return deleted_at is not None or (key is None and source_url is None)


def refusal(*, gone: bool, same_error_runs: int, force: bool = False) -> Refusal | None:
    """Return why an order must leave a dead letter as it is; None when it may run again."""
    if gone:
        return Refusal("input.gone", "its input was deleted")
    if same_error_runs >= LOOPING_RUNS and not force:
        return Refusal("replay.looping", f"its last {same_error_runs} runs ended with this same error")
    return None
