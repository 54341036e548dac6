"""Filling a batch: each item once, however often it is begun; never more than the queue may hold."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx2
import pytest
from framequeue import Client, ConfigurationError
from framequeue.backlog import Backlog, Gate, Journal, News, Terms
from framequeue.manifest import BadLine, Entry, source_of_backlog


class BatchServer:
    """The part of the API that an enqueue needs, with the batch's items in memory."""

    def __init__(self) -> None:
        self.state = "open"
        self.keys: list[str] = []
        self.unfinished = 0
        self.most_unfinished = 0
        self.refuse: dict[str, int] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def client(self) -> Client:
        return Client("key", "http://api.test", max_retries=0, http_transport=httpx2.MockTransport(self._answer))

    def document(self) -> dict[str, Any]:
        counts = {"total": len(self.keys), "queued": self.unfinished, "succeeded": len(self.keys) - self.unfinished}
        return {"id": "b1", "state": self.state, "counts": counts, "progress": 0.0}

    def drain(self) -> None:
        with self._lock:
            self.unfinished = 0

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        body = request.read()
        with self._lock:
            route = (request.method, request.url.path)
            if route == ("POST", "/v1/batches"):
                self.batches[request.headers["idempotency-key"]] = json.loads(body)
            elif route == ("POST", "/v1/batches/b1/items"):
                self._take([json.loads(line)["key"] for line in body.splitlines()])
            elif route == ("POST", "/v1/batches/b1/close"):
                self.state = "running"
            elif route == ("GET", "/v1/batches/b1/items"):
                return httpx2.Response(200, json={"items": [{"key": key} for key in self.keys], "next_cursor": None})
            elif route == ("POST", "/v1/jobs"):
                return self._job(request, body)
            return httpx2.Response(200, json=self.document())

    def _job(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
        parts = BytesParser().parsebytes(head + body).get_payload()
        fields = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
        key = fields["batch_key"].decode()
        assert fields["batch_id"] == b"b1"
        assert request.headers["idempotency-key"].startswith("backlog-")
        if self.refuse.get(key, 0):
            self.refuse[key] -= 1
            return httpx2.Response(422, json={"code": "media.empty", "title": "The file is empty"})
        self._take([key])
        return httpx2.Response(202, json={"id": key, "state": "queued", "pipeline": "motion"})

    def _take(self, keys: list[str]) -> None:
        new = [key for key in keys if key not in self.keys]
        self.keys += new
        self.unfinished += len(new)
        self.most_unfinished = max(self.most_unfinished, self.unfinished)


@pytest.fixture
def server() -> BatchServer:
    return BatchServer()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for name in ("a.jpg", "b/c.jpg", "b/d.png", ".hidden.jpg", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    return folder


def images(name: str) -> bool:
    return name.endswith((".jpg", ".png"))


def enqueue(
    server: BatchServer, source: str, tmp_path: Path, *, resume: bool = False, max_queue: int | None = None
) -> Iterator[News]:
    client = server.client()
    terms = Terms({"pipeline": "motion"}, "photos", max_queue, 2)
    journal = Journal(client.base_url, source, terms, tmp_path / "journal")
    work = Backlog(client, terms, journal)
    return work.fill(work.open_batch(resume=resume), source_of_backlog(source, wanted=images))


def test_every_file_of_a_folder_becomes_an_item_named_by_its_place(
    server: BatchServer, folder: Path, tmp_path: Path
) -> None:
    news = list(enqueue(server, str(folder), tmp_path))
    assert sorted(server.keys) == ["a.jpg", "b/c.jpg", "b/d.png"]
    assert server.state == "running"
    assert (news[-1].tally.added, news[-1].tally.refused) == (3, 0)


def test_an_enqueue_that_was_stopped_goes_on_and_sends_nothing_twice(
    server: BatchServer, folder: Path, tmp_path: Path
) -> None:
    begun = enqueue(server, str(folder), tmp_path)
    next(begun)
    begun.close()  # type: ignore[attr-defined]  # a generator
    first = set(server.keys)
    assert first
    assert server.state == "open"
    news = list(enqueue(server, str(folder), tmp_path, resume=True))
    assert sorted(server.keys) == ["a.jpg", "b/c.jpg", "b/d.png"]
    assert len(server.batches) == 1
    assert news[-1].tally.known >= 1
    assert server.state == "running"


def test_a_start_that_was_stopped_is_not_begun_anew_by_accident(
    server: BatchServer, folder: Path, tmp_path: Path
) -> None:
    begun = enqueue(server, str(folder), tmp_path)
    next(begun)
    begun.close()  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="interrupted"):
        next(enqueue(server, str(folder), tmp_path))


def test_a_finished_enqueue_leaves_nothing_behind_that_a_later_one_would_trip_over(
    server: BatchServer, folder: Path, tmp_path: Path
) -> None:
    list(enqueue(server, str(folder), tmp_path))
    list(enqueue(server, str(folder), tmp_path))
    assert len(server.batches) == 2


def test_a_refused_file_is_named_and_does_not_stop_the_others(
    server: BatchServer, folder: Path, tmp_path: Path
) -> None:
    server.refuse = {"b/c.jpg": 1}
    refused = [news for news in enqueue(server, str(folder), tmp_path) if news.refused]
    assert [news.refused for news in refused] == ["b/c.jpg"]
    assert getattr(refused[0].error, "code", None) == "media.empty"
    assert sorted(server.keys) == ["a.jpg", "b/d.png"]


def test_a_manifest_mixes_files_and_addresses_and_bad_lines_are_told_by_number(
    server: BatchServer, folder: Path, tmp_path: Path
) -> None:
    manifest = folder / "backlog.jsonl"
    lines = [
        '{"file": "a.jpg", "metadata": {"site": "north"}}',
        '{"url": "https://example.org/x.mp4", "key": "x"}',
        "not json",
        '{"file": "a.jpg", "url": "https://example.org/x.mp4"}',
        '{"prefix": "s3://bucket/clips/"}',
    ]
    manifest.write_text("\n".join(lines))
    refused = [news.refused for news in enqueue(server, str(manifest), tmp_path) if news.refused]
    assert sorted(server.keys) == ["1:a.jpg", "5:s3://bucket/clips/", "x"]
    assert [text.split()[:2] for text in refused if text] == [["line", "3"], ["line", "4"]]


def test_no_more_files_are_sent_than_the_queue_may_hold(server: BatchServer, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.jpg").write_bytes(b"x")
    full = threading.Event()

    def empty_the_queue() -> None:
        while not full.wait(0.05):
            server.drain()

    thread = threading.Thread(target=empty_the_queue)
    thread.start()
    try:
        list(enqueue(server, str(folder), tmp_path, max_queue=5))
    finally:
        full.set()
        thread.join()
    assert len(server.keys) == 40
    assert server.most_unfinished <= 5 + 2  # those under way when the gate was last asked


def test_a_gate_that_is_closed_lets_nobody_through_and_holds_nobody() -> None:
    gate = Gate(lambda: 100, 10, pause_seconds=60)
    waiting = threading.Thread(target=gate.enter)
    waiting.start()
    gate.close()
    waiting.join(5)
    assert not waiting.is_alive()
    assert gate.enter() is False


def test_what_is_neither_folder_nor_manifest_nor_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither"):
        source_of_backlog(str(tmp_path / "nothing"), wanted=images)


def test_the_same_line_without_a_key_is_two_items(tmp_path: Path) -> None:
    manifest = tmp_path / "twice.jsonl"
    manifest.write_text('{"url": "https://example.org/a"}\n\n{"url": "https://example.org/a"}\n')
    found = list(source_of_backlog(str(manifest), wanted=images)())
    assert [item.key for item in found if isinstance(item, Entry)] == [
        "1:https://example.org/a", "3:https://example.org/a",
    ]  # fmt: skip
    assert not [item for item in found if isinstance(item, BadLine)]
