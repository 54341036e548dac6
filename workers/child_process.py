"""A child process of a worker: everything is opened here, after the fork, and closed at the end."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, TextIO

import structlog

from pipeline.cage import LONGEST_REQUEST_SECONDS, Cage
from pipeline.media import MediaLimits
from pipeline.pipelines.base import Pipeline
from pipeline.pipelines.catalog import load_pipelines
from storage.database import Database
from storage.erasures import Erasures
from storage.fleet import Fleet
from storage.ids import new_id
from storage.jobs import JobStore
from storage.model_checks import ModelChecks
from storage.models import Models
from storage.objects.open_store import open_store
from storage.registry import Registry
from storage.settings import open_database
from storage.sql_claims import SqlClaims
from workers.children import ROUSE, Child
from workers.doorbell import Doorbell
from workers.forgetting import Forgetting
from workers.heartbeat import Pulse
from workers.hints import CANCELS, Hints
from workers.logs import get_logger
from workers.main_process import STACK_NAME, MainProcess
from workers.model_check import ModelCheck, tasks_of
from workers.own_folder import reserve_counts
from workers.runner import Runner
from workers.scratch import Scratch
from workers.serving import open_versions, register, register_models
from workers.settings import WorkerSettings
from workers.station import Limits, Station
from workers.watchdog import Watchdog

log = get_logger(__name__)

#: a child is idle when it has not worked for this long: it then waits for a bell and holds no lock
IDLE_SECONDS = 1.0
#: one that is busy looks this often whether a version of a model waits for its check
CHECK_SECONDS = 5.0


class ChildProcess:
    """One runner and its tools; made in the main thread of a fresh fork."""

    def __init__(self, main: MainProcess) -> None:
        self.flags = main.flags
        self.worker_id = new_id()
        self._main = main
        self._exit = ExitStack()
        structlog.contextvars.bind_contextvars(worker=self.worker_id)
        #: None while there is work in hand, or none may be taken
        self._idle_since: float | None = None
        self._looked_for_checks_at = 0.0
        station = self._open(main.settings)
        self._runner, self._check = Runner(station), self._open_check(station)
        signal.signal(ROUSE, self._roused)
        self._idle_since = time.monotonic()

    def work(self, lane: str, size_class: str) -> dict[str, str]:
        """Work off what is ready. Raises: SystemExit when this child is to end, see ``_must_end``."""
        self.flags.hear()
        report = self._work(partial(self._runner.work, lane, size_class))
        if self._must_end:
            raise SystemExit(0)
        return report

    def close(self) -> None:
        """Give back and close everything, in reverse order."""
        self._idle_since = None
        self._exit.close()

    def _work(self, run: Callable[[], dict[str, str]], *, idle: bool = False) -> dict[str, str]:
        self._idle_since = None
        # only while there is something to give back: an idle child ends at once by the pool's own handler
        before = signal.signal(signal.SIGTERM, lambda *_: self.flags.stop_here())
        try:
            report = run()
            if not report or time.monotonic() - self._looked_for_checks_at >= CHECK_SECONDS:
                self._check.run_due()
                self._looked_for_checks_at = time.monotonic()
            if idle and not report:
                self._check.measure_loaded()
            return report
        finally:
            signal.signal(signal.SIGTERM, before)
            self._idle_since = time.monotonic()

    @property
    def _must_end(self) -> bool:
        """Whether the next child goes on: this one was told to stop, or only its end frees the GPU's memory."""
        return self.flags.stopping_here or self._versions.holds_dead_memory

    def _roused(self, *_: object) -> None:
        """Look for work without a bell: in the main thread, as every signal is heard, and only while it is idle."""
        if self._idle_since is None or time.monotonic() - self._idle_since < IDLE_SECONDS:
            return
        self._work(partial(self._runner.work, until_empty=True), idle=True)
        if self._must_end:
            os.kill(os.getpid(), signal.SIGTERM)  # heard by the pool's own handler now

    def _open(self, settings: WorkerSettings) -> Station:
        keep = self._exit.enter_context
        objects = open_store(settings)
        scratch = keep(Scratch(settings.scratch_dir, self.worker_id, objects, max_bytes=settings.scratch_bytes))
        reserve_counts(self._main.counts_folder)
        stack_file = self._open_stack_file(scratch)
        self._main.children.announce(Child(os.getpid(), self.worker_id, str(scratch.folder)))
        database = self._database = open_database(settings)
        self._exit.callback(database.close)
        redis_url = settings.redis_url.get_secret_value()
        doorbell, hints, cancels = Doorbell(redis_url), Hints(redis_url), Hints(redis_url, stream=CANCELS)
        for redis_user in (cancels, hints, doorbell):
            self._exit.callback(redis_user.close)
        cage = keep(_open_cage(settings))
        pipelines, models = load_pipelines(settings.pipelines), Models(database)
        versions = self._versions = open_versions(settings, models, objects)
        self._exit.callback(versions.close)
        claims = SqlClaims(database)
        publish = partial(self._publish, Registry(database), pipelines, models)
        forgetting = Forgetting(Erasures(database), scratch)
        pulse = self._open_pulse(settings, database, claims, publish, on_beat=forgetting)
        cancels.listen(pulse.nudge)
        _tell_ready(cage, settings, pipelines)
        return Station(
            claims=claims,
            parts=JobStore(database),
            objects=objects,
            scratch=scratch,
            pipelines=pipelines,
            cage=cage,
            shelf=versions.files.folders,
            pinned=versions.pinned,
            doorbell=doorbell,
            hints=hints,
            pulse=pulse,
            watchdog=Watchdog(stack_file),
            flags=self.flags,
            limits=_limits(settings),
        )

    def _publish(self, registry: Registry, pipelines: Mapping[str, Pipeline], models: Models) -> None:
        register(registry, pipelines, self._main.settings.max_runtimes)
        register_models(models, self._versions.files.folders)

    def _open_check(self, station: Station) -> ModelCheck:
        return ModelCheck(
            checks=ModelChecks(self._database),
            shelf=self._versions,
            tasks=tasks_of(station.pipelines.values()),
            host=self._main.settings.host,
            pulse=station.pulse,
            watchdog=station.watchdog,
            flags=self.flags,
            load_seconds=station.limits.load_seconds,
            memory_bytes=self._main.settings.model_check_bytes,
        )

    def _open_stack_file(self, scratch: Scratch) -> TextIO:
        file = self._exit.enter_context((scratch.folder / STACK_NAME).open("w"))
        faulthandler.enable(file)
        self._exit.callback(faulthandler.disable)
        return file

    def _open_pulse(
        self,
        settings: WorkerSettings,
        database: Database,
        claims: SqlClaims,
        publish: Any,
        *,
        on_beat: Callable[[], None],
    ) -> Pulse:
        fleet = Fleet(database)

        def enroll() -> None:
            publish()
            fleet.register(
                self.worker_id,
                host=settings.host,
                pid=os.getpid(),
                lanes=settings.lanes,
                size_classes=settings.size_classes,
                pipelines=settings.pipelines,
                device={"name": settings.device, "precision": settings.precision},
            )

        draining = partial(self._main.children.announce_draining, self.worker_id)
        pulse = Pulse(self.worker_id, claims, enroll, on_draining=draining, on_beat=on_beat)
        return self._exit.enter_context(pulse)


