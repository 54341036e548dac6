"""An S3 server in a process of its own, with a proxy before it that can take it away."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from bench.faults.proxy import Door, Proxy
from deploy.local.child import LOOPBACK, Child, Command, answers, free_port, wait_until
from deploy.local.home import REPOSITORY
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_access import S3Access

BUCKET = "faults"
#: moto takes any
KEY = "harness"
SECRET = "harness-secret"
START_SECONDS = 60.0


class S3Server:
    """moto's server behind our proxy; use as a context manager, from the main thread."""

    def __init__(self, log_path: Path) -> None:
        """``log_path``: where the server's output goes."""
        self._port = free_port()
        self._log_path = log_path
        self._child: Child | None = None
        self.proxy = Proxy(self._port)

    def __enter__(self) -> S3Server:
        self._child = Child(
            Command(
                name="s3",
                argv=[sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self._port)],
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
                log_path=self._log_path,
                cwd=REPOSITORY,
            )
        )
        wait_until(lambda: answers(self._port), self._child, timeout_seconds=START_SECONDS)
        self._make_bucket()
        self.proxy.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.proxy.__exit__(kind, error, trace)
        if self._child is not None:
            self._child.stop(1.0)

    @property
    def store(self) -> S3ObjectStore:
        """The store itself, past the proxy: for looking what is in it."""
        return S3ObjectStore(BUCKET, self._access())

    def environment(self, client: str) -> Mapping[str, str]:
        """What a process of the stack is told, so that it comes through the door of this name."""
        return self.settings(self.proxy.door(client))

    def settings(self, door: Door) -> dict[str, str]:
        """The same for a door that is known."""
        return {
            "FQ_STORE": f"s3://{BUCKET}",
            "FQ_S3_ENDPOINT_URL": door.url,
            "FQ_S3_ACCESS_KEY": KEY,
            "FQ_S3_SECRET_KEY": SECRET,
        }

    def _access(self) -> S3Access:
        return S3Access(endpoint_url=f"http://{LOOPBACK}:{self._port}", access_key=KEY, secret_key=SECRET)

    def _make_bucket(self) -> None:
        import boto3  # noqa: PLC0415 - a second to load, for this scenario alone

        client = boto3.client(
            "s3",
            endpoint_url=f"http://{LOOPBACK}:{self._port}",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
