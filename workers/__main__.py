"""Start a worker: ``python -m workers``. Lanes, classes, pipelines and processes come from ``FQ_*`` settings."""

from __future__ import annotations

import os
import sys

from workers import bootstrap
from workers.celery_app import app
from workers.main_process import run_again
from workers.settings import WorkerSettings, settings_or_exit


def main() -> None:
    """Run Celery's worker in this process until SIGTERM; further arguments go to Celery."""
    settings = settings_or_exit(WorkerSettings)
    name = f"{'-'.join(settings.lanes)}.{os.getpid()}@%h"
    arguments = ["worker", "--pool", "prefork", "--without-gossip", "--without-mingle", "--hostname", name]
    try:
        app.worker_main([*arguments, "--loglevel", settings.log_level, *sys.argv[1:]])
    finally:
        bootstrap.close_main()
        if bootstrap.restart_wanted():
            run_again()


if __name__ == "__main__":
    main()
