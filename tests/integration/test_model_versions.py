"""The life of a model version, through command line, HTTP and worker processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from storage.job import JobState
from tests.integration.cli_desk import Desk
from tests.integration.processes import Program
from tests.integration.queue_bed import make_clip, make_still, wait_until
from tests.integration.stand import Stand
from tests.model_packages import brightness_classifier, spot_detector

SECONDS = 60.0


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def worker(stand: Stand, name: str = "cache") -> Program:
    return stand.worker(model_cache=stand.folder / name, pipelines="detect,classify,motion")


def submit(desk: Desk, pipeline: str, body: bytes, name: str, **params: Any) -> dict[str, Any]:
    with desk.client() as client:
        return dict(client.submit(body, pipeline, params, filename=name).raw)


def ended(desk: Desk, job: dict[str, Any]) -> dict[str, Any]:
    with desk.client() as client:
        document = dict(client.wait(job["id"], timeout=SECONDS).raw)
    assert document["state"] == "succeeded", document["error"]
    return document


@contextmanager
def paused(desk: Desk, pipeline: str) -> Iterator[None]:
    body = {"kind": "pipeline", "name": pipeline}
    assert desk.api.post("/v1/pause", json=body).status_code == 200
    try:
        yield
    finally:
        assert desk.api.post("/v1/resume", json=body).status_code == 200


def test_a_detector_and_a_classifier_added_with_only_a_card_serve_pictures_and_videos(desk: Desk, stand: Stand) -> None:
    weights = {"spots": spot_detector(desk.folder), "brightness": brightness_classifier(desk.folder)}
    worker(stand)
    clip = make_clip(desk.folder / "clip.mp4", seconds=1.0).read_bytes()
    for name, path in weights.items():
        assert desk.call("models", "add", str(path.parent), "--weights", str(path), "--json") == 0, desk.err
        (told,) = desk.documents()
        assert (told["name"], told["state"], told["active"], told["origin"]) == (name, "checked", True, "added")
        assert told["digest"] == digest_of(path)
    found = ended(desk, submit(desk, "detect", make_still(250), "a.png", model="spots"))
    assert found["models"] == [
        {"name": "spots", "version": "1", "digest": digest_of(weights["spots"]), "licence": "unstated"}
    ]
    assert found["summary"]["labels"]["bright"]["max"] == 64
    moving = ended(desk, submit(desk, "detect", clip, "clip.mp4", model="spots"))
    assert 1 <= moving["summary"]["labels"]["bright"]["max"] < 20
    for level, label in ((250, "bright"), (5, "dark")):
        still = ended(desk, submit(desk, "classify", make_still(level), "a.png", model="brightness"))
        assert still["summary"]["label"] == label
    film = ended(desk, submit(desk, "classify", clip, "clip.mp4", model="brightness"))
    assert (film["summary"]["label"], film["summary"]["frames"]) == ("dark", 5)
    assert desk.call("models", "show", "spots", "--json") == 0
    (document,) = desk.documents()
    figures = document["versions"][0]["measured"][0]["figures"]
    assert min(figures["seconds"], figures["load_seconds"], figures["pictures_per_second"]) > 0
    assert figures["batch"] == 4


def test_jobs_keep_their_version_through_activation_and_rollback(desk: Desk, stand: Stand) -> None:
    worker(stand)
    paths = [brightness_classifier(desk.folder / v, version=v, middle=m) for v, m in (("1", 100), ("2", 200))]
    for path in paths:
        assert desk.call("models", "add", str(path.parent)) == 0, desk.err
    headers = {"Idempotency-Key": "one"}
    grey = make_still(150)  # bright for version 1, dark for version 2
    order = {"pipeline": "classify", "params": '{"model": "brightness"}', "headers": headers}
    with paused(desk, "classify"):
        old = desk.api.submitted(grey, **order)
        assert desk.call("models", "activate", "brightness", "2") == 0
        again = desk.api.submitted(grey, **order)
        new = submit(desk, "classify", grey, "b.png", model="brightness")
    assert again["id"] == old["id"]
    assert [job["models"][0]["digest"] for job in (old, new)] == [digest_of(path) for path in paths]
    done = [ended(desk, job) for job in (old, new)]
    assert [job["summary"]["label"] for job in done] == ["bright", "dark"]
    assert [job["models"][0]["digest"] for job in done] == [digest_of(path) for path in paths]
    # nothing that was claimed together ran with another's version
    claims = [{event["claim_id"] for event in stand.bed.events(job["id"], "claimed")} for job in done]
    assert not claims[0] & claims[1]
    assert desk.call("models", "rollback", "brightness", "--json") == 0
    assert desk.documents()[0]["version"] == "1"
    assert ended(desk, submit(desk, "classify", grey, "c.png", model="brightness"))["summary"]["label"] == "bright"
    # a replay with the same parameters is the same work; with others it takes what is active
    with desk.client() as client:
        client.replay(done[1]["id"])
        assert ended(desk, done[1])["summary"]["label"] == "dark"
        client.replay(done[1]["id"], {"model": "brightness", "top_k": 1})
        assert ended(desk, done[1])["summary"]["label"] == "bright"


def test_broken_weights_are_refused_and_the_version_before_serves_on(desk: Desk, stand: Stand) -> None:
    worker(stand)
    good = brightness_classifier(desk.folder / "1")
    assert desk.call("models", "add", str(good.parent)) == 0
    bad = brightness_classifier(desk.folder / "2", version="2")
    bad.write_bytes(good.read_bytes()[:100])
    assert desk.call("models", "add", str(bad.parent), "--activate") == 1
    assert "brightness cannot be loaded" in desk.err
    other = brightness_classifier(desk.folder / "3", version="3", side=8, card_side=16)
    assert desk.call("models", "add", str(other.parent)) == 1
    assert "the card says" in desk.err
    assert desk.call("models", "activate", "brightness", "3") == 2
    assert "model.inactive" in desk.err
    assert desk.call("models", "list", "--json") == 0
    states = {one["version"]: (one["state"], one["active"]) for one in desk.documents() if one["name"] == "brightness"}
    assert states == {"1": ("checked", True), "2": ("refused", False), "3": ("refused", False)}
    job = ended(desk, submit(desk, "classify", make_still(200), "a.png", model="brightness"))
    assert job["models"][0]["version"] == "1"


def test_a_worker_without_the_weights_fetches_them_and_again_when_its_copy_is_spoilt(desk: Desk, stand: Stand) -> None:
    path = brightness_classifier(desk.folder)
    with paused(desk, "classify"):
        first = worker(stand)
        assert desk.call("models", "add", str(path.parent)) == 0
        job = submit(desk, "classify", make_still(200), "a.png", model="brightness")
        first.stop()
    second = worker(stand, "another-cache")
    stand.ring()
    assert ended(desk, job)["models"][0]["digest"] == digest_of(path)
    kept = list((stand.folder / "another-cache").rglob("brightness.onnx"))
    assert [digest_of(one) for one in kept] == [digest_of(path)]
    second.stop()
    kept[0].write_bytes(b"spoilt on the disk")
    worker(stand, "another-cache")
    assert ended(desk, submit(desk, "classify", make_still(20), "b.png", model="brightness"))
    assert digest_of(kept[0]) == digest_of(path)


def test_a_child_that_dropped_a_model_from_the_gpu_ends_after_its_shift(desk: Desk, stand: Stand) -> None:
    program = stand.worker(pipelines="tests.fakes.slow_pipelines:DropsFromGpu")
    (before,) = program.pool_children()
    job_id = stand.bed.submit(make_still(), pipeline="tests.fakes.slow_pipelines:DropsFromGpu")
    stand.ring()
    job = stand.bed.wait_for(job_id, seconds=SECONDS)
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 0)
    wait_until(program.pool_children, lambda pids: len(pids) == 1 and pids != [before], seconds=SECONDS)
    assert not _alive(before)
    assert not stand.bed.events(job_id, "lost", "given_back")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
