"""Receivers that answer late, slowly, or without end."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler

from tests.fakes.webhook_receiver import Behaviour, Receiver, status


def held(receiver: Receiver) -> tuple[threading.Event, Behaviour]:
    """A behaviour that answers 204 once it is let go, and what lets it go."""
    go = threading.Event()

    def handle(handler: BaseHTTPRequestHandler) -> None:
        while not go.wait(0.05) and not receiver.stopped.is_set():
            pass
        status(204)(handler)

    return go, handle


def endless(receiver: Receiver, code: int) -> Behaviour:
    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.end_headers()
        while not receiver.stopped.is_set():
            handler.wfile.write(b"x" * 65536)

    return handle


def drip(receiver: Receiver) -> Behaviour:
    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not receiver.stopped.wait(0.05):
            handler.wfile.write(b"x: y\r\n")

    return handle
