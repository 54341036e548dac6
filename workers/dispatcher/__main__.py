"""Start a dispatcher: ``python -m workers.dispatcher``. Any number of them may run; they take turns."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

from workers.settings import DispatcherSettings, settings_or_exit


def main() -> None:
    """Run every duty until SIGTERM or SIGINT."""
    settings = settings_or_exit(DispatcherSettings)
    # several processes on one machine may be told of a metrics folder; this one serves its own numbers
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    from workers.dispatcher.wiring import build, serve_metrics  # noqa: PLC0415 - the metrics library reads that variable
    from workers.logs import configure_logs  # noqa: PLC0415

    configure_logs("dispatcher", settings.log_level)
    with ExitStack() as resources:
        dispatcher = build(settings, resources)
        serve_metrics(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: dispatcher.stop())
        dispatcher.run()


if __name__ == "__main__":
    main()
