"""Health checks of the containers that serve no HTTP: ``python deploy/health/check.py worker|dispatcher``.

Exit 0: well. A worker is well while one of its processes on this host has a live row in PostgreSQL; with PostgreSQL
down nothing can be said of it, and restarting it would not help, so that counts as well. A dispatcher is well while
every one of its duties has looked lately: then it touches a file.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

# Run by its path, so that it needs no place in a package: the root of the code is two folders up.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

#: the dispatcher touches its file every 5 s while all is well
DISPATCHER_SILENCE_SECONDS = 60.0


def worker_fault() -> str | None:
    """Return what is wrong with the worker on this host; None when it is well."""
    from storage.database import Database  # noqa: PLC0415 - the other check needs no SQL
    from storage.errors import StorageUnavailable  # noqa: PLC0415
    from storage.fleet import Fleet  # noqa: PLC0415
    from storage.settings import DatabaseSettings  # noqa: PLC0415

    host = socket.gethostname()
    database = Database(DatabaseSettings().database_url.get_secret_value(), pool_size=1)  # type: ignore[call-arg]
    try:
        rows = [row for row in Fleet(database).list() if row.host == host]
    except StorageUnavailable as error:
        print(f"cannot ask: {error}")
        return None
    finally:
        database.close()
    if any(row.state in {"live", "draining"} for row in rows):
        return None
    return f"no live worker process on {host}"


def dispatcher_fault() -> str | None:
    """Return what is wrong with the dispatcher of this container; None when it is well."""
    from workers.settings import DispatcherSettings  # noqa: PLC0415 - the other check does without

    path = DispatcherSettings().alive_file  # type: ignore[call-arg]
    try:
        silence = time.time() - path.stat().st_mtime
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None if silence < DISPATCHER_SILENCE_SECONDS else f"silent for {silence:.0f} s"


CHECKS = {"worker": worker_fault, "dispatcher": dispatcher_fault}


def main() -> int:
    """Check and say what is wrong."""
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        print(f"usage: check.py {'|'.join(CHECKS)}", file=sys.stderr)
        return 2
    fault = CHECKS[sys.argv[1]]()
    if fault:
        print(fault)
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
