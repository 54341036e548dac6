"""Log lines: JSON, a fixed word, fields, and the bound context."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.services import REPOSITORY


def test_own_and_library_lines_are_json_with_the_bound_context() -> None:
    code = """
import logging, structlog
from workers.logs import configure_logs, get_logger
configure_logs("worker", "INFO")
with structlog.contextvars.bound_contextvars(job_id="j1"):
    get_logger("a").info("segment.done", frames=3)
    logging.getLogger("b").warning("library %s", "line", extra={"error": "x"})
    try:
        1 / 0
    except ZeroDivisionError:
        get_logger("a").exception("segment.error")
get_logger("a").debug("not shown")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    first, second, third = (json.loads(line) for line in done.stderr.splitlines())
    assert (first["event"], first["frames"], first["job_id"], first["process"]) == ("segment.done", 3, "j1", "worker")
    assert (second["event"], second["error"], second["level"]) == ("library line", "x", "warning")
    assert "ZeroDivisionError" in third["exception"]
