"""Pictures of results from the worker through the store to HTTP, and everything that may end them."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from pipeline.cage import Cage
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.motion import Motion
from storage.artifacts import Artifact
from storage.fleet import Fleet
from storage.ids import new_id
from storage.job import Done, Job, JobState, SegmentPlan
from storage.objects.keys import OWNED_PREFIXES, artifact_key
from storage.retention import Keep, Retention
from storage.sql_claims import SqlClaims
from storage.upkeep import Upkeep
from storage.uploads import UploadStore
from tests.integration.api_bed import Api, packed
from tests.integration.cli_desk import Desk
from tests.integration.queue_bed import make_clip, make_still
from workers.dispatcher.deletion import Deletion
from workers.dispatcher.retention import RetentionDuty
from workers.flags import SharedFlags
from workers.heartbeat import Pulse
from workers.runner import Runner
from workers.scratch import Scratch
from workers.station import Limits, Station
from workers.watchdog import Watchdog

BOTH = '{"artifacts": ["annotated", "thumbnails"]}'


class Silent:
    """A doorbell and hints that nobody needs."""

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        """Nobody hears."""

    def heard(self, timeout_seconds: float) -> bool:
        return True

    def tell(self, job_id: str) -> None:
        """Nobody listens."""


@pytest.fixture
def runner(api: Api, tmp_path: Path) -> Iterator[Runner]:
    """A real worker on the app's database and store, for the real motion pipeline."""
    database, objects = api.services.database, api.services.objects
    worker_id, claims, fleet = new_id(), SqlClaims(database), Fleet(database)
    spec = Motion.spec
    api.services.registry.register_pipeline("motion", spec_version=spec.spec_version, lane="cpu", spec=spec.as_json())

    def enroll() -> None:
        fleet.register(
            worker_id, host="here", pid=1, lanes=["cpu"], size_classes=["short", "long"], pipelines=[], device={}
        )  # fmt: skip

    with ExitStack() as stack:
        station = Station(
            claims=claims, parts=api.services.jobs, objects=objects,
            scratch=stack.enter_context(Scratch(tmp_path / "scratch", "one", objects, max_bytes=10**8)),
            pipelines={"motion": Motion()}, cage=stack.enter_context(Cage()), shelf=open_shelf(), doorbell=Silent(),
            hints=Silent(), pulse=stack.enter_context(Pulse(worker_id, claims, enroll, interval_seconds=60.0)),
            watchdog=Watchdog(stack.enter_context(tempfile.TemporaryFile("w"))), flags=SharedFlags(),
            limits=Limits(shift_seconds=30.0, segment_seconds=0.02),
        )  # fmt: skip
        yield Runner(station)


def made_by_hand(api: Api) -> tuple[str, list[Artifact], dict[str, bytes]]:
    """A job that ended with two artifacts, put by a worker whose work is done by the test."""
    job_id = str(api.submitted()["id"])
    worker = api.worker()
    claim = worker.take()
    segment = claim.segments[0]
    worker.claims.plan(claim, segment.id, [SegmentPlan()], media={"width": 64, "height": 48})
    bodies = {"annotated.jpg": b"not really a picture", "thumbnail-01.jpg": bytes(range(200))}
    artifacts = [stored(api, job_id, segment.id, claim.id, name, data) for name, data in bodies.items()]
    worker.finish(claim, Done(segment.id, packed([]), {"frames": 0}, artifacts=artifacts))
    return job_id, artifacts, bodies


def stored(api: Api, job_id: str, segment_id: str, claim_id: str, name: str, data: bytes) -> Artifact:
    key = artifact_key(job_id, 1, segment_id, claim_id, name)
    api.services.objects.put(key, data, content_type="image/jpeg")
    return Artifact(name, key, "image/jpeg", len(data), hashlib.sha256(data).hexdigest(), "what it shows")


def there(api: Api, job_id: str) -> list[str]:
    """Names of all artifact objects of a job in the store."""
    keys = [item.key for item in api.services.objects.list(f"results/{job_id}/")]
    return [key.rpartition("/")[2] for key in keys if "/artifacts/" in key]


def row(api: Api, job_id: str) -> Job:
    return api.services.jobs.get(job_id)


