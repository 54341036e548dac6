"""The Celery shim: a doorbell was heard, look for work."""

from __future__ import annotations

from typing import Any

from workers import bootstrap
from workers.celery_app import app
from workers.doorbell import TASK_NAME, lane_of


@app.task(name=TASK_NAME, bind=True, ignore_result=True, resultrepr_maxsize=65_536)  # type: ignore[untyped-decorator]
def work(task: Any) -> dict[str, str]:
    """Work off what is ready; the answer names jobs and outcomes, so that Flower can find a job."""
    lane, size_class = lane_of(task.request.delivery_info["routing_key"])
    return bootstrap.work(lane, size_class)
