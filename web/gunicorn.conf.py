"""How gunicorn serves the app; everything that may differ between machines is a setting."""  # noqa: N999

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

# Before prometheus_client is imported anywhere: it decides at import whether counters are shared by processes.
# A folder below the given one: what other services on this machine count is not for us to wipe or to tell.
_given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_metrics = Path(_given or tempfile.mkdtemp(prefix="fq-metrics-")) / "web"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics)

from web.settings import WebSettings  # noqa: E402

_settings = WebSettings()  # type: ignore[call-arg]  # the environment gives them

bind = _settings.web_bind
workers = _settings.web_workers
worker_class = "gthread"
threads = _settings.web_threads
#: gthread answers the arbiter by itself: a long request is no hang
timeout = 60
graceful_timeout = _settings.web_graceful_seconds
keepalive = 15
#: the app makes pools and threads: each process its own
preload_app = False
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a heartbeat file must not wait for a disk
#: the app writes its own access log
accesslog = None
errorlog = "-"
loglevel = _settings.log_level.lower()


def on_starting(server: Any) -> None:
    """Start from no counters: those of earlier processes mean nothing."""
    _metrics.mkdir(parents=True, exist_ok=True)
    for left in _metrics.glob("*.db"):
        left.unlink(missing_ok=True)


def post_worker_init(worker: Any) -> None:
    """Let SIGTERM answer waiting clients within seconds, instead of cutting them off when the time is over."""
    services = worker.wsgi.extensions["framequeue"]

    def stop(number: int, frame: Any) -> None:
        services.waiting.close()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, stop)


def child_exit(server: Any, worker: Any) -> None:
    """Keep a dead process's counts, drop its gauges."""
    from prometheus_client import multiprocess  # noqa: PLC0415

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no annotations


def worker_exit(server: Any, worker: Any) -> None:
    """Let the doorbell send what it holds."""
    app = getattr(worker, "wsgi", None)
    services = getattr(app, "extensions", {}).get("framequeue")
    if services is not None:
        services.close()


def on_exit(server: Any) -> None:
    """Remove a folder that was made here."""
    if _given is None:
        shutil.rmtree(_metrics.parent, ignore_errors=True)
