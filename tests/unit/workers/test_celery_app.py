"""What Celery may do, and what importing its app may not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.services import REPOSITORY
from workers.celery_app import OPTIONS
from workers.doorbell import lane_of, queue_name


def test_delivery_is_early_alone_and_without_results() -> None:
    assert OPTIONS["task_acks_late"] is False
    assert OPTIONS["worker_disable_prefetch"] is True
    assert OPTIONS["worker_prefetch_multiplier"] == 1
    assert OPTIONS["result_backend"] is None
    assert OPTIONS["accept_content"] == ["json"]
    assert OPTIONS["worker_cancel_long_running_tasks_on_connection_loss"] is False
    assert not [name for name in OPTIONS if "time_limit" in name]


def test_importing_the_app_reads_no_setting_and_loads_no_array_decoder_or_model() -> None:
    code = "import json, sys, workers.celery_app, workers.tasks; print(json.dumps(sorted(sys.modules)))"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FQ_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=clean, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert "celery" in loaded
    assert not loaded & {"torch", "numpy", "av", "cv2", "onnxruntime", "PIL", "prometheus_client"}


def test_queue_names_lead_back_to_lane_and_class() -> None:
    for lane, size_class in [("cpu", "short"), ("gpu-a100", "long")]:
        assert lane_of(queue_name(lane, size_class)) == (lane, size_class)
