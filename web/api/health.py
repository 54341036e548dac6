"""Whether this process lives, whether it can serve, and what Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

import redis
from apiflask import APIBlueprint
from apiflask.schemas import FileSchema
from flask import Response
from redis.backoff import NoBackoff
from redis.retry import Retry

from storage.errors import StorageError
from web.answers import answer
from web.auth import admit, public
from web.context import services
from web.documents import Liveness, Readiness
from web.metrics import QueueCollector, exposition

bp = APIBlueprint("health", __name__, tag="Health")

REDIS_CHECK_SECONDS = 1.0


@bp.get("/health")
@public
@bp.output(Liveness)
def get_health() -> Response:
    """Say that this process answers; asks nobody else."""
    return answer(Liveness(status="ok"))


@bp.get("/ready")
@public
@bp.output(Readiness)
def get_ready() -> Response:
    """Say whether jobs can be taken: database with the right schema, and object store; Redis only degrades."""
    parts = {
        "database": _state(services().database.check),
        "store": _state(services().objects.check),
        "redis": "ok" if _redis_answers() else "degraded",
    }
    down = [name for name, state in parts.items() if state.startswith("down")]
    status = "down" if down else "degraded" if "degraded" in parts.values() else "ok"
    return answer(Readiness(status=status, parts=parts), 503 if down else 200)


def _state(check: Callable[[], None]) -> str:
    try:
        check()
    except StorageError as error:
        return f"down: {_plain(error)}"
    return "ok"


def _plain(error: StorageError) -> str:
    """What an outsider may know: our own sentence about the schema, else only that it does not answer."""
    return str(error) if "schema" in str(error) else "does not answer"


def _redis_answers() -> bool:
    url = services().settings.redis_url.get_secret_value()
    client = redis.Redis.from_url(
        url,
        socket_timeout=REDIS_CHECK_SECONDS,
        socket_connect_timeout=REDIS_CHECK_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    with client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


@bp.get("/metrics")
@public
@bp.output(FileSchema(type="string"), content_type="text/plain")
def get_metrics() -> Response:
    """Metrics for Prometheus; needs scope operate unless FQ_METRICS_PUBLIC is set."""
    if not services().settings.metrics_public:
        admit(services(), "operate")
    collector = QueueCollector(services().depth, services().fleet)
    return Response(exposition(collector), content_type="text/plain; version=0.0.4; charset=utf-8")
