"""A worker's part in checking new versions: have each loaded and run on a sample, and say what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import DeviceOutOfMemory, PipelineError
from pipeline.models.check import CheckReport, self_check
from pipeline.pipelines.base import Pipeline
from storage.errors import DatabaseUnavailable, StorageUnavailable
from storage.model_checks import CheckResult, ModelChecks
from storage.model_rows import ModelVersion
from workers.flags import SharedFlags
from workers.hand import Stopped
from workers.heartbeat import Pulse
from workers.logs import get_logger
from workers.model_shelf import Loaded, VersionShelf
from workers.retry import describe
from workers.watchdog import Watchdog

log = get_logger(__name__)

#: fetching and checking, or measuring, may together take so many times what loading alone may
CHECK_LOADS = 2.0


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """Done between shifts by whichever worker comes first; versions of tasks that none of its pipelines takes wait."""

    checks: ModelChecks
    shelf: VersionShelf
    tasks: tuple[str, ...]
    host: str
    pulse: Pulse
    watchdog: Watchdog
    flags: SharedFlags
    load_seconds: float
    #: what the process of a check may take, as in ``check_apart``
    memory_bytes: int
    #: versions that this process has measured, or found measured
    measured: set[tuple[str, str, str]] = field(default_factory=set)

    def run_due(self) -> int:
        """Check what waits for it; return how many. Never raises for what versions or the infrastructure do."""
        done = 0
        while self._may_check():
            try:
                found = self.checks.take(self.pulse.worker_id, self.tasks)
                if found is None or not self._settle(found):
                    break
            except DatabaseUnavailable as error:
                log.warning("model.check_put_off", error=repr(error))
                break
            done += 1
        return done

    def measure_loaded(self) -> None:
        """Measure what jobs have had loaded, once for each version and machine; for idle times."""
        for loaded in self.shelf.loaded():
            if loaded.package.key in self.measured or not self._may_check():
                continue
            self.measured.add(loaded.package.key)
            try:
                self._measure(loaded)
            except Exception as error:  # noqa: BLE001 - nobody asked for it, so nothing may come of it
                log.warning("model.not_measured", model=loaded.package.card.name, error=repr(error))

    def _may_check(self) -> bool:
        return bool(self.tasks) and self.pulse.registered and not (self.flags.stopping or self.pulse.draining)

    def _settle(self, found: ModelVersion) -> bool:
        """Check one version and write it down; False when it was given back. Raises: DatabaseUnavailable."""
        try:
            with self.watchdog.over(CHECK_LOADS * self.load_seconds):
                self._alive()
                result = self._result(found)
        except (Stopped, StorageUnavailable, OSError) as error:  # OSError: no room here for another process
            log.info("model.check_given_back", model=found.name, version=found.version, reason=repr(error))
            self.checks.give_back(self.pulse.worker_id, found)
            return False
        self.checks.settle(self.pulse.worker_id, found, result)
        log.info("model.checked", model=found.name, version=found.version, error=result.error)
        return True

    def _result(self, found: ModelVersion) -> CheckResult:
        """Check one version. Raises: Stopped, also where the next process is to check it, StorageUnavailable."""
        try:
            package = self.shelf.files.of_row(found)
            checked = self.shelf.check(
                package, memory_bytes=self.memory_bytes, seconds=self.load_seconds, tick=self._alive
            )
        except (Stopped, StorageUnavailable):
            raise
        except DeviceOutOfMemory as error:
            if self.shelf.make_room_on_gpu():  # beside what this process holds there was none
                raise Stopped from error
            advice = f"A check may take {self.memory_bytes} bytes beside thrice the weights: FQ_MODEL_CHECK_BYTES."
            return CheckResult(error=describe(error).as_json() | {"advice": advice})
        except PipelineError as error:
            return CheckResult(error=describe(error).as_json())
        if not checked.report.ok:
            return CheckResult(error={"code": "model.check_failed", "message": "; ".join(checked.report.faults)})
        return CheckResult(
            measured={self._place(on_gpu=checked.on_gpu): _figures(checked.load_seconds, checked.report)}
        )

    def _measure(self, loaded: Loaded) -> None:
        """Measure a loaded model, unless this machine has done so before. Raises: DatabaseUnavailable."""
        key, place = loaded.package.key, self._place(on_gpu=self.shelf.on_gpu(loaded.model.card))
        if not self.checks.lacks_figures(key, place):
            return
        with self.watchdog.over(CHECK_LOADS * self.load_seconds):
            self._alive()
            report = self_check(loaded.model)
        if report.ok:
            self.checks.note_figures(key, {place: _figures(loaded.load_seconds, report)})
        else:  # it serves, for its operator put it there; its jobs will tell what is wrong
            log.warning("model.not_measured", model=key[0], version=key[1], faults=report.faults)

    def _place(self, *, on_gpu: bool) -> str:
        return f"{self.host}/{'gpu' if on_gpu else 'cpu'}"

    def _alive(self) -> None:
        """A sign of life between two steps. Raises: Stopped."""
        self.flags.touch()
        self.watchdog.feed(self.load_seconds)
        if self.flags.stopping:
            raise Stopped


def _figures(load_seconds: float, report: CheckReport) -> dict[str, Any]:
    return {
        "load_seconds": load_seconds,
        "first_seconds": report.first_seconds,
        "seconds": report.seconds,
        "batch": report.batch,
        "batch_seconds": report.batch_seconds,
        "pictures_per_second": round(report.batch / max(1e-6, report.batch_seconds), 3),
        "at": datetime.now(UTC).isoformat(),
    }


def tasks_of(pipelines: Iterable[Pipeline]) -> tuple[str, ...]:
    """Return the tasks of models that these pipelines can use."""
    return tuple(sorted({task for one in pipelines for tasks in one.spec.models.values() for task in tasks}))
