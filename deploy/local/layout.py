"""How many of each part the embedded stack has, and what single parts are told besides the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from deploy.local.child import StartError

#: what there may be several of
REPLICATED = {"web": "FQ_LOCAL_WEBS", "worker": "FQ_LOCAL_WORKERS", "dispatcher": "FQ_LOCAL_DISPATCHERS"}
#: a machine's worth; also where a typing error is noticed
MOST = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """One of each part, unless told otherwise."""

    counts: Mapping[str, int] = field(default_factory=dict)
    #: by a part's name or a pattern of names (``worker*``): environment that goes before everything else
    extra: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: whether Redis keeps its messages over a restart
    redis_persists: bool = True

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Layout:
        """From ``FQ_LOCAL_*``. Raises: StartError, naming the setting that is wrong."""
        counts = {kind: _count(name, env.get(name) or "1") for kind, name in REPLICATED.items()}
        persists = env.get("FQ_LOCAL_REDIS_PERSISTS") or "1"
        if persists not in ("0", "1"):
            raise StartError("FQ_LOCAL_REDIS_PERSISTS: 0 or 1")
        return cls(counts, _extra(env.get("FQ_LOCAL_EXTRA") or "{}"), persists == "1")

    def replicas(self, kind: str) -> tuple[str, ...]:
        """The names of all parts of a kind: ``worker``, ``worker-2``, ..."""
        further = range(2, self.counts.get(kind, 1) + 1)
        return (kind, *(f"{kind}-{number}" for number in further))

    def extra_of(self, name: str) -> dict[str, str]:
        """What one part is told besides; a later pattern goes before an earlier one."""
        told: dict[str, str] = {}
        for pattern, values in self.extra.items():
            if fnmatchcase(name, pattern):
                told |= values
        return told


def _count(name: str, value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= MOST:
        raise StartError(f"{name}: a number from 1 to {MOST}")
    return int(value)


def _extra(value: str) -> dict[str, dict[str, str]]:
    advice = StartError('FQ_LOCAL_EXTRA: JSON such as {"worker-2": {"FQ_CONCURRENCY": "1"}}')
    try:
        data: Any = json.loads(value)
    except ValueError:
        raise advice from None
    if not isinstance(data, dict) or not all(isinstance(values, dict) for values in data.values()):
        raise advice
    return {pattern: {str(key): str(one) for key, one in values.items()} for pattern, values in data.items()}
