"""What the S3 store promises when its server is down, frozen or falls over midway."""

from __future__ import annotations

import io
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.faults.proxy import Mode, Proxy
from storage.errors import ObjectStoreFull, ObjectStoreUnavailable
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_access import S3Access
from storage.objects.s3_clients import S3Clients
from tests.fakes.dead_ports import frozen_server, full_backlog, nobody
from tests.fakes.s3_server import s3_server

KEY = "inputs/x/source"


def store_at(port: int) -> S3ObjectStore:
    access = S3Access(endpoint_url=f"http://127.0.0.1:{port}", access_key="test", secret_key="test-secret")
    return S3ObjectStore("bucket", access)


class Untouched(io.RawIOBase):
    """A body that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the client's body was read although the store is down")


@pytest.mark.parametrize("outage", [nobody, frozen_server, full_backlog])
def test_a_put_to_a_store_that_is_down_fails_within_three_seconds_and_reads_nothing(outage: object) -> None:
    with outage() as port:  # type: ignore[operator]
        store = store_at(port)
        started = time.monotonic()
        with pytest.raises(ObjectStoreUnavailable):
            store.put(KEY, Untouched())
        assert time.monotonic() - started < 3.5


def test_a_store_that_freezes_after_it_was_proven_costs_one_put_three_seconds_and_the_next_none() -> None:
    with scripted(OK) as port, Proxy(port) as proxy:
        store = store_at(proxy.door("store").port)
        store.check()
        proxy.turn(Mode.FREEZE)
        started = time.monotonic()
        with pytest.raises(ObjectStoreUnavailable):
            store.put(KEY, b"small")
        assert time.monotonic() - started < 3.5
        started = time.monotonic()
        with pytest.raises(ObjectStoreUnavailable):
            store.put(KEY, Untouched())
        assert time.monotonic() - started < 0.5


@pytest.mark.parametrize("call", ["stat", "open", "check", "list", "start"])
def test_every_call_tells_of_a_store_that_refuses_connections(call: str) -> None:
    calls: dict[str, Callable[[S3ObjectStore], object]] = {
        "stat": lambda store: store.stat(KEY),
        "open": lambda store: store.open(KEY).__enter__(),
        "check": lambda store: store.check(),
        "list": lambda store: list(store.list("inputs/")),
        "start": lambda store: store.start_multipart(KEY),
    }
    with nobody() as port, pytest.raises(ObjectStoreUnavailable) as caught:
        calls[call](store_at(port))
    assert "test-secret" not in str(caught.value)


@contextmanager
def scripted(*answers: bytes | float) -> Iterator[int]:
    """Answers one connection per script entry and hangs up; a number is seconds of silence instead."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)

        def serve() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    if isinstance(answer, bytes):
                        connection.sendall(answer)
                    else:
                        time.sleep(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
    thread.join(5)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HALF = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "e"\r\nLast-Modified: Sat, 21 Nov 2026 01:00:00 GMT\r\n'
    b"Connection: close\r\n\r\n" + b"x" * 400
)
STORED = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "e"\r\nConnection: close\r\n\r\n'
FULL_BODY = b"<Error><Code>XMinioStorageFull</Code><Message>n</Message></Error>"
FULL = (
    b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(FULL_BODY) + FULL_BODY
)
FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 56\r\nConnection: close\r\n\r\n"
    b"<Error><Code>AccessDenied</Code><Message>n</Message></Error>"[:56]
)


def test_a_body_cut_off_midway_is_unavailability_not_a_short_object() -> None:
    with scripted(OK, HALF) as port, store_at(port).open(KEY) as body, pytest.raises(ObjectStoreUnavailable):
        list(iter(lambda: body.read(100), b""))


def test_a_put_that_gets_no_answer_is_sent_again_when_the_store_says_that_it_is_there() -> None:
    with scripted(OK, 1.5, OK, STORED) as port:
        assert store_at(port).put(KEY, b"slow disk").etag == "e"


def test_a_full_store_says_so_and_is_not_taken_for_one_that_is_away() -> None:
    with scripted(OK, FULL, FULL) as port:
        store = store_at(port)
        for _ in range(2):
            with pytest.raises(ObjectStoreFull):
                store.put(KEY, b"x")


def test_refused_credentials_are_unavailability_not_the_clients_fault() -> None:
    with scripted(FORBIDDEN) as port, pytest.raises(ObjectStoreUnavailable):
        store_at(port).put(KEY, b"x")


class Zeros(io.RawIOBase):
    """A body of ``size`` bytes that takes no memory."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        piece = bytes(min(size, self.left))
        self.left -= len(piece)
        return piece


def test_a_large_body_goes_up_with_two_parts_in_memory_at_most() -> None:
    mib = 1 << 20
    with s3_server() as url:
        access = S3Access(endpoint_url=url, access_key="test", secret_key="test-secret")
        S3Clients(access).quick.create_bucket(Bucket="bucket")
        store = S3ObjectStore("bucket", access)
        store.put(KEY, Zeros(20 * mib))
        tracemalloc.start()
        try:
            assert store.put(KEY, Zeros(64 * mib)).size_bytes == 64 * mib
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 18 * mib
