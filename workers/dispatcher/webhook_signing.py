"""Signatures of the Standard Webhooks specification, version 1: HMAC-SHA256 over id, time of the attempt and body."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence


def signature(secrets: Sequence[bytes], event_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``: one signature for each secret, the newest first."""
    signed = b".".join([event_id.encode("ascii"), str(timestamp).encode("ascii"), body])
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{b64encode(digest).decode('ascii')}" for digest in digests)
