"""The ``framequeue`` command and the client against the real web app on a live server; work is done by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from framequeue import ConflictError, NotFoundError, submission

from storage.job import Failed, Fault
from tests.fakes.dead_ports import nobody
from tests.integration.api_bed import MP4, PNG, frame_rows
from tests.integration.cli_desk import Desk

REPOSITORY = Path(__file__).resolve().parents[2]
#: the command; what a shell starts in the background ignores SIGINT, which it would inherit
HEARING_CTRL_C = """
import signal
from framequeue.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@pytest.fixture
def still(desk: Desk) -> Path:
    (desk.folder / "still.png").write_bytes(PNG)
    return desk.folder / "still.png"


def test_a_file_is_submitted_and_its_id_comes_out_on_stdout_alone(desk: Desk, still: Path) -> None:
    assert desk.call("submit", str(still), "-p", "motion", "--param", "sampler.stride=2", "--metadata", "site=a") == 0
    job_id, state, progress, pipeline, name, note = desk.out.rstrip("\n").split("\t")
    assert (state, progress, pipeline, name) == ("queued", "0%", "motion", "still.png")
    assert "waits for worker" in note
    assert desk.err == ""
    job = desk.api.services.jobs.get(job_id)
    assert job.params["sampler"]["stride"] == 2
    assert job.metadata == {"site": "a"}


def test_submit_and_wait_ends_with_the_job_and_its_document(desk: Desk, still: Path) -> None:
    with desk.working(jobs=1):
        assert desk.call("submit", str(still), "-p", "motion", "--wait", "--json") == 0
    (document,) = desk.documents()
    assert (document["state"], document["terminal"], document["summary"]) == ("succeeded", True, {"frames": 3})


def test_a_job_that_fails_makes_the_command_exit_1_with_code_and_advice(desk: Desk, still: Path) -> None:
    assert desk.call("submit", str(still), "-p", "motion", "--json") == 0
    job_id = desk.documents()[0]["id"]
    worker = desk.api.worker()
    claim = worker.take()
    fault = Fault("media.undecodable", "there is no picture in it", advice="send another file")
    worker.finish(claim, Failed(claim.segments[0].id, fault))
    assert desk.call("wait", job_id) == 1
    assert "media.undecodable: there is no picture in it - send another file" in desk.out
    assert desk.call("status", job_id) == 0
    assert "\tfailed\t" in desk.out


def test_a_folder_is_submitted_as_all_the_media_in_it_and_one_bad_file_stops_nothing(desk: Desk) -> None:
    inner = desk.folder / "day" / "night"
    inner.mkdir(parents=True)
    (desk.folder / "day/a.png").write_bytes(PNG)
    (inner / "b.mp4").write_bytes(MP4)
    (inner / "broken.jpg").write_bytes(b"PK\x03\x04 this is a zip")
    (inner / "notes.txt").write_text("no media")
    (inner / "steps.csv").write_text("t,x\n0,1\n")
    (inner / ".hidden.png").write_bytes(PNG)
    assert desk.call("submit", "day", "-p", "motion") == 2
    assert "--recursive" in desk.err
    assert desk.call("submit", "day", "-p", "motion", "--recursive", "--json") == 2
    assert sorted(document["input"]["filename"] for document in desk.documents()) == ["a.png", "b.mp4"]
    (line,) = desk.err.splitlines()
    assert line.startswith("framequeue: day/night/broken.jpg: media.unsupported: ")
    assert "- send an image" in line
    assert desk.call("submit", "day", "-r", "-p", "steps", "--json") == 0
    assert [document["input"]["filename"] for document in desk.documents()] == ["steps.csv"]


