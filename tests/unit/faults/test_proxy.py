"""The proxy before a server: each way of being away looks to a client as it should, and is counted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.faults.proxy import Door, Mode, Proxy


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(name="proxy")
def _proxy() -> Iterator[Proxy]:
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with Proxy(server.server_port) as proxy:
                yield proxy
        finally:
            server.shutdown()
            thread.join(5)


def _put(connection: HTTPConnection, body: bytes) -> bytes:
    connection.request("PUT", "/", body=body)
    return connection.getresponse().read()


def _connection(door: Door, timeout_seconds: float = 5.0) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", door.port, timeout=timeout_seconds)


def test_requests_on_one_connection_are_told_apart_whatever_their_bodies_hold(proxy: Proxy) -> None:
    door = proxy.door("worker-1")
    connection = _connection(door)
    bodies = [b"small", b"GET / HTTP/1.1\r\n" * 20_000, b""]
    assert [_put(connection, body) for body in bodies] == bodies
    connection.close()
    assert (len(door.connections), len(door.requests)) == (1, 3)


def test_each_client_is_counted_at_its_own_door(proxy: Proxy) -> None:
    ours, theirs = proxy.door("worker-1"), proxy.door("worker-2")
    connection = _connection(ours)
    _put(connection, b"x")
    connection.close()
    assert (len(ours.requests), len(theirs.requests)) == (1, 0)
    assert proxy.door("worker-1") is ours


def test_refused_connection_fails_at_once_and_the_port_comes_back(proxy: Proxy) -> None:
    door = proxy.door("worker-1")
    proxy.turn(Mode.REFUSE)
    with pytest.raises(ConnectionRefusedError):
        _connection(door).connect()
    proxy.turn(Mode.PASS)
    connection = _connection(door)
    assert _put(connection, b"back") == b"back"
    connection.close()


def test_cut_connections_are_reset_and_counted_the_present_one_too(proxy: Proxy) -> None:
    door = proxy.door("worker-1")
    present = _connection(door)
    _put(present, b"x")
    proxy.turn(Mode.CUT)
    with pytest.raises(ConnectionError):
        _put(present, b"y")
    present.close()
    counted = len(door.requests)
    fresh = _connection(door)
    with pytest.raises(ConnectionError):
        _put(fresh, b"z")
    fresh.close()
    assert len(door.requests) == counted + 1


def test_frozen_server_takes_a_request_says_nothing_and_answers_when_it_is_back(proxy: Proxy) -> None:
    door = proxy.door("worker-1")
    proxy.turn(Mode.FREEZE)
    impatient = _connection(door, 0.3)
    with pytest.raises(TimeoutError):
        _put(impatient, b"x")
    impatient.close()
    patient = _connection(door)
    patient.request("PUT", "/", body=b"waited")
    proxy.turn(Mode.PASS)
    assert patient.getresponse().read() == b"waited"
    patient.close()
    assert len(door.requests) == 2


def test_a_client_that_hangs_up_takes_nobody_with_it(proxy: Proxy) -> None:
    door = proxy.door("worker-1")
    with socket.create_connection(("127.0.0.1", door.port)) as rude:
        rude.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
    connection = _connection(door)
    assert _put(connection, b"next") == b"next"
    connection.close()
