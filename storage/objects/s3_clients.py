"""The boto3 clients of one S3 server, each with time-outs that suit its calls."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from storage.objects.s3_access import S3Access

#: a server that is there takes a connection at once
CONNECT_SECONDS = 1.0
#: for calls that move no bytes, the question whether the store is there among them
QUICK_READ_SECONDS = 1.5
#: for the first try of a call that moves bytes: with that question after it, a frozen server shows within 3 s
BRISK_READ_SECONDS = 1.2
#: once the store has said that it is there: for calls that move bytes, or that join parts
BULK_READ_SECONDS = 30.0
#: longest silence in the middle of a body
BODY_READ_SECONDS = 10.0


class S3Clients:
    """``quick`` for metadata, ``brisk`` and then ``bulk`` for bytes, ``public`` to sign URLs (it never connects)."""

    def __init__(self, access: S3Access, *, max_connections: int = 32) -> None:
        session = boto3.session.Session(
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            region_name=access.region,
        )

        def client(endpoint_url: str | None, read_seconds: float, attempts: int) -> Any:
            config = Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                # checksums "when supported" break most servers that are not AWS
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=read_seconds,
                retries={"mode": "standard", "total_max_attempts": attempts},
                max_pool_connections=max_connections,
                tcp_keepalive=True,
            )
            return session.client("s3", endpoint_url=endpoint_url, config=config)

        self.quick = client(access.endpoint_url, QUICK_READ_SECONDS, 1)
        self.brisk = client(access.endpoint_url, BRISK_READ_SECONDS, 1)
        self.bulk = client(access.endpoint_url, BULK_READ_SECONDS, 2)
        self.public = client(access.public_endpoint_url or access.endpoint_url, QUICK_READ_SECONDS, 1)
