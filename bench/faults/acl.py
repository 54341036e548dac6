"""A Redis that answers, and refuses whatever would send a message: present connections included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

#: what a Celery publisher calls
PUBLISH = ("lpush", "rpush", "publish")


@contextmanager
def refused_publishing(redis_url: str) -> Iterator[None]:
    """While the block runs; reading, and waiting for messages, goes on."""
    with redis.Redis.from_url(redis_url) as broker:
        broker.execute_command("ACL", "SETUSER", "default", *(f"-{word}" for word in PUBLISH))
        try:
            yield
        finally:
            broker.execute_command("ACL", "SETUSER", "default", *(f"+{word}" for word in PUBLISH))
