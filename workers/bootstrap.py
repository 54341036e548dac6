"""The one place where a worker is wired: what Celery's signals lead to, in the main process and in its children."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from workers.logs import configure_logs, get_logger
from workers.main_process import MainProcess
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from workers.child_process import ChildProcess

log = get_logger(__name__)

#: a child that cannot start waits this long before it ends, or the pool would fork without pause
FAILED_START_SECONDS = 2.0


class _Process:
    """What this process is; Celery's signals carry no state, so it is kept here."""

    main: MainProcess | None = None
    child: ChildProcess | None = None


def open_main(settings: WorkerSettings, worker: Any) -> None:
    """In the main process, before the first fork."""
    configure_logs("worker", settings.log_level)
    _Process.main = MainProcess(settings, worker)
    _Process.main.open()


def main_is_ready() -> None:
    """In the main process, once it consumes."""
    _main().ready()


def stop_main() -> None:
    """In the main process, from the handler of SIGTERM."""
    if _Process.main is not None:
        _Process.main.stop()


def close_main() -> None:
    """In the main process, at its end; may be called again."""
    if _Process.main is not None:
        _Process.main.close()


def restart_wanted() -> bool:
    """Whether the main process stopped in order to be started again."""
    return _Process.main is not None and _Process.main.restart_wanted


def open_child() -> None:
    """In a child, right after the fork; arrays, decoders and models are loaded here, never before."""
    main = _main()
    configure_logs("worker-child", main.settings.log_level)
    try:
        from workers.child_process import ChildProcess  # noqa: PLC0415 - not before the fork

        _Process.child = ChildProcess(main)
    except Exception:  # Celery swallows what a signal's receiver raises, and would use a child without a runner
        log.exception("child.not_started")
        time.sleep(FAILED_START_SECONDS)
        os._exit(1)


def close_child() -> None:
    """In a child, at its end."""
    child, _Process.child = _Process.child, None
    if child is not None:
        child.close()


def work(lane: str, size_class: str) -> dict[str, str]:
    """In a child: what the task does."""
    if _Process.child is None:
        raise RuntimeError("no worker was opened in this process: start it with `python -m workers`")
    return _Process.child.work(lane, size_class)


def _main() -> MainProcess:
    if _Process.main is None:
        raise RuntimeError("no worker was opened in this process: start it with `python -m workers`")
    return _Process.main
