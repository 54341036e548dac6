"""The Celery app: delivery of doorbells and nothing else. Importing it reads no setting and starts nothing."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals
from kombu.entity import Queue

from workers import bootstrap
from workers.doorbell import queue_name
from workers.settings import BrokerSettings, WorkerSettings, settings_or_exit

#: why each: reliability notes in docs/decisions and ARCHITECTURE.md, "Celery"
OPTIONS: dict[str, Any] = {
    # the row is the truth: a message is gone once it was heard
    "task_acks_late": False,
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "task_ignore_result": True,
    "result_backend": None,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_track_started": False,
    # doorbells are few, and an operator finds jobs in Flower by them
    "worker_send_task_events": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_proc_alive_timeout": 120.0,
    "worker_eta_task_limit": 100,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "enable_utc": True,
    "broker_transport_options": {
        "visibility_timeout": 3600,
        "health_check_interval": 10,
        "socket_keepalive": True,
        "socket_connect_timeout": 5,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
    },
}

app = Celery("framequeue", include=["workers.tasks"])


def _broker() -> dict[str, Any]:
    return {**OPTIONS, "broker_url": settings_or_exit(BrokerSettings).redis_url.get_secret_value()}


def _keep_our_logs(**_: Any) -> None:
    """Being connected is what keeps Celery's hands off the log."""


def _before_anything(instance: Any, conf: Any, options: dict[str, Any], **_: Any) -> None:
    settings = settings_or_exit(WorkerSettings)
    bootstrap.open_main(settings, instance)
    conf.worker_concurrency = settings.concurrency
    if not options.get("queues"):
        names = [queue_name(lane, kind) for lane in settings.lanes for kind in settings.size_classes]
        conf.task_queues = [Queue(name, routing_key=name) for name in names]  # type: ignore[no-untyped-call]  # kombu


def _ready(**_: Any) -> None:
    bootstrap.main_is_ready()


def _in_the_child(**_: Any) -> None:
    bootstrap.open_child()


def _child_ends(**_: Any) -> None:
    bootstrap.close_child()


def _told_to_stop(**_: Any) -> None:
    bootstrap.stop_main()


def _ends(**_: Any) -> None:
    bootstrap.close_main()


# receivers are kept by weak reference: these are functions of this module
app.add_defaults(_broker)
signals.setup_logging.connect(_keep_our_logs)
signals.celeryd_init.connect(_before_anything)
signals.worker_ready.connect(_ready)
signals.worker_process_init.connect(_in_the_child)
signals.worker_process_shutdown.connect(_child_ends)
signals.worker_shutting_down.connect(_told_to_stop)
signals.worker_shutdown.connect(_ends)