def _tell_ready(cage: Cage, settings: WorkerSettings, pipelines: Mapping[str, Pipeline]) -> None:
    log.info("worker.child_ready", pipelines=sorted(pipelines), cage=cage.in_force, device=settings.device)
    if cage.device_fault:
        log.warning("worker.decodes_on_cpu", asked=settings.decode_device, fault=cage.device_fault)


def _open_cage(settings: WorkerSettings) -> Cage:
    limits = MediaLimits(
        max_bytes=settings.max_bytes,
        max_duration_seconds=settings.max_duration_seconds,
        max_pixels=settings.max_pixels,
    )
    return Cage(
        limits,
        memory_bytes=settings.cage_memory_bytes,
        answer_seconds=settings.cage_answer_seconds,
        device=settings.decode_device,
        request_seconds=max((LONGEST_REQUEST_SECONDS, *settings.max_runtimes.values())),
    )


def _limits(settings: WorkerSettings) -> Limits:
    return Limits(
        lanes=settings.lanes,
        size_classes=settings.size_classes,
        batch_size=settings.batch_size,
        claim_size=settings.claim_size,
        parts_above_bytes=settings.parts_above_bytes,
        shift_seconds=settings.shift_seconds,
        segment_seconds=settings.segment_seconds,
        max_runtimes=settings.max_runtimes,
        stall_seconds=settings.stall_seconds,
        load_seconds=settings.load_seconds,
    )
