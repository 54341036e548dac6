"""Deepfake with the published weights, through ``python -m pipeline``, on real and on our own pictures and clips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.deepfake import Deepfake
from storage.job import JobState
from tests.integration.queue_bed import rows_of
from tests.model_packages import brightness_classifier
from workers.runner import Runner

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RARELY = {"sampler": {"policy": "fps", "fps": 1}}


@pytest.fixture
def told(shared, tmp_path, monkeypatch, capsys):
    """Run the command on a file and return its rows and what its last line says."""
    monkeypatch.setenv("FQ_MODEL_MIRROR", str(shared / "models"))
    monkeypatch.setenv("FQ_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FQ_MODEL_THREADS", "1")
    monkeypatch.setenv("FQ_DEVICE", "cpu")

    def run(path, *, arguments=(), **params):
        given = ["--pipeline", "deepfake", "--params", json.dumps(params), "--json", *arguments]
        assert main([str(path), *given]) == 0
        *rows, last = map(json.loads, capsys.readouterr().out.splitlines())
        return rows, last

    return run


@pytest.mark.parametrize(("name", "label"), [("fake_df00204.jpg", "fake"), ("real_real00240.jpg", "real")])
@pytest.mark.parametrize("given", [{}, {"detector": None}], ids=["found", "taken as a crop"])
def test_the_labelled_crops_are_judged_right(told, shared, name, label, given):
    _, last = told(shared / "data/images/faces/deepfake" / name, **given)
    assert (last["summary"]["label"], last["summary"]["faces_found"]) == (label, 1)


def test_two_people_are_two_faces_each_where_it_is(told, shared):
    (row,), last = told(shared / "data/images/faces/two_people.jpg")
    left, right = sorted(face["box"][0] + face["box"][2] / 2 for face in row["faces"])
    assert 250 < left < 380
    assert 800 < right < 930  # source pixels, of 1126
    assert last["summary"]["faces_found"] == 2
    assert [model["name"] for model in last["models"]] == ["yunet", "mesonet"]
    assert all(len(model["digest"]) == 64 for model in last["models"])


@pytest.mark.parametrize("name", ["images/scenes/cat.png", "videos/coffee_pour.mp4"])
def test_what_shows_no_face_says_so(told, shared, name):
    _, last = told(shared / "data" / name, **RARELY)
    summary = last["summary"]
    assert (summary["label"], summary["score"], summary["faces"], summary["worst"]) == ("no_face", None, [], [])
    assert all(point["score"] is None for point in summary["curve"]["points"])


def test_a_clip_with_faces_gives_a_curve_and_follows_each(told, shared):
    rows, last = told(shared / "data/videos/faces_head_pose_pair.gif")
    summary = last["summary"]
    assert summary["faces_found"] == 2
    assert [one["frames"] for one in summary["faces"]] == [len(rows)] * 2
    assert [point["seconds"] for point in summary["curve"]["points"]] == [0, 1, 2, 3, 4]
    assert {point["faces"] for point in summary["curve"]["points"]} == {2}
    assert all(0 <= point["score"] <= point["peak"] <= 1 for point in summary["curve"]["points"])


def test_our_own_face_is_found_and_followed(told):
    _, still = told(EXAMPLES / "face.jpg")
    assert still["summary"]["faces_found"] == 1
    rows, clip = told(EXAMPLES / "face.mp4", sampler={"policy": "fps", "fps": 5})
    summary = clip["summary"]
    assert [len(row["faces"]) for row in rows] == [0] * 5 + [1] * 10
    assert (summary["faces_found"], summary["seconds_with_faces"]) == (1, 2.0)
    assert [point["score"] is None for point in summary["curve"]["points"]] == [True, False, False]
    assert {round(one["seconds"]) for one in summary["worst"]} <= {1, 2, 3}


def test_a_classifier_that_came_with_only_a_card_takes_mesonets_place(told, monkeypatch, tmp_path):
    brightness_classifier(tmp_path / "mine")
    monkeypatch.setenv("FQ_MODEL_DIR", str(tmp_path / "mine"))
    (row,), last = told(EXAMPLES / "face.jpg", classifier="brightness", fake_label="bright")
    assert last["summary"]["label"] == "real"  # "not bright": the crop's mean level is below 128
    assert 0 < row["faces"][0]["score"] < 0.4
    assert [model["name"] for model in last["models"]] == ["yunet", "brightness"]


def test_rows_and_summary_do_not_depend_on_where_a_clip_is_cut(told):
    whole = told(EXAMPLES / "face.mp4")
    cut = told(EXAMPLES / "face.mp4", arguments=["--segment-seconds", "0.05"])
    assert whole[0] == cut[0]
    assert whole[1]["summary"] == cut[1]["summary"]


def test_a_worker_judges_a_clip_as_the_command_does(bed, station, shared, told, capsys, tmp_path):
    shelf = open_shelf(cache_dir=tmp_path / "cache", mirror=str(shared / "models"), device="cpu", threads=1)
    worker = replace(station, pipelines={"deepfake": Deepfake()}, shelf=shelf)
    job_id = bed.submit(EXAMPLES / "face.mp4", pipeline="deepfake", params={"width": 320})
    Runner(worker).work("cpu", "short")
    job = bed.jobs.get(job_id)
    assert job.state is JobState.SUCCEEDED
    capsys.readouterr()  # its log
    rows, last = told(EXAMPLES / "face.mp4", width=320)
    assert rows_of(bed, job_id) == rows
    assert job.summary == last["summary"]
    shelf.close()