def test_many_files_are_all_waited_for(desk: Desk) -> None:
    for number in range(6):
        (desk.folder / f"{number}.png").write_bytes(PNG)
    with desk.working(jobs=6):
        assert desk.call("submit", ".", "-r", "-p", "motion", "--wait", "--json", "--concurrency", "3") == 0
    documents = desk.documents()
    assert len({document["id"] for document in documents}) == 6
    assert {document["state"] for document in documents} == {"succeeded"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-p", "nosuch"], "pipeline.unknown"),
        (["-p", "motion", "--param", "sampler.stride=0"], "/params/sampler/stride"),
        (["-p", "motion", "--param", "colour=red"], "colour"),
        (["-p", "motion", "--priority", "urgent"], None),
    ],
)
def test_a_refused_order_is_told_on_one_line(desk: Desk, still: Path, arguments: list[str], told: str | None) -> None:
    code = desk.call("submit", str(still), *arguments)
    if told is None:  # this key may: it has scope operate
        assert code == 0
        return
    assert code == 2
    (line,) = desk.err.splitlines()
    assert told in line
    assert "[request " in line
    assert desk.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", "still.png"],
        ["submit", "nowhere.png", "-p", "motion"],
        ["submit", "still.png", "-p", "motion", "--param", "stride"],
        ["submit", "still.png", "-p", "motion", "--params", "{"],
        ["submit", "still.png", "-p", "motion", "--params", "[1]"],
        ["status"],
        ["status", "0190-nothing"],
        ["result", "0190-nothing"],
        ["cancel", "0190-nothing"],
        ["result", "x", "--format", "xml"],
    ],
)
def test_wrong_usage_and_unknown_jobs_exit_2_and_say_why(desk: Desk, still: Path, arguments: list[str]) -> None:
    assert desk.call(*arguments) == 2
    assert desk.err
    assert "Traceback" not in desk.err
    assert desk.out == ""


def test_results_come_in_every_format_to_stdout_or_a_file(desk: Desk, still: Path) -> None:
    assert desk.call("submit", str(still), "-p", "motion", "--json") == 0
    job_id = desk.documents()[0]["id"]
    assert desk.call("result", job_id) == 2
    assert "result.not_ready" in desk.err
    desk.api.worker().run(frame_rows(3))
    assert desk.call("result", job_id) == 0
    assert json.loads(desk.out)["summary"] == {"frames": 3}
    assert desk.call("result", job_id, "--format", "jsonl") == 0
    assert [row["index"] for row in desk.documents()] == [0, 5, 10]
    for name in ("csv", "coco", "mot"):
        assert desk.call("result", job_id, "-f", name, "-o", f"out.{name}") == 0
        assert desk.out == ""
        assert (desk.folder / f"out.{name}").stat().st_size > 10
    assert json.loads((desk.folder / "out.coco").read_text())["annotations"]


def test_jobs_are_canceled_listed_and_replayed(desk: Desk, still: Path) -> None:
    assert desk.call("submit", str(still), str(still), "-p", "motion", "--metadata", "site=b", "--json") == 0
    first, second = (document["id"] for document in desk.documents())
    assert desk.call("cancel", first, second, "nobody") == 2
    assert desk.out.count("\tcanceled\t") == 2
    assert "nobody: job.unknown" in desk.err
    assert desk.call("list", "--state", "canceled", "--metadata", "site=b", "--json", "-n", "1") == 0
    # the two were sent at once: whichever was made last has the larger id
    assert [document["id"] for document in desk.documents()] == [max(first, second)]
    assert desk.call("wait", first) == 1
    assert desk.call("result", first) == 1
    assert "result.unavailable" in desk.err
    assert desk.call("replay", first, "--param", "width=320", "--json") == 0
    (document,) = desk.documents()
    assert (document["state"], document["run"], document["params"]["width"]) == ("queued", 2, 320)
    assert desk.call("list", "--state", "nosuch") == 2


