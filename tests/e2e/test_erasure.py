"""After a DELETE nothing of an input or a result is left: not in the store, not on any worker's disk, in no table."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pytest

from bench.embedded import EmbeddedStack, eventually
from tests.e2e.clips import moving_clip
from tests.e2e.embedded import finished, job_of
from tests.fakes.http_source import Source

#: heartbeats come every 5 s; the second look at the store comes after 15 s
FORGOTTEN_SECONDS = 60.0
#: what may name an erased job: who erased it, and what tells workers to forget it
_MAY_NAME = {"audit", "erasures", "batch_items"}


@dataclass
class Place:
    """Everywhere that bytes of a job may lie."""

    stack: EmbeddedStack

    def objects(self, word: str) -> list[str]:
        """Objects, and what was never finished, with this word in name or bytes."""
        return _files_with(self.stack.home.objects, word)

    def copies(self, word: str) -> list[str]:
        """Files of every worker with this word in name or bytes."""
        return _files_with(self.stack.home.scratch, word)

    def tables(self, word: str) -> set[str]:
        """Tables with this word in any column of any row."""
        with psycopg2.connect(self.stack.state.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            names = [name for (name,) in cursor.fetchall()]
            found = set()
            for name in names:
                cursor.execute(f'SELECT count(*) FROM "{name}" AS t WHERE t::text LIKE %s', (f"%{word}%",))
                (count,) = cursor.fetchone() or (0,)
                if count:
                    found.add(name)
        assert len(names) > 15
        return found


def _files_with(folder: Path, word: str) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and (word in str(path) or word.encode() in path.read_bytes()):
                found.append(str(path.relative_to(folder)))
        except FileNotFoundError:  # a worker tidies up meanwhile
            continue
    return found


@pytest.fixture
def place(stack: EmbeddedStack) -> Place:
    return Place(stack)


@pytest.fixture
def word() -> str:
    """A word that is nowhere else."""
    return f"secret-{secrets.token_hex(12)}"


def marked_clip(folder: Path, word: str, *, seconds: int) -> Path:
    """A clip with the word in a box that players skip."""
    path = moving_clip(folder / f"{word}.mp4", width=320, height=240, seconds=seconds)
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(word), b"free") + word.encode())
    return path


PARAMS = {"sampler": {"policy": "stride", "stride": 1}}


def by_form(client: httpx2.Client, path: Path, word: str, source: Source) -> str:
    fields = {"pipeline": "motion", "params": '{"sampler": {"policy": "stride", "stride": 1}}'}
    fields |= {"metadata": f'{{"note": "{word}"}}'}
    with path.open("rb") as file:
        answer = client.post("/v1/jobs", data=fields, files={"file": (path.name, file)})
    return str(answer.raise_for_status().json()["id"])


def by_upload(client: httpx2.Client, path: Path, word: str, source: Source) -> str:
    order = {"size_bytes": path.stat().st_size, "filename": path.name}
    upload = client.post("/v1/uploads", json=order).raise_for_status().json()
    numbers = list(range(1, upload["part_count"] + 1))
    parts = client.post(f"/v1/uploads/{upload['id']}/parts", json={"numbers": numbers}).raise_for_status().json()
    with path.open("rb") as file:
        for part in parts["urls"]:
            body = file.read(part["size_bytes"])
            headers = {"Content-Type": "application/octet-stream"}
            httpx2.put(part["url"], content=body, headers=headers, trust_env=False).raise_for_status()
    client.post(f"/v1/uploads/{upload['id']}/complete").raise_for_status()
    return _submitted(client, word, {"upload_id": upload["id"]})


def by_url(client: httpx2.Client, path: Path, word: str, source: Source) -> str:
    source.answer(f"/{path.name}", 200, path.read_bytes())
    return _submitted(client, word, {"url": source.url(f"/{path.name}")})


def by_batch(client: httpx2.Client, path: Path, word: str, source: Source) -> str:
    source.answer(f"/{path.name}", 200, path.read_bytes())
    item = {
        "key": "my-key", "url": source.url(f"/{path.name}"), "pipeline": "motion", "params": PARAMS,
        "metadata": {"note": word},
    }  # fmt: skip
    batch = client.post("/v1/batches", json={"items": [item]}).raise_for_status().json()
    items: list[dict[str, Any]] = []

    def made() -> bool:
        items[:] = client.get(f"/v1/batches/{batch['id']}/items").raise_for_status().json()["items"]
        return bool(items and items[0]["job_id"])

    eventually(made, 30.0, "the item became no job")
    return str(items[0]["job_id"])


def _submitted(client: httpx2.Client, word: str, given: dict[str, str]) -> str:
    order = {"pipeline": "motion", "input": given, "params": PARAMS, "metadata": {"note": word}}
    return str(client.post("/v1/jobs", json=order).raise_for_status().json()["id"])


@pytest.mark.parametrize("way", [by_form, by_upload, by_url, by_batch])
def test_nothing_of_a_job_is_left_once_it_was_erased(
    client: httpx2.Client, place: Place, source: Source, tmp_path: Path, word: str, way: Any
) -> None:
    # rows of a long clip are an object, those of a short one lie in the database
    job_id = way(client, marked_clip(tmp_path, word, seconds=60 if way is by_form else 6), word, source)
    job = finished(client, job_id, 120)
    assert job["state"] == "succeeded", job["error"]
    # it was everywhere, and would stay there
    assert place.objects(word)
    assert any("results" in name for name in place.objects(job_id)) == (way is by_form)
    assert place.copies(word)
    assert "jobs" in place.tables(word)
    client.delete(f"/v1/jobs/{job_id}").raise_for_status()
    assert place.objects(word) == place.objects(job_id) == []
    assert place.tables(word) == set()
    assert place.tables(job_id) <= _MAY_NAME
    eventually(lambda: place.copies(word) == [], FORGOTTEN_SECONDS, lambda: f"still there: {place.copies(word)}")
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404


def test_nothing_is_left_of_a_job_that_was_erased_while_it_ran(
    client: httpx2.Client, place: Place, source: Source, tmp_path: Path, word: str
) -> None:
    job_id = by_form(client, marked_clip(tmp_path, word, seconds=240), word, source)
    eventually(lambda: 0 < job_of(client, job_id)["progress"] < 1, 60.0, "it did not begin")
    assert place.copies(word)
    client.delete(f"/v1/jobs/{job_id}").raise_for_status()
    assert place.tables(word) == set()
    eventually(
        lambda: not (place.copies(word) or place.objects(word) or place.objects(job_id)),
        FORGOTTEN_SECONDS,
        lambda: f"still there: {place.copies(word)} {place.objects(job_id)}",
    )
    assert place.tables(word) == set()
    assert place.tables(job_id) <= _MAY_NAME
