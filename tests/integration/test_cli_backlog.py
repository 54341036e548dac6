"""``framequeue backlog`` and ``history`` against the real web app and the duty that makes jobs of items."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from framequeue import Client
from framequeue.backlog import Backlog, Journal, Terms
from framequeue.manifest import source_of_backlog

from storage.job import Failed, Fault
from tests.integration.api_bed import PNG
from tests.integration.cli_desk import Desk


@pytest.fixture
def photos(desk: Desk) -> Path:
    folder = desk.folder / "photos"
    (folder / "night").mkdir(parents=True)
    for name in ("a.png", "b.png", "night/c.png"):
        (folder / name).write_bytes(PNG)
    (folder / "readme.txt").write_text("not a picture")
    return folder


def test_a_folder_becomes_a_batch_whose_jobs_are_counted_and_fetched_together(desk: Desk, photos: Path) -> None:
    with desk.working(jobs=3):
        code = desk.call("backlog", "enqueue", str(photos), "-p", "motion", "--metadata", "site=north", "--json")
        assert code == 0, desk.err
        (batch,) = desk.documents()
        assert batch["counts"]["total"] == 3
    assert desk.call("backlog", "status", batch["id"], "--json") == 0
    counts = desk.documents()[0]["counts"]
    assert (counts["total"], counts["succeeded"], counts["rejected"]) == (3, 3, 0)
    assert desk.call("backlog", "results", batch["id"]) == 0
    rows = desk.documents()
    assert sorted(row["key"] for row in rows) == ["a.png", "b.png", "night/c.png"]
    assert {row["state"] for row in rows} == {"succeeded"}
    assert all(row["summary"] == {"frames": 3} for row in rows)
    job = desk.api.services.jobs.get(rows[0]["job_id"])
    assert job.metadata == {"site": "north"}


def test_an_enqueue_that_is_killed_and_resumed_sends_each_file_once(desk: Desk, photos: Path) -> None:
    with desk.client() as client:
        begun = _enqueue(client, photos)
        next(begun)
        begun.close()
    assert desk.call("backlog", "enqueue", str(photos), "-p", "motion") == 2
    assert "backlog.interrupted" in desk.err
    assert desk.call("backlog", "enqueue", str(photos), "-p", "motion", "--resume", "--json") == 0, desk.err
    (batch,) = desk.documents()
    assert batch["counts"]["total"] == 3
    with desk.client() as client:
        assert sorted(str(item["key"]) for item in client.batches.items(batch["id"])) == [
            "a.png", "b.png", "night/c.png",
        ]  # fmt: skip
        assert len(list(client.list())) == 3
    assert batch["state"] != "open"


def _enqueue(client: Client, folder: Path):  # type: ignore[no-untyped-def]
    terms = Terms({"pipeline": "motion"}, folder.name)
    work = Backlog(client, terms, Journal(client.base_url, str(folder), terms))
    return work.fill(work.open_batch(resume=False), source_of_backlog(str(folder), wanted=lambda name: "png" in name))


def test_a_manifest_with_bad_lines_takes_the_good_ones_and_names_the_bad(desk: Desk, photos: Path) -> None:
    manifest = desk.folder / "list.jsonl"
    lines = [
        {"file": "photos/a.png", "key": "first"},
        {"file": "photos/nothing.png", "key": "gone"},
        {"url": "https://media.example.org/x.mp4", "key": "far", "params": {"width": -1}},
        {"url": "ftp://example.org/x", "key": "odd"},
    ]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines) + "{broken\n")
    assert desk.call("backlog", "enqueue", str(manifest), "-p", "motion", "--json") == 2
    assert "gone: file.unreadable" in desk.err
    assert "line 5 is not JSON" in desk.err
    assert "odd: item.invalid" in desk.err
    (batch,) = desk.documents()
    assert batch["counts"]["total"] == 3
    assert {error["key"]: error["error"]["code"] for error in batch["errors"]} == {
        "far": "params.invalid",
        "odd": "item.invalid",
    }


def test_a_batch_is_canceled_with_all_that_waits(desk: Desk, photos: Path) -> None:
    assert desk.call("backlog", "enqueue", str(photos), "-p", "motion", "--json") == 0
    (batch,) = desk.documents()
    assert desk.call("backlog", "cancel", batch["id"], "--json") == 0
    assert desk.documents()[0]["state"] == "canceled"
    assert desk.call("backlog", "list", "--json") == 0
    assert [row["id"] for row in desk.documents()] == [batch["id"]]


def test_what_failed_in_a_batch_is_run_again(desk: Desk, photos: Path) -> None:
    assert desk.call("backlog", "enqueue", str(photos), "-p", "motion", "--json") == 0
    (batch,) = desk.documents()
    claim = desk.api.worker().take()
    desk.api.worker().finish(claim, Failed(claim.segments[0].id, Fault("media.undecodable", "no picture")))
    assert desk.call("backlog", "replay-failed", batch["id"], "--state", "failed", "--json") == 0, desk.err
    assert desk.documents()[0]["replay"]["state"] == "running"


def test_the_history_of_a_job_is_told_event_by_event(desk: Desk, photos: Path) -> None:
    with desk.working(jobs=1):
        assert desk.call("submit", str(photos / "a.png"), "-p", "motion", "--wait", "--json") == 0
    job_id = desk.documents()[0]["id"]
    assert desk.call("history", job_id, "--json") == 0
    kinds = [event["kind"] for event in desk.documents()]
    assert kinds[0] == "submitted"
    assert kinds[-1] == "succeeded"
    assert "claimed" in kinds
    assert desk.call("history", job_id) == 0
    assert "run 1  submitted" in desk.out
