"""What this installation can run, remembered for a few seconds, and parameters checked against it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from pipeline.spec import canonical_params, with_defaults
from storage.registry import PipelineRow, Registry
from web.errors import Problem

Value = TypeVar("Value")

#: a new pipeline or version is seen after at most this long
REMEMBER_SECONDS = 3.0


class Remembered(Generic[Value]):
    """A value read anew when it is older than a few seconds; one reader at a time, others use it too."""

    def __init__(
        self, read: Callable[[], Value], seconds: float = REMEMBER_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._entry: tuple[float, Value] | None = None

    def get(self, *, fresh: bool = False) -> Value:
        """Return the value; ``fresh`` reads it now. Raises: what ``read`` raises, and then remembers nothing."""
        with self._lock:
            if fresh or self._entry is None or self._clock() - self._entry[0] > self._seconds:
                self._entry = None
                self._entry = (self._clock(), self._read())
            return self._entry[1]


class Catalog:
    """Pipelines by name, with this installation's defaults in their schemas."""

    def __init__(self, registry: Registry, defaults: Mapping[str, Any] | None = None) -> None:
        """``defaults``: see ``pipeline.spec.with_defaults``."""

        def adapted(row: PipelineRow) -> PipelineRow:
            schema = with_defaults(row.spec["params_schema"], defaults or {})
            return replace(row, spec={**row.spec, "params_schema": schema})

        self._rows = Remembered(lambda: {row.name: adapted(row) for row in registry.pipelines()})

    def pipelines(self) -> Sequence[PipelineRow]:
        """Return all, by name, as they are now."""
        return list(self._rows.get(fresh=True).values())

    def pipeline(self, name: str) -> PipelineRow:
        """Return a pipeline. Raises: Problem with code pipeline.unknown, naming those there are."""
        row = self._rows.get().get(name) or self._rows.get(fresh=True).get(name)
        if row is None:
            raise Problem(
                "pipeline.unknown",
                f"no pipeline is called {name[:100]!r}",
                advice="see GET /v1/pipelines",
                pipelines=sorted(self._rows.get()),
            )
        return row

    def params(self, name: str, params: Mapping[str, Any]) -> tuple[PipelineRow, dict[str, Any]]:
        """Return a pipeline and its parameters with every default filled in.

        Raises: Problem with code pipeline.unknown, ParamsInvalid with every fault.
        """
        row = self.pipeline(name)
        return row, canonical_params(row.spec["params_schema"], params)