def test_a_video_job_ends_with_a_film_and_thumbnails_that_http_gives(api: Api, runner: Runner, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4").read_bytes()
    job = api.submitted(clip, params=BOTH)
    assert runner.work(until_empty=True)[job["id"]] == "succeeded"
    document = api.get(f"/v1/jobs/{job['id']}").get_json()
    assert document["segments"]["total"] > 1
    assert (document["warnings"], document["params"]["artifacts"]) == ([], ["annotated", "thumbnails"])
    listed = api.get(document["urls"]["artifacts"]).get_json()
    assert [one["name"] for one in listed["artifacts"]][:2] == ["annotated.mp4", "thumbnail-01.jpg"]
    film, thumbnail = listed["artifacts"][:2]
    data = api.get(film["url"]).get_data()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (film["size_bytes"], film["sha256"])
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        times = [float(frame.time) for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    rows = api.get(f"/v1/jobs/{job['id']}/frames?limit=1000").get_json()["frames"]
    assert times == pytest.approx([one["pts_seconds"] for one in rows], abs=1e-4)
    response = api.get(thumbnail["url"])
    assert response.content_type == "image/jpeg"
    assert Image.open(io.BytesIO(response.get_data())).size[0] > 20


def test_a_still_job_ends_with_a_picture(api: Api, runner: Runner) -> None:
    job = api.submitted(make_still(), params=BOTH)
    runner.work(until_empty=True)
    listed = api.get(f"/v1/jobs/{job['id']}/artifacts").get_json()
    assert [one["name"] for one in listed["artifacts"]] == ["annotated.jpg"]
    image = np.asarray(Image.open(io.BytesIO(api.get(listed["artifacts"][0]["url"]).get_data())))
    assert image.shape == (48, 64, 3)


def test_an_artifact_is_sent_whole_or_by_range_with_safe_headers(api: Api) -> None:
    job_id, (picture, thumbnail), bodies = made_by_hand(api)
    whole = api.get(f"/v1/jobs/{job_id}/artifacts/{picture.name}")
    assert (whole.status_code, whole.get_data()) == (200, bodies[picture.name])
    headers = whole.headers
    assert headers["Content-Disposition"].startswith(f'attachment; filename="motion-{job_id}-annotated.jpg"')
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert (headers["Content-Type"], headers["Accept-Ranges"]) == ("image/jpeg", "bytes")
    url = f"/v1/jobs/{job_id}/artifacts/{thumbnail.name}"
    part = api.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.get_data()) == (206, bodies[thumbnail.name][10:20])
    assert part.headers["Content-Range"] == "bytes 10-19/200"
    beyond = api.get(url, headers={"Range": "bytes=500-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */200")
    again = api.get(url, headers={"If-None-Match": part.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")


def test_a_job_that_runs_has_no_artifacts_yet_and_no_job_has_unknown_ones(api: Api) -> None:
    job = api.submitted()
    listed = api.get(f"/v1/jobs/{job['id']}/artifacts").get_json()
    assert (listed["state"], listed["artifacts"]) == ("queued", [])
    for name in ("annotated.jpg", "..%2f..%2fsource", "x" * 300):
        response = api.get(f"/v1/jobs/{job['id']}/artifacts/{name}")
        assert response.status_code == 404
        assert response.get_json()["code"] in {"artifact.unknown", "route.unknown"}


def test_another_tenants_artifacts_are_404(api: Api) -> None:
    job_id, (picture, _), _ = made_by_hand(api)
    stranger = api.as_caller("other")
    for path in (f"/v1/jobs/{job_id}/artifacts", f"/v1/jobs/{job_id}/artifacts/{picture.name}"):
        response = stranger.get(path)
        assert (response.status_code, response.get_json()["code"]) == (404, "job.unknown")


def test_artifacts_of_a_claim_that_was_replaced_are_refused_and_swept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = str(api.submitted()["id"])
    stale_worker, worker = api.worker(), api.worker()
    stale = stale_worker.take()
    segment = stale.segments[0]
    stale_worker.claims.plan(stale, segment.id, [SegmentPlan()], media={})
    late = stored(api, job_id, segment.id, stale.id, "annotated.jpg", b"late")
    Fleet(api.services.database).lose_child(stale_worker.id, reason="killed")
    taken = worker.take()
    good = stored(api, job_id, segment.id, taken.id, "annotated.jpg", b"good")
    outcome = Done(segment.id, packed([]), {"frames": 0}, artifacts=[late])
    assert not any(stale_worker.claims.finish(stale, [outcome]).values())
    worker.finish(taken, Done(segment.id, packed([]), {"frames": 0}, artifacts=[good]))
    assert not any(stale_worker.claims.finish(stale, [outcome]).values())
    assert api.get(f"/v1/jobs/{job_id}/artifacts/annotated.jpg").get_data() == b"good"
    ended(api, job_id, hours=40)
    sweep(api, monkeypatch)
    assert [item.key for item in api.services.objects.list(f"results/{job_id}/")] == [good.key]


def test_replay_names_the_new_runs_artifacts_alone_and_the_old_ones_are_swept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, _, _ = made_by_hand(api)
    assert api.post(f"/v1/jobs/{job_id}/replay").status_code == 202
    assert api.get(f"/v1/jobs/{job_id}/artifacts").get_json()["artifacts"] == []
    api.worker().run([])
    assert row(api, job_id).artifacts == []
    ended(api, job_id, hours=40)
    sweep(api, monkeypatch)
    assert there(api, job_id) == []


def test_the_sweeper_keeps_what_a_job_names(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, artifacts, _ = made_by_hand(api)
    ended(api, job_id, hours=40)
    sweep(api, monkeypatch)
    assert there(api, job_id) == [one.name for one in artifacts]


def test_retention_takes_artifacts_with_the_results_and_says_so(api: Api) -> None:
    job_id, _, _ = made_by_hand(api)
    ended(api, job_id, hours=49)
    RetentionDuty(Retention(api.services.database, Keep(results=86400.0)), api.services.objects).run_pass()
    assert (row(api, job_id).artifacts, there(api, job_id)) == ([], [])
    for path in ("artifacts", "artifacts/annotated.jpg"):
        response = api.get(f"/v1/jobs/{job_id}/{path}")
        assert (response.status_code, response.get_json()["code"]) == (410, "result.gone")


def test_an_erased_jobs_artifacts_are_gone_at_once(api: Api) -> None:
    job_id, _, _ = made_by_hand(api)
    assert there(api, job_id)
    assert api.call("DELETE", f"/v1/jobs/{job_id}").status_code in {200, 204}
    assert there(api, job_id) == []
    assert api.get(f"/v1/jobs/{job_id}/artifacts").status_code == 404


def test_erasing_tells_the_keys_of_every_artifact(api: Api) -> None:
    job_id, artifacts, _ = made_by_hand(api)
    assert {one.key for one in artifacts} <= set(api.services.jobs.erase(job_id))


def test_a_canceled_job_names_no_artifact(api: Api) -> None:
    job_id = str(api.submitted()["id"])
    assert api.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    assert (row(api, job_id).state, row(api, job_id).artifacts) == (JobState.CANCELED, [])


def ended(api: Api, job_id: str, *, hours: float) -> None:
    """Let a job have ended so long ago."""
    with api.services.database.transaction() as connection:
        connection.execute(
            text("UPDATE jobs SET finished_at = clock_timestamp() - :by WHERE id = CAST(:id AS uuid)"),
            {"by": timedelta(hours=hours), "id": job_id},
        )


def sweep(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweeper's whole walk, everything counting as old enough."""
    monkeypatch.setattr("workers.dispatcher.deletion.LITTER_AGE", timedelta(seconds=-60))
    database = api.services.database
    deletion = Deletion(UploadStore(database), Upkeep(database), api.services.objects)
    for _ in OWNED_PREFIXES:
        deletion.run_pass()


def test_the_command_lists_pictures_and_writes_them_into_a_folder(desk: Desk) -> None:
    job_id, _, bodies = made_by_hand(desk.api)
    assert desk.call("artifacts", job_id) == 0
    assert [line.split("\t")[0] for line in desk.out.splitlines()] == list(bodies)
    assert desk.call("artifacts", job_id, "--out", "pictures", "--json") == 0
    assert [Path(document["path"]).read_bytes() for document in desk.documents()] == list(bodies.values())
    with desk.client() as client:
        saved = client.get(job_id).save_artifacts(desk.folder / "again")
    assert [path.name for path in saved] == list(bodies)


def test_the_command_says_so_where_a_job_has_no_pictures(desk: Desk) -> None:
    desk.api.submitted()
    job_id = desk.api.worker().run([])
    assert desk.call("artifacts", job_id) == 0
    assert (desk.out, desk.err.strip()) == ("", "no artifacts")
