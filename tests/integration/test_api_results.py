"""Rows, results in several formats, and events."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from storage.job import Done, Failed, Fault, Retry
from tests.integration.api_bed import PNG, Api, frame_rows


def finished(api: Api, rows: list[dict[str, Any]]) -> str:
    job = api.submitted()
    api.worker().run(rows, summary={"frames": len(rows)})
    return str(job["id"])


def frames(api: Api, job_id: str, **query: Any) -> dict[str, Any]:
    response = api.get(f"/v1/jobs/{job_id}/frames", query_string=query)
    assert response.status_code == 200, response.get_data(as_text=True)
    return dict(response.get_json())


def test_frames_are_the_rows_as_the_worker_wrote_them(api: Api) -> None:
    job_id = finished(api, frame_rows(3))
    page = frames(api, job_id)
    assert page.pop("frames") == frame_rows(3)
    assert page == {"job_id": job_id, "run": 1, "state": "succeeded", "complete": True, "next_cursor": None}


def test_frames_are_paged_by_cursor_and_cut_by_time(api: Api) -> None:
    job_id = finished(api, frame_rows(5))
    seen, query = [], {"limit": 2}
    while True:
        page = frames(api, job_id, **query)
        seen += page["frames"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == frame_rows(5)
    assert [row["pts_seconds"] for row in frames(api, job_id, **{"from": 0.5, "to": 1.5})["frames"]] == [0.5, 1.0]


@pytest.mark.parametrize("cursor", ["!", "bm9uc2Vuc2U", "Mi4wLjA"])  # garbage, other text, a place in run 2
def test_a_cursor_that_is_none_of_ours_is_400(api: Api, cursor: str) -> None:
    job_id = finished(api, [])
    assert api.get(f"/v1/jobs/{job_id}/frames?cursor={cursor}").get_json()["code"] == "cursor.invalid"


def test_while_a_job_runs_its_rows_end_at_the_first_gap_and_the_cursor_goes_on_behind_it(api: Api) -> None:
    api.submitted()
    worker = api.worker()
    job_id = worker.cut(3)
    first, second, third = worker.take(), worker.take(), worker.take()
    worker.finish(first, Done(first.segments[0].id, rows=worker.stored(first, frame_rows(2))))
    worker.finish(third, Done(third.segments[0].id, rows=worker.stored(third, frame_rows(2, first=4))))
    page = frames(api, job_id)
    assert (page["frames"], page["complete"], page["state"]) == (frame_rows(2), False, "running")
    waiting = frames(api, job_id, cursor=page["next_cursor"])
    assert (waiting["frames"], waiting["next_cursor"]) == ([], page["next_cursor"])
    worker.finish(second, Done(second.segments[0].id, rows=worker.stored(second, frame_rows(2, first=2))))
    assert frames(api, job_id, cursor=page["next_cursor"])["frames"] == frame_rows(4, first=2)


def test_rows_of_a_dead_job_are_those_of_its_done_segments(api: Api) -> None:
    api.submitted()
    worker = api.worker()
    job_id = worker.cut(2)
    first, second = worker.take(), worker.take()
    worker.finish(second, Done(second.segments[0].id, rows=worker.stored(second, frame_rows(2, first=2))))
    fault = Fault("model.failed", "it broke", stack="Traceback: secret", worker="host-1")
    for attempt in range(3):
        worker.finish(first, Retry(first.segments[0].id, fault, delay_seconds=0, charged=True))
        if attempt < 2:
            first = worker.take()
    page = frames(api, job_id)
    assert (page["frames"], page["complete"], page["next_cursor"]) == (frame_rows(2, first=2), False, None)
    job = api.get(f"/v1/jobs/{job_id}").get_json()
    assert (job["state"], job["error"]["code"]) == ("dead", "model.failed")
    assert "stack" not in job["error"]
    assert "worker" not in job["error"]
    assert api.get(f"/v1/jobs/{job_id}/result").get_json()["code"] == "result.unavailable"


def test_a_partial_result_names_what_it_lacks_and_is_read_around_the_gap(api: Api) -> None:
    submitted = api.submitted(allow_partial="true")
    assert (submitted["allow_partial"], submitted["missing_ranges"]) == (True, [])
    worker = api.worker()
    job_id = worker.cut(3)
    first, second, third = worker.take(), worker.take(), worker.take()
    worker.finish(first, Failed(first.segments[0].id, Fault("media.undecodable", "broken", advice="re-encode it")))
    worker.finish(second, Done(second.segments[0].id, rows=worker.stored(second, frame_rows(2, first=2))))
    page = frames(api, job_id)
    assert (page["frames"], page["complete"], page["state"]) == (frame_rows(2, first=2), False, "running")
    worker.finish(third, Done(third.segments[0].id, rows=worker.stored(third, frame_rows(2, first=4))))
    merge = worker.take()
    worker.finish(merge, Done(merge.segments[0].id, summary={"frames": 4}))
    job = api.get(f"/v1/jobs/{job_id}").get_json()
    assert (job["state"], job["summary"], job["error"]) == ("succeeded", {"frames": 4}, None)
    assert [(gap["segment"], gap["code"]) for gap in job["missing_ranges"]] == [(0, "media.undecodable")]
    assert job["warnings"][0]["code"] == "result.partial"
    assert "1 of 3 parts" in job["warnings"][0]["message"]
    page = frames(api, job_id)
    assert (page["frames"], page["complete"], page["next_cursor"]) == (frame_rows(4, first=2), False, None)
    assert api.get(f"/v1/jobs/{job_id}/result").get_json()["missing_ranges"] == job["missing_ranges"]


def test_a_result_before_the_end_is_409(api: Api) -> None:
    job = api.submitted()
    response = api.get(f"/v1/jobs/{job['id']}/result")
    assert (response.status_code, response.get_json()["code"]) == (409, "result.not_ready")


def test_an_unknown_format_is_400_and_lists_what_there_is(api: Api) -> None:
    with_objects, without = finished(api, frame_rows(1)), finished(api, [{"index": 0, "pts": 0, "pts_seconds": 0.0}])
    unknown = api.get(f"/v1/jobs/{with_objects}/result?format=xml")
    assert (unknown.status_code, unknown.get_json()["code"]) == (400, "format.unknown")
    assert unknown.get_json()["formats"] == ["json", "jsonl", "csv", "coco", "mot"]
    unfit = api.get(f"/v1/jobs/{without}/result?format=coco")
    assert (unfit.status_code, unfit.get_json()["formats"]) == (400, ["json", "jsonl", "csv"])


def test_each_format_holds_every_row(api: Api) -> None:
    job_id = finished(api, frame_rows(3))

    def result(name: str) -> str:
        response = api.get(f"/v1/jobs/{job_id}/result?format={name}")
        assert response.status_code == 200
        assert response.headers["Content-Disposition"].startswith("attachment")
        return response.get_data(as_text=True)

    whole = json.loads(result("json"))
    assert (whole["frames"], whole["summary"], whole["state"]) == (frame_rows(3), {"frames": 3}, "succeeded")
    assert [json.loads(line) for line in result("jsonl").splitlines()] == frame_rows(3)
    lines = list(csv.DictReader(io.StringIO(result("csv"))))
    assert [(line["index"], line["label"], line["width"]) for line in lines] == [
        ("0", "cup", "30"), ("5", "cup", "30"), ("10", "cup", "30"),
    ]  # fmt: skip
    coco = json.loads(result("coco"))
    assert [image["id"] for image in coco["images"]] == [0, 5, 10]
    assert {one["image_id"] for one in coco["annotations"]} == {0, 5, 10}
    assert coco["annotations"][0]["bbox"] == [1, 2, 30, 40]
    assert coco["categories"] == [{"id": 1, "name": "cup"}]
    assert result("mot").splitlines()[1] == "6,-1,1,2,30,40,0.9,-1,-1,-1"


def test_rows_that_are_gone_from_the_store_are_a_problem_not_a_broken_answer(api: Api) -> None:
    api.submitted()
    worker = api.worker()
    job_id = worker.cut(2)
    claim = worker.take()
    rows = worker.stored(claim, frame_rows(1))
    worker.finish(claim, Done(claim.segments[0].id, rows=rows))
    assert rows.key is not None
    api.services.objects.delete([rows.key])
    response = api.get(f"/v1/jobs/{job_id}/frames")
    assert (response.status_code, response.get_json()["code"]) == (404, "object.unknown")


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_events_of_an_ended_job_are_its_end(api: Api) -> None:
    job_id = finished(api, frame_rows(1))
    response = api.get(f"/v1/jobs/{job_id}/events")
    assert response.content_type == "text/event-stream"
    ((kind, job),) = events_of(response.get_data(as_text=True))
    assert (kind, job["id"], job["state"]) == ("end", job_id, "succeeded")


def test_events_tell_states_progress_and_the_end(api: Api) -> None:
    job = api.submitted()
    worker = api.worker()
    stream = api.get(f"/v1/jobs/{job['id']}/events", buffered=False)
    seen: list[str] = []
    for piece in stream.response:
        text = piece.decode() if isinstance(piece, bytes) else piece
        for kind, document in events_of(text):
            seen.append(f"{kind}:{document['state']}")
        if seen == ["state:queued"] and ": still" not in text:
            worker.run(frame_rows(1))
            api.services.hints.tell(job["id"])
    assert seen[0] == "state:queued"
    assert seen[-1] == "end:succeeded"


def test_the_seat_of_a_stream_is_free_again_when_the_client_goes_away(api: Api) -> None:
    job = api.submitted()
    room = api.services.waiting
    for _ in range(20):  # more than there are seats
        response = api.get(f"/v1/jobs/{job['id']}/events", buffered=False)
        assert response.status_code == 200
        response.close()
    assert room.sit() is not None


def test_without_a_free_seat_a_stream_is_refused_and_a_long_poll_answers_at_once(api: Api) -> None:
    job = api.submitted(PNG)
    room = api.services.waiting
    taken = list(iter(room.sit, None))
    assert len(taken) == api.services.settings.web_threads // 2
    busy = api.get(f"/v1/jobs/{job['id']}/events")
    assert (busy.status_code, busy.get_json()["code"]) == (503, "streams.busy")
    assert "Retry-After" in busy.headers
    at_once = api.get(f"/v1/jobs/{job['id']}?wait=30")
    assert (at_once.status_code, "Retry-After" in at_once.headers) == (200, True)
