"""Multipart bodies, taken apart."""

from __future__ import annotations

from email.parser import BytesParser

from tests.unit.client.fake_api import FakeApi


def form_of(api: FakeApi, index: int = 0) -> list[tuple[str, bytes]]:
    """The parts of a multipart body, in order."""
    head = b"Content-Type: " + api.requests[index].headers["content-type"].encode() + b"\r\n\r\n"
    parts = BytesParser().parsebytes(head + api.bodies[index]).get_payload()
    return [(part.get_param("name", header="content-disposition"), part.get_payload(decode=True)) for part in parts]
