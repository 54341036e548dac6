"""Submissions that are torn at one exact step: by a client that dies, or by the death of the web that serves it."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import psutil

from bench.embedded import eventually
from bench.faults import barcode
from bench.faults.blocks import at_commit, before_writing, is_committing, wait_until_writing

if TYPE_CHECKING:
    from bench.faults.world import World

BOUNDARY = "torn"
#: large enough to be on its way for a while
PADDING_BYTES = 300_000
VICTIM = "web"
COMMIT_TRIES = 5


@dataclass(frozen=True, slots=True)
class Step:
    """Where the web dies."""

    when: str
    tear: Callable[[Submitter, str], None]


def die_midway(world: World, number: int) -> None:
    """Send the head of a submission and part of its body, then vanish: by a reset, or as if in good order."""
    chance = random.Random(f"{world.terms.seed} {number}")
    head, body = _request(world, f"dies-{number}", number)
    place = urlsplit(chance.choice(world.stack.state.api_urls))
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        connection.sendall(head + body[: chance.randrange(1, len(body))])
        time.sleep(chance.random() * 0.2)
        if chance.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Submitter:
    """Submits to one web, has it killed at a step, and sends again or does not."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent_again = 0
        self._answers: list[httpx2.Response] = []

    def tear(self, step: Step, number: int) -> None:
        """One submission and one death."""
        key = f"{step.when} {number}".replace(" ", "-")
        step.tear(self, key)
        self.world.nemesis.start(VICTIM)
        self.world.say(f"killed {step.when}")
        if self.world.rng.random() < 0.5:
            self.sent_again += 1
            answer = self.post(key)
            assert answer is not None, f"sent again, {key} was not answered"
            assert answer.status_code == httpx2.codes.ACCEPTED, answer.text

    def post(self, key: str) -> httpx2.Response | None:
        """Submit a picture; None when the web died over it. What was acknowledged is held to."""
        with self.world.stack.client() as client:
            try:
                answer = client.post(
                    "/v1/jobs",
                    data={"pipeline": "barcode"},
                    files={"file": ("still.png", barcode.still(_number(key)))},
                    headers={"Idempotency-Key": key},
                )
            except httpx2.TransportError:
                return None
        if answer.status_code == httpx2.codes.ACCEPTED:
            self.world.promised.add(answer.json()["id"])
        return answer

    def call(self, path: str, body: Any = None) -> dict[str, Any]:
        """Ask something that must be answered."""
        with self.world.stack.client() as client:
            answer = client.post(path, json=body) if body is not None else client.post(path)
            assert answer.is_success, answer.text
            return dict(answer.json())

    def in_background(self, ask: Callable[[], object]) -> threading.Thread:
        """Ask while something is done to the web; a transport error is what is meant to come."""

        def run() -> None:
            try:
                ask()
            except (httpx2.TransportError, AssertionError):
                return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def kill(self, asking: threading.Thread | None = None) -> None:
        """SIGKILL the web with its workers."""
        victim = self.world.stack.part(VICTIM).identity
        killed = self.world.nemesis.kill_tree(VICTIM)
        assert killed is not None, "the web does not run"
        assert victim is not None
        assert victim.gone_within(10.0), "the web outlives its death"
        if asking is not None:
            asking.join(30)

    def web_ports(self) -> frozenset[int]:
        """The local ports of the web's connections."""
        processes = [one := psutil.Process(self.world.stack.pid(VICTIM)), *one.children(recursive=True)]
        return frozenset(line.laddr.port for process in processes for line in process.net_connections("tcp"))


