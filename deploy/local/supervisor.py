"""Keeps the parts running: starts them, waits until they are ready, restarts those that die, stops all in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deploy.local.child import Child, StartError
from deploy.local.home import PartState
from deploy.local.leftovers import stop_place
from deploy.local.parts import Part
from deploy.local.wake import Wake

#: a part that ran this long before it died starts at once again
STEADY_SECONDS = 60.0
LONGEST_DELAY_SECONDS = 30.0
#: how often a part that is starting is asked whether it is ready
PROBE_SECONDS = 0.1


def restart_delay(failures_in_a_row: int) -> float:
    """Seconds to wait before the next start: 0.5, 1, 2, ... up to 30."""
    return float(min(LONGEST_DELAY_SECONDS, 0.5 * 2 ** min(failures_in_a_row, 10)))


@dataclass(slots=True)
class Seat:
    """What the supervisor knows of one part."""

    part: Part
    child: Child | None = None
    status: str = "down"  # starting | up | down | held
    since: float = field(default_factory=time.monotonic)
    failures: int = 0
    restarts: int = 0
    due: float | None = None

    def as_state(self) -> PartState:
        """As the state file tells it."""
        log = "" if self.child is None else str(self.child.command.log_path)
        running = self.child is not None and self.child.ended() is None
        return PartState(
            status=self.status,
            pid=self.child.identity.pid if self.child and running else None,
            started=self.child.identity.started if self.child and running else None,
            log=log,
            restarts=self.restarts,
        )


class Supervisor:
    """Owns every child; one thread, woken by ``Wake``."""

    def __init__(self, wake: Wake, *, changed: Callable[[Seat], None], say: Callable[[str], None]) -> None:
        self._wake = wake
        self._changed = changed
        self._say = say
        self._seats: dict[str, Seat] = {}
        wake.on_hurry = self._kill_all

    def bring_up(self, parts: Sequence[Part], *, ready: Callable[[Part, float], None]) -> None:
        """Start parts side by side; return when all are ready. Raises: StartError, StopRequested."""
        begun = time.monotonic()
        for part in parts:
            self._wake.check()
            self._start(self._seats.setdefault(part.name, Seat(part)))
        for part in parts:
            seat = self._seats[part.name]
            while seat.status != "up":
                self._probe(seat)
                if seat.status == "up":
                    ready(part, time.monotonic() - begun)
                    break
                self._must_go_on(seat)
                self._wake.wait(PROBE_SECONDS)

    def run_to_end(self, name: str, launch: Callable[[], Child], *, timeout_seconds: float = 120.0) -> None:
        """Run one step, such as a migration. Raises: StartError, StopRequested."""
        child = launch()
        deadline = time.monotonic() + timeout_seconds
        try:
            while child.ended() is None:
                if time.monotonic() > deadline:
                    raise StartError(f"{name} did not end within {timeout_seconds:.0f} s:\n{child.log_tail()}")
                self._wake.wait(1.0)
        finally:
            child.stop(5.0)
        if child.ended():
            raise StartError(f"{name} failed with code {child.ended()}; the end of its log:\n{child.log_tail()}")

    def watch(self) -> None:
        """Keep the parts running. Raises: StopRequested, when it is time to end."""
        while True:
            for command in self._wake.wait(self._next_look()):
                self._obey(command)
            for seat in self._seats.values():
                self._tend(seat)

    def take_down(self) -> None:
        """Stop all in order; a second request to stop kills what is left."""
        for seat in sorted(self._seats.values(), key=lambda seat: stop_place(seat.part.name)):
            if seat.child is not None and seat.child.ended() is None:
                self._stop(seat, "down")
                self._say(f"stopped {seat.part.name}")

    def _start(self, seat: Seat) -> None:
        seat.child = seat.part.launch()
        seat.due = None
        self._set(seat, "starting")

    def _stop(self, seat: Seat, status: str) -> None:
        if seat.child is None:
            return
        if not seat.child.stop(seat.part.stop_timeout_seconds):
            self._say(f"{seat.part.name} did not end within {seat.part.stop_timeout_seconds:g} s and was killed")
        self._set(seat, status)

    def _kill_all(self) -> None:
        for seat in self._seats.values():
            if seat.child is not None and seat.child.ended() is None:
                seat.child.sweep()

    def _set(self, seat: Seat, status: str) -> None:
        seat.status, seat.since = status, time.monotonic()
        self._changed(seat)

    def _probe(self, seat: Seat) -> None:
        if seat.child is not None and seat.child.ended() is None and seat.part.ready(seat.child):
            self._set(seat, "up")

    def _must_go_on(self, seat: Seat) -> None:
        if seat.child is None:
            return
        code = seat.child.ended()
        if code is not None:
            raise StartError(f"{seat.part.name} ended with code {code}; the end of its log:\n{seat.child.log_tail()}")
        limit = seat.part.ready_timeout_seconds
        if time.monotonic() - seat.since > limit:
            raise StartError(
                f"{seat.part.name} was not ready after {limit:.0f} s; the end of its log:\n{seat.child.log_tail()}"
            )

    def _tend(self, seat: Seat) -> None:
        now = time.monotonic()
        if seat.status in ("starting", "up") and seat.child is not None:
            code = seat.child.ended()
            if code is not None:
                self._bury(seat, code, lived_seconds=now - seat.since)
            elif seat.status == "starting":
                self._probe(seat)
                if seat.status == "up":
                    self._say(f"{seat.part.name} is back")
        elif seat.due is not None and now >= seat.due:
            seat.restarts += 1
            self._start(seat)

    def _bury(self, seat: Seat, code: int, *, lived_seconds: float) -> None:
        if seat.child is not None:
            seat.child.sweep()  # children of its own do not outlive it
        seat.failures = 0 if seat.status == "up" and lived_seconds > STEADY_SECONDS else seat.failures + 1
        delay = restart_delay(seat.failures)
        seat.due = time.monotonic() + delay
        log = seat.child.command.log_path if seat.child else ""
        self._say(f"{seat.part.name} ended with code {code}; next start in {delay:.0f} s; see {log}")
        self._set(seat, "down")

    def _next_look(self) -> float | None:
        if any(seat.status == "starting" for seat in self._seats.values()):
            return PROBE_SECONDS
        due = [seat.due for seat in self._seats.values() if seat.due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _obey(self, command: str) -> None:
        verb, _, name = command.partition(" ")
        seat = self._seats.get(name)
        if seat is None:
            return
        if verb in ("stop", "restart"):
            seat.due = None
            self._stop(seat, "held")
            self._say(f"stopped {name}")
        if verb in ("start", "restart") and seat.status in ("held", "down"):
            seat.restarts += 1
            self._start(seat)
