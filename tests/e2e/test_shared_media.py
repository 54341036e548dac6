"""Every clip and every hostile file of the test data, through HTTP, to the end that its manifest row tells."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bench.embedded import EmbeddedStack, eventually
from tests.e2e.embedded import finished, frames_of, job_of, submit, submitted
from tests.e2e.memory import MIB, Peak
from tests.services import shared_folder

GIB = 1024 * MIB
#: what no result, answer or log may hold: the neighbours of hostile playlists, and hosts that they name
COMPANIONS = ("secret.txt", "canary.ts")


def rows_under(folder: str) -> list[dict[str, str]]:
    """Manifest rows of a folder of the test data."""
    with (shared_folder() / "data" / "manifest.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["path"].startswith(f"shared/data/{folder}/")]


def path_of(row: dict[str, str]) -> Path:
    return shared_folder() / Path(row["path"]).relative_to("shared")


def label(row: dict[str, str]) -> str:
    return Path(row["path"]).name


#: frames of the right stream where ffprobe counted another one
OTHER_STREAM = {"many_streams_nasa.mp4": 390}

VIDEOS = rows_under("videos")
MALFORMED = [row for row in rows_under("malformed") if label(row) not in COMPANIONS]


def test_the_manifest_lists_what_these_tests_are_about() -> None:
    assert len(VIDEOS) >= 35
    assert len(MALFORMED) >= 58


@pytest.mark.parametrize("row", VIDEOS, ids=label)
def test_a_clip_ends_as_its_manifest_row_says(client: httpx2.Client, row: dict[str, str]) -> None:
    job = finished(client, submitted(client, path_of(row)), 150)
    if "must be refused" in row["ground_truth"]:
        assert job["state"] == "failed"
        assert job["error"]["code"].startswith("media.")
        assert job["error"]["advice"]
        return
    assert job["state"] == "succeeded", job["error"]
    frames = frames_of(client, job["id"])
    assert len(frames) == job["frames"] == job["summary"]["frames"]
    times = [frame["pts_seconds"] for frame in frames]
    assert times == sorted(set(times))
    expected = decoded_frames(row)
    if expected is not None:
        assert job["frames"] == -(-expected // 5), "every fifth frame, from the first"


def decoded_frames(row: dict[str, str]) -> int | None:
    """How many frames ffprobe counted, where the row tells; None for animated pictures, which it times otherwise."""
    if label(row) in OTHER_STREAM:
        return OTHER_STREAM[label(row)]
    words = row["check"].split()
    if not row["check"].startswith("ffprobe:") or words[-1] != "frames" or label(row).endswith(".gif"):
        return None
    return int(words[-2])


class Hostile:
    """What became of each hostile file, and the memory of the worker meanwhile."""

    def __init__(self) -> None:
        self.endings: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, float] = {}
        self.texts: dict[str, str] = {}
        self.peak_bytes = 0
        self.main_pid = (0, 0)


@pytest.fixture(scope="module")
def hostile(stack: EmbeddedStack) -> Hostile:
    """Send every hostile file once, one after the other."""
    seen = Hostile()
    before = stack.pid("worker")
    with stack.client() as client, Peak(before) as peak:
        for row in MALFORMED:
            begun = time.monotonic()
            answer = submit(client, path_of(row))
            if answer.status_code == 202:
                document = follow(client, answer.json()["id"])
                pages = client.get(f"/v1/jobs/{document['id']}/frames").text
                seen.endings[label(row)], seen.texts[label(row)] = document, str(document) + pages
            else:
                seen.endings[label(row)] = {"state": answer.status_code, "error": answer.json()}
                seen.texts[label(row)] = answer.text
            seen.seconds[label(row)] = time.monotonic() - begun
    seen.peak_bytes, seen.main_pid = peak.bytes, (before, stack.pid("worker"))
    return seen


def follow(client: httpx2.Client, job_id: str) -> dict[str, Any]:
    """The job at its end, or as it stands after 40 s: the tests below say which files took too long."""
    try:
        return finished(client, job_id, 40)
    except AssertionError:
        return job_of(client, job_id)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", MALFORMED, ids=label)
def test_a_hostile_file_ends_in_time_and_says_why(hostile: Hostile, row: dict[str, str]) -> None:
    ending = hostile.endings[label(row)]
    assert hostile.seconds[label(row)] < 20
    if isinstance(ending["state"], int):
        assert 400 <= ending["state"] < 500, ending
        assert "." in ending["error"]["code"]
        return
    assert ending["state"] in ("failed", "succeeded"), ending
    if ending["state"] == "failed":
        assert ending["error"]["code"].startswith("media."), ending["error"]
    if row["ground_truth"].startswith("must be refused") and "or decoded" not in row["ground_truth"]:
        assert ending["state"] == "failed", ending["summary"]


def test_hostile_files_reach_neither_their_neighbours_nor_the_network(hostile: Hostile, stack: EmbeddedStack) -> None:
    secret = (shared_folder() / "data/malformed/own/secret.txt").read_text().strip()
    for text in [*hostile.texts.values(), *(stack.log(name) for name in ("web", "worker", "dispatcher"))]:
        assert secret not in text
    sibling = hostile.endings["playlist_sibling.mp4"]
    assert sibling["state"] != "succeeded"


def test_the_worker_lives_through_every_hostile_file_within_its_memory(
    hostile: Hostile, stack: EmbeddedStack, client: httpx2.Client
) -> None:
    before, after = hostile.main_pid
    assert before == after
    assert stack.part("worker").restarts == 0
    print(f"peak of the worker's process tree: {hostile.peak_bytes / MIB:.0f} MiB")
    assert hostile.peak_bytes < GIB, f"{hostile.peak_bytes / MIB:.0f} MiB"
    eventually(lambda: len(stack.worker_children()) == 2, 30, lambda: stack.log_tail("worker"))
    assert finished(client, submitted(client, path_of(VIDEOS[0])))["state"] == "succeeded"


def test_a_pixel_bomb_costs_less_than_300_mib(stack: EmbeddedStack, client: httpx2.Client) -> None:
    bombs = [path_of(row) for row in MALFORMED if "bomb" in label(row) or "giant" in label(row)]
    assert len(bombs) >= 4
    for bomb in bombs:
        with Peak(stack.pid("worker")) as peak:
            answer = submit(client, bomb)
            if answer.status_code == 202:
                finished(client, answer.json()["id"], 40)
        print(f"{bomb.name}: {peak.grown_bytes / MIB:+.0f} MiB")
        assert peak.grown_bytes < 300 * MIB, f"{bomb.name}: {peak.grown_bytes / MIB:.0f} MiB"
