"""The main process of a worker: Celery's consumer, and the watch over its children. Opens no media, loads no model."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storage.claims import Lost
from storage.fleet import Fleet
from storage.settings import open_database
from workers.children import Child, Children
from workers.doorbell import Doorbell, queue_name
from workers.flags import SharedFlags
from workers.idle import IdleWatch
from workers.logs import get_logger
from workers.own_folder import OwnFolder, reserve_counts, sweep
from workers.settings import WorkerSettings
from workers.stacks import blamed, end_of

log = get_logger(__name__)

#: where a child's watchdog prints the stack before it ends the process
STACK_NAME = "stack.txt"
#: of that file, the end
MAX_DUMP_CHARACTERS = 100_000


class MainProcess:
    """Made before Celery forks; owns what the children share."""

    def __init__(self, settings: WorkerSettings, consumer_of: Any) -> None:
        """``consumer_of``: the Celery worker, whose consumer stops when all children drain."""
        self.settings = settings
        self.flags = SharedFlags()
        self.children = Children(self._died, self._overdue, self._draining)
        self.restart_wanted = False
        self._worker = consumer_of
        self._database = open_database(settings, pool_size=2)
        self._fleet = Fleet(self._database)
        self._doorbell = Doorbell(settings.redis_url.get_secret_value())
        self._folder = OwnFolder(settings.scratch_dir / f"main-{os.getpid()}")
        self._idle: IdleWatch | None = None

    @property
    def served(self) -> Sequence[tuple[str, str]]:
        """Every (lane, size_class) of this worker."""
        return [(lane, kind) for lane in self.settings.lanes for kind in self.settings.size_classes]

    def open(self) -> None:
        """Clean up after the dead and begin to watch; before the first fork."""
        self.settings.scratch_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        swept = sweep(self.settings.scratch_dir)
        self._folder.open()
        reserve_counts(self._folder.path)
        # read by prometheus_client at its import, here and in the children
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._folder.path)
        self.children.start()
        log.info(
            "worker.starting",
            lanes=self.settings.lanes,
            size_classes=self.settings.size_classes,
            pipelines=self.settings.pipelines,
            device=self.settings.device,
            concurrency=self.settings.concurrency,
            scratch=str(self.settings.scratch_dir),
            swept_folders=swept,
        )

    def ready(self) -> None:
        """Celery consumes: serve metrics, watch for deafness."""
        if self.settings.worker_metrics_port:
            from workers.metrics import serve_sum  # noqa: PLC0415 - only after the environment names the folder

            serve_sum(self.settings.metrics_host, self.settings.worker_metrics_port, self._folder.path)
        self._idle = IdleWatch(
            self.settings.redis_url.get_secret_value(),
            self.flags,
            self.served,
            on_unheard=self.children.rouse,
            on_deaf=self._restart,
            limit_seconds=self.settings.idle_restart_seconds,
        )
        self._idle.start()
        log.info("worker.ready")

    @property
    def counts_folder(self) -> Path:
        """Where every process of this worker keeps its metrics."""
        return self._folder.path

    def stop(self) -> None:
        """Tell every child to give back what it holds; safe in a signal handler."""
        self.flags.stop()
        self.children.stop()

    def close(self) -> None:
        """The end of the process."""
        if self._idle is not None:
            self._idle.close()
        self._doorbell.close()
        self._database.close()
        self._folder.close()

    def _died(self, child: Child, how: str) -> None:
        dump = _dump_of(child)
        if self.flags.stopping or how == "exit status 0":
            lost = self._fleet.leave(child.worker_id)
        else:
            from workers.metrics import LOST_CHILDREN  # noqa: PLC0415 - only after the environment names the folder

            LOST_CHILDREN.inc()
            how, stack = end_of(dump) or how, blamed(dump)
            lost = self._fleet.lose_child(child.worker_id, reason=how, stack=stack or None)
            log.error("child.died", pid=child.pid, worker=child.worker_id, how=how, segments=lost.segments, stack=stack)
        self._ring(lost)
        OwnFolder(Path(child.folder)).close()

    def _overdue(self, child: Child) -> None:
        lost = self._fleet.leave(child.worker_id)
        log.warning("child.overdue", pid=child.pid, worker=child.worker_id, segments=lost.segments)
        self._ring(lost)

    def _draining(self) -> None:
        """All children claim no more: leave the bells to others."""
        if self._idle is not None:
            self._idle.close()
        consumer = self._worker.consumer
        for lane, size_class in self.served:
            consumer.call_soon(consumer.cancel_task_queue, queue_name(lane, size_class))
        log.info("worker.drained")

    def _ring(self, lost: Lost) -> None:
        for lane, size_class in lost.lanes:
            self._doorbell.ring(lane, size_class)

    def _restart(self) -> None:
        self.restart_wanted = True
        os.kill(os.getpid(), signal.SIGTERM)


def run_again() -> None:
    """Replace this process by a fresh worker."""
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "workers", *sys.argv[1:]])  # noqa: S606 - our own program


def _dump_of(child: Child) -> str:
    try:
        return (Path(child.folder) / STACK_NAME).read_text(errors="replace")[-MAX_DUMP_CHARACTERS:]
    except OSError:
        return ""