def test_pipelines_and_ping_describe_the_installation(desk: Desk) -> None:
    assert desk.call("pipelines") == 0
    assert [line.split("\t")[0] for line in desk.out.splitlines()] == ["motion", "steps"]
    desk.call("ping", "--json")
    (document,) = desk.documents()
    assert document["url"] == desk.url
    assert document["parts"]["database"] == "ok"
    assert desk.call("--api-key", "fq_wrong", "ping") == 2
    assert "key.invalid" in desk.err
    with nobody() as port:
        assert desk.call("--url", f"http://127.0.0.1:{port}", "--api-key", "x", "ping") == 2
    assert "connection.failed" in desk.err


def test_a_large_file_goes_up_in_parts_and_is_the_same_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "MULTIPART_BYTES", 6 * 1024**2)
    clip = desk.folder / "long.mp4"
    clip.write_bytes(MP4 + os.urandom(11 * 1024**2))
    with desk.client() as client:
        job = client.submit(clip, "motion")
    assert (job.state, job.filename, job.raw["input"]["size_bytes"]) == ("queued", "long.mp4", clip.stat().st_size)
    key = desk.api.services.jobs.get(job.id).input.key
    assert key is not None
    assert key.startswith("uploads/")
    with desk.api.services.objects.open(key) as stored:
        assert stored.read(100 * 1024**2) == clip.read_bytes()


def test_a_repeated_submission_under_one_key_is_one_job_and_another_file_is_refused(desk: Desk) -> None:
    with desk.client() as client:
        first = client.submit(PNG, "motion", idempotency_key="order-7")
        assert client.submit(PNG, "motion", idempotency_key="order-7").id == first.id
        with pytest.raises(ConflictError) as caught:
            client.submit(MP4, "motion", idempotency_key="order-7")
    assert caught.value.code == "idempotency.conflict"
    assert caught.value.request_id


def test_the_client_reads_rows_pages_and_erases(desk: Desk) -> None:
    with desk.client() as client:
        job = client.submit(PNG, "motion")
        assert list(job.frames()) == []
        desk.api.worker().run(frame_rows(25))
        rows = list(client.frames(job.id, page_size=10))
        assert [row.index for row in rows] == [place * 5 for place in range(25)]
        assert rows[3]["objects"][0]["label"] == "cup"
        assert [row.pts_seconds for row in client.frames(job.id, from_seconds=2, to_seconds=3)] == [2.0, 2.5]
        assert job.wait(timeout=5).result()["summary"] == {"frames": 25}
        assert job.refresh().started_at is not None
        job.delete()
        with pytest.raises(NotFoundError):
            job.refresh()


def test_ctrl_c_leaves_the_jobs_running_and_prints_their_ids(desk: Desk, still: Path) -> None:
    environment = {**os.environ, **desk.environment, "PYTHONPATH": str(REPOSITORY / "clients/python")}
    command = [sys.executable, "-c", HEARING_CTRL_C, "submit", str(still), "-p", "motion", "--wait"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            job_id = _first_job(desk)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 130
    assert job_id in err.decode()
    assert "framequeue status" in err.decode()
    assert b"Traceback" not in err
    assert out == b""
    assert desk.api.services.jobs.get(job_id).state == "queued"


def _first_job(desk: Desk) -> str:
    """The id of the job that another process submits, once that process waits for it."""
    tick = threading.Event()
    for _ in range(300):
        with desk.client() as client:
            found = list(client.list())
        if found:
            tick.wait(1.0)  # the command goes from submitting to waiting; either is a fine moment
            return found[0].id
        tick.wait(0.1)
    raise AssertionError("no job was submitted")


def test_the_command_explains_itself_without_an_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / "clients/python")}
    shown = _run("submit", "--help", environment=environment)
    assert shown.returncode == 0
    assert "--pipeline" in shown.stdout
    lost = _run("list", environment=environment)
    assert lost.returncode == 2
    assert lost.stderr.startswith("framequeue: client.no_url: ")
    assert len(lost.stderr.splitlines()) == 1


def _run(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "framequeue", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
