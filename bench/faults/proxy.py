"""A TCP proxy between the stack and a server: passes on, refuses, cuts or freezes, and counts what comes through.

Each client gets a door (a port) of its own, so that what one worker asks can be told from what another does.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, TypeVar

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
#: an HTTP request begins so; a body that follows "100 Continue" does not
METHOD = re.compile(rb"(GET|PUT|POST|HEAD|DELETE|PATCH|OPTIONS) ")

Answer = TypeVar("Answer")


class Mode(StrEnum):
    """What becomes of a connection."""

    PASS = "pass"
    #: nobody listens: the kernel refuses, and nothing can be counted
    REFUSE = "refuse"
    #: taken, counted, and reset at once
    CUT = "cut"
    #: taken, counted, and never answered; what was sent is delivered when the time is over
    FREEZE = "freeze"


@dataclass(slots=True)
class Door:
    """One port and what came through it, as monotonic times."""

    name: str
    port: int
    connections: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)

    @property
    def url(self) -> str:
        """As an HTTP client is told it."""
        return f"http://{LOOPBACK}:{self.port}"

    def asked(self, since: float, until: float | None = None) -> int:
        """Calls in a stretch of time: requests that were read, and connections that were cut before one."""
        end = time.monotonic() if until is None else until
        return sum(since <= at < end for at in self.requests)


class Proxy:
    """Runs in a thread of its own; use as a context manager. Its methods are for any thread."""

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        """``host`` and ``port``: the server behind it."""
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._doors: dict[str, Door] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.mode = Mode.PASS

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def door(self, name: str) -> Door:
        """Open a port for one client, or return the one it has."""
        if name not in self._doors:
            with socket.socket() as probe:
                probe.bind((LOOPBACK, 0))
                port = int(probe.getsockname()[1])
            self._doors[name] = Door(name, port)
            if self.mode is not Mode.REFUSE:
                self._do(self._listen(name))
        return self._doors[name]

    @property
    def doors(self) -> list[Door]:
        """All that were opened."""
        return list(self._doors.values())

    def turn(self, mode: Mode) -> None:
        """Change what becomes of every connection, present ones included; in force when this returns."""
        self._do(self._turn(mode))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _turn(self, mode: Mode) -> None:
        self.mode = mode
        if mode is Mode.FREEZE:
            self._open.clear()
        else:
            if mode is not Mode.PASS:
                self._reset_all()
            self._open.set()
        for name in self._doors:
            if mode is Mode.REFUSE:
                await self._stop_listening(name)
            elif name not in self._servers:
                await self._listen(name)

    async def _listen(self, name: str) -> None:
        door = self._doors[name]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(door, reader, writer)
            self._writers.discard(writer)
            writer.transport.abort()

        self._servers[name] = await asyncio.start_server(serve, LOOPBACK, door.port, backlog=512)

    async def _stop_listening(self, name: str) -> None:
        server = self._servers.pop(name, None)
        if server is not None:
            server.close()

    async def _close(self) -> None:
        self._open.set()
        for name in list(self._servers):
            await self._stop_listening(name)
        self._reset_all()
        await asyncio.sleep(0)  # lets the transports close their sockets
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)
        self._writers.clear()

    async def _serve(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        door.connections.append(time.monotonic())
        if self.mode is Mode.CUT:
            door.requests.append(time.monotonic())
            _reset(writer)
            return
        self._writers.add(writer)
        talk = _Talk(door)
        first = await reader.read(CHUNK_BYTES)
        if not first:
            return
        talk.heard(first)
        await self._open.wait()
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers.add(far_writer)
        try:
            far_writer.write(first)
            await asyncio.gather(
                self._relay(reader, far_writer, talk.heard), self._relay(far_reader, writer, talk.answered)
            )
        finally:
            self._writers.discard(far_writer)
            far_writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Any) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            note(chunk)
            await self._open.wait()
            writer.write(chunk)
            await writer.drain()
        await self._open.wait()
        if writer.can_write_eof():
            writer.write_eof()


class _Talk:
    """Tells requests apart on one connection: whoever asks again has had an answer."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._is_http: bool | None = None
        self._their_turn = True

    def heard(self, chunk: bytes) -> None:
        """Bytes of the client."""
        begins = METHOD.match(chunk) is not None
        if self._is_http is None:
            self._is_http = begins
        if self._their_turn and (begins or not self._is_http):
            self._door.requests.append(time.monotonic())
            self._their_turn = False

    def answered(self, chunk: bytes) -> None:
        """Bytes of the server."""
        self._their_turn = True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, so that the other side hears of it at once and by an error."""
    plain = writer.get_extra_info("socket")
    if plain is not None:
        with suppress(OSError):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
