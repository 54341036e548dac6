"""Submitting, looking at, listing, cancelling, replaying and erasing jobs over HTTP."""

from __future__ import annotations

from tests.integration.api_bed import MP4, PNG, Api


def test_a_submitted_file_is_answered_202_with_the_job_and_lies_in_the_store(api: Api) -> None:
    response = api.submit(PNG, params='{"sampler": {"stride": 2}}', metadata='{"camera": "7"}')
    job = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == job["urls"]["self"] == f"http://localhost/v1/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert job["terminal"] is False
    assert job["params"] == {"width": 640, "sampler": {"policy": "stride", "stride": 2}}
    assert job["metadata"] == {"camera": "7"}
    assert job["input"]["size_bytes"] == len(PNG)
    assert job["waiting_for"] == "worker"
    assert int(response.headers["Retry-After"]) >= 1
    with api.services.objects.open(f"inputs/{job['id']}/source") as body:
        assert body.read(10_000) == PNG


def test_a_video_goes_to_the_long_queue_and_a_still_to_the_short_one(api: Api) -> None:
    still, video = api.submitted(PNG), api.submitted(MP4, name="a.mp4")
    assert api.services.jobs.get(still["id"]).size_class == "short"
    assert api.services.jobs.get(video["id"]).size_class == "long"
