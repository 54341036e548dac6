"""The world of one scenario: a stack of its own, who loads it, who hurts it, and chance from a seed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from bench.embedded import EmbeddedStack, eventually, running_stack
from bench.faults.books import Books
from bench.faults.history import read_history
from bench.faults.load import Load
from bench.faults.nemesis import Injection, Nemesis
from bench.faults.recovery import percentiles, recovery_seconds
from storage.objects.port import ObjectStore

Kept = TypeVar("Kept")

#: what every stack here is told, unless a scenario says otherwise
SETTINGS = {
    "FQ_PIPELINES": "motion,bench.faults.barcode:Barcode",
    "FQ_CONCURRENCY": "2",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What the person at the terminal asked for."""

    seed: int = 1
    #: 1.0: the size the bar speaks of
    scale: float = 1.0
    #: how long the faults of a scenario that runs for a time go on; None: as long as its bar says, by scale
    minutes: float | None = None


class World:
    """Use as a context manager; the end of the block ends everything that was started, however it comes to that."""

    def __init__(self, name: str, terms: Terms) -> None:
        self.name = name
        self.terms = terms
        self.rng = random.Random(f"{name} {terms.seed}")
        self.injected: list[Injection] = []
        #: jobs that were acknowledged to somebody else than the load, and jobs that were erased on purpose
        self.promised: set[str] = set()
        self.erased: set[str] = set()
        #: others than the load submit, without telling; jobs may be unfinished at the end
        self.strangers_welcome = False
        self.cut_short = False
        #: where the stack keeps objects, if not in its own folder
        self.store: ObjectStore | None = None
        self._exits = ExitStack()
        self._begun = time.monotonic()
        self._stack: EmbeddedStack | None = None
        self._load: Load | None = None
        self._nemesis: Nemesis | None = None

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def start(
        self,
        *,
        webs: int = 2,
        workers: int = 2,
        dispatchers: int = 2,
        settings: Mapping[str, str] | None = None,
        parts: Mapping[str, Mapping[str, str]] | None = None,
    ) -> EmbeddedStack:
        """Bring a stack up. Once, from the main thread.

        ``settings``: environment of all parts. ``parts``: that of single ones, by name or pattern (``worker*``), which
        goes before what the stack itself says, so that a part may be told of another store, scratch folder or clock.
        """
        told = SETTINGS | {
            "FQ_LOCAL_WEBS": str(webs),
            "FQ_LOCAL_WORKERS": str(workers),
            "FQ_LOCAL_DISPATCHERS": str(dispatchers),
            "FQ_LOCAL_EXTRA": json.dumps({name: dict(values) for name, values in (parts or {}).items()}),
        }
        self._stack = self.keep(running_stack(told | dict(settings or {})))
        self._nemesis = Nemesis(self._stack, Books(self._stack.state.database_url), self._told)
        self._load = Load(self._stack)
        # in this order at the end: nobody submits to, and nothing is frozen in, a stack that is told to stop
        self._exits.callback(self._nemesis.thaw)
        self._exits.callback(self._load.abandon)
        return self._stack

    def keep(self, context: AbstractContextManager[Kept]) -> Kept:
        """Enter a context that ends with the world: after the stack, if it was entered before the stack was started."""
        return self._exits.enter_context(context)

    @property
    def stack(self) -> EmbeddedStack:
        """The stack that was started."""
        assert self._stack is not None, "the scenario has started no stack"
        return self._stack

    @property
    def nemesis(self) -> Nemesis:
        """Who hurts it."""
        assert self._nemesis is not None, "the scenario has started no stack"
        return self._nemesis

    @property
    def load(self) -> Load:
        """Its clients."""
        assert self._load is not None, "the scenario has started no stack"
        return self._load

    @property
    def books(self) -> Books:
        """A look into its database."""
        return Books(self.stack.state.database_url)

    def size(self, full: int, *, least: int = 1) -> int:
        """How many, where the bar says ``full``."""
        return max(least, round(full * self.terms.scale))

    def seconds(self, full: float, *, least: float = 1.0) -> float:
        """How long, where the bar says ``full``."""
        asked = self.terms.minutes
        return max(least, full * self.terms.scale if asked is None else asked * 60)

    def say(self, text: str) -> None:
        """A line on the terminal, with the time since the scenario began."""
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        print(f"  {minutes:02d}:{seconds:02d}  {text}", flush=True)

    def inject(self, kind: str, victim: str) -> Injection:
        """Record a fault that is not a signal to a process: a cut connection, a full disk."""
        injection = Injection(kind, victim, Books(self.stack.state.database_url).now())
        self._told(injection)
        return injection

    def settle(self, timeout_seconds: float = 120.0) -> float:
        """Wait until no job is unfinished; return how long that took. Raises: AssertionError."""
        books = self.books
        return eventually(
            lambda: books.unfinished() == 0,
            timeout_seconds,
            lambda: f"after {timeout_seconds:.0f} s of peace the jobs are {dict(books.states())}",
            every=0.2,
        )

    def pause(self, seconds: float) -> None:
        """Let so much time pass: faults are told by their length. Raises: AssertionError when the load has failed."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            if self._load is not None and self._load.errors:
                raise AssertionError(f"the load itself failed: {self._load.errors[0]!r}")

    def wait_for(self, holds: Callable[[], bool], timeout_seconds: float, otherwise: str) -> float:
        """Wait for a condition; return how long that took. Raises: AssertionError."""
        return eventually(holds, timeout_seconds, f"{otherwise} after {timeout_seconds:.0f} s")

    def recovery(self) -> Mapping[str, float | int | None]:
        """Seconds from each kill to the next claim or the end of what the victim held: count, p50, p90, p99, max."""
        history = read_history(self.stack.state.database_url)
        kills = [injection for injection in self.injected if injection.kind == "kill"]
        return percentiles(recovery_seconds(history, kills))

    def _told(self, injection: Injection) -> None:
        self.injected.append(injection)
        self.say(str(injection))
