"""The whole path on real parts: a file in over HTTP, a result out."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from bench.embedded import EmbeddedStack
from deploy.local.demo import SAMPLE
from tests.e2e.embedded import finished, frames_of, submit, submitted


def test_the_sample_clip_gives_what_was_drawn_into_it(client: httpx2.Client) -> None:
    job = finished(client, submitted(client, SAMPLE))
    assert job["state"] == "succeeded"
    summary = job["summary"]
    assert summary["duration_seconds"] == pytest.approx(10.0, abs=0.1)
    assert any(cut == pytest.approx(3.6, abs=0.21) for cut in summary["scene_cuts"])
    [black] = summary["black"]
    assert black["from_seconds"] == pytest.approx(6.4, abs=0.21)
    assert black["to_seconds"] == pytest.approx(7.8, abs=0.21)
    assert any(still["to_seconds"] > 9.5 for still in summary["still"])
    assert 4.0 < summary["moving"]["seconds_with_motion"] < 7.0


def test_every_fifth_frame_of_the_sample_is_reported_with_its_own_time(client: httpx2.Client) -> None:
    job = finished(client, submitted(client, SAMPLE))
    rows = frames_of(client, job["id"])
    assert [row["index"] for row in rows] == list(range(0, 250, 5))
    assert [row["pts_seconds"] for row in rows] == pytest.approx([index / 25 for index in range(0, 250, 5)])
    assert len(rows) == job["frames"]


def test_the_answer_to_a_submission_says_where_to_look(client: httpx2.Client) -> None:
    answer = submit(client, SAMPLE)
    assert answer.status_code == 202
    assert answer.headers["Location"].endswith(f"/v1/jobs/{answer.json()['id']}")
    assert answer.json()["terminal"] is False


def test_a_photo_of_a_face_gives_one_face(client: httpx2.Client, shared: Path) -> None:
    photo = shared / "data/images/faces/astronaut.png"
    job = finished(client, submitted(client, photo, "detect", params='{"model": "yunet"}'))
    assert job["state"] == "succeeded", job["error"]
    [row] = frames_of(client, job["id"])
    assert len(row["objects"]) == 1


def test_a_video_through_a_detector_names_the_model_it_ran_with(client: httpx2.Client, shared: Path) -> None:
    clip = shared / "data/videos/coffee_pour.mp4"
    job = finished(client, submitted(client, clip, "detect", params='{"model": "fastestdet"}'), 120)
    assert job["state"] == "succeeded", job["error"]
    assert job["models"][0]["name"] == "fastestdet"


def test_the_same_request_sent_twice_with_one_key_is_one_job(client: httpx2.Client) -> None:
    client.headers["Idempotency-Key"] = "once"
    assert submitted(client, SAMPLE) == submitted(client, SAMPLE)


def test_status_and_doctor_find_nothing_wrong_with_a_running_stack(stack: EmbeddedStack) -> None:
    told = stack.command("status").stdout
    for part in ("postgres", "redis", "web", "worker", "dispatcher", "flower"):
        assert f"{part:<13}up" in told
    assert "  bad" not in stack.command("doctor").stdout


def test_flower_asks_for_the_password(stack: EmbeddedStack) -> None:
    state = stack.state
    assert httpx2.get(state.flower_url, trust_env=False).status_code == 401
    auth = (state.flower_user, state.flower_password)
    assert (
        httpx2.get(f"{state.flower_url}/workers", auth=auth, trust_env=False, follow_redirects=True).status_code == 200
    )


def test_the_secrets_of_the_stack_are_for_its_owner_alone(stack: EmbeddedStack) -> None:
    for name in ("state.json", "secrets.json", "redis/redis.conf"):
        assert (stack.home.root / name).stat().st_mode & 0o077 == 0
