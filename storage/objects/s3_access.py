"""Where an S3 server is and how to enter; apart, so that reading settings does not load boto3."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class S3Access:
    """Where an S3 server is and how to enter; None as in boto3's own defaults (AWS, the machine's role)."""

    endpoint_url: str | None = None
    #: the same server as browsers and clients reach it; it goes into presigned URLs
    public_endpoint_url: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