def _during_the_body(submitter: Submitter, key: str) -> None:
    world = submitter.world
    head, body = _request(world, key, _number(key))
    place = urlsplit(world.stack.state.api_urls[0])
    drafts = world.stack.home.objects / "temporary"
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        connection.sendall(head + body[: len(body) // 2])
        eventually(lambda: any(drafts.iterdir()), 15.0, "the web does not write what comes in", every=0.005)
        submitter.kill()


def _before_the_row(submitter: Submitter, key: str) -> None:
    _held_at(submitter, "jobs", "INSERT INTO jobs", lambda: submitter.post(key))


def _before_the_segment(submitter: Submitter, key: str) -> None:
    _held_at(submitter, "segments", "INSERT INTO segments", lambda: submitter.post(key))


def _at_the_commit(submitter: Submitter, key: str) -> None:
    """Held back are the COMMITs of all, and with them their locks: the web may have to wait before it comes so far."""
    for turn in range(COMMIT_TRIES):
        submitter.world.settle()
        with at_commit(submitter.world.books):
            asking = submitter.in_background(lambda turn=turn: submitter.post(f"{key}-{turn}" if turn else key))
            if is_committing(submitter.world.books, submitter.web_ports):
                submitter.kill(asking)
                return
        asking.join(30)
    raise AssertionError(f"{COMMIT_TRIES} times the web did not come to its COMMIT")


def _at_the_answer(submitter: Submitter, key: str) -> None:
    sql = "SELECT count(*) FROM jobs WHERE idempotency_key = %s"
    asking = submitter.in_background(lambda: submitter.post(key))
    eventually(lambda: submitter.world.books.ask(sql, key)[0][0] > 0, 15.0, "the row did not come", every=0.001)
    submitter.kill(asking)


def _during_a_part(submitter: Submitter, key: str) -> None:
    data = barcode.still(_number(key)) + bytes(PADDING_BYTES)
    upload = submitter.call("/v1/uploads", {"size_bytes": len(data), "filename": "still.png"})
    part = submitter.call(f"/v1/uploads/{upload['id']}/parts", {"numbers": [1]})["urls"][0]
    place, drafts = urlsplit(part["url"]), submitter.world.stack.home.objects / "temporary"
    lines = (f"PUT {place.path}?{place.query} HTTP/1.1", f"Host: {place.netloc}", f"Content-Length: {len(data)}")
    head = "\r\n".join((*lines, "Content-Type: application/octet-stream", "", "")).encode()
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        connection.sendall(head + data[: len(data) // 2])
        eventually(lambda: any(drafts.iterdir()), 15.0, "the web does not write the part", every=0.005)
        submitter.kill()


def _at_the_joining(submitter: Submitter, key: str) -> None:
    """The parts are one object, the row does not know; a client that asks again goes on as if nothing had been."""
    upload_id = _uploaded(submitter, key)
    complete = f"/v1/uploads/{upload_id}/complete"
    _held_at(submitter, "uploads", "UPDATE uploads", lambda: submitter.call(complete))
    submitter.world.nemesis.start(VICTIM)
    submitter.call(complete)
    _held_at(submitter, "jobs", "INSERT INTO jobs", lambda: submitter.call("/v1/jobs", _order(upload_id)))
    submitter.world.nemesis.start(VICTIM)
    submitter.world.promised.add(submitter.call("/v1/jobs", _order(upload_id))["id"])


def _uploaded(submitter: Submitter, key: str) -> str:
    """Send all parts of an upload; return its id."""
    data = barcode.still(_number(key))
    upload = submitter.call("/v1/uploads", {"size_bytes": len(data), "filename": "still.png"})
    part = submitter.call(f"/v1/uploads/{upload['id']}/parts", {"numbers": [1]})["urls"][0]
    sent = httpx2.put(part["url"], content=data, headers={"Content-Type": "application/octet-stream"}, trust_env=False)
    assert sent.is_success, sent.text
    return str(upload["id"])


def _order(upload_id: str) -> dict[str, Any]:
    return {"pipeline": "barcode", "input": {"upload_id": upload_id}}


def _held_at(submitter: Submitter, table: str, words: str, ask: Callable[[], object]) -> None:
    """Kill the web while it waits to write to a table."""
    books = submitter.world.books
    with before_writing(books, table):
        since = books.now()
        asking = submitter.in_background(ask)
        wait_until_writing(books, words, since)
        submitter.kill(asking)


def _request(world: World, key: str, number: int) -> tuple[bytes, bytes]:
    """Head and body of a submission, as bytes."""
    parts = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="pipeline"\r\n\r\nbarcode\r\n',
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="still.png"\r\n\r\n',
    )
    picture = barcode.still(number) + bytes(PADDING_BYTES)
    body = "".join(parts).encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
    lines = (
        "POST /v1/jobs HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {world.stack.api_key}",
        f"Idempotency-Key: {key}",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode(), body


def _number(key: str) -> int:
    return random.Random(key).randrange(1, 2**31)


STEPS = (
    Step("while the body comes in", _during_the_body),
    Step("with the object stored before the row", _before_the_row),
    Step("with the row written before its segment", _before_the_segment),
    Step("with COMMIT sent and not answered", _at_the_commit),
    Step("with the answer on its way", _at_the_answer),
    Step("while a part of an upload comes in", _during_a_part),
    Step("with the parts joined before the row knows", _at_the_joining),
)
