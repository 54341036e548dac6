"""The pipeline and the estimator, with the trained weights of the package."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.drawing import draw
from pipeline.errors import MediaError, ParamsError
from pipeline.frame import Frame
from pipeline.models.exporting import export
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.pose import POSE_FIELDS, PoseOfObject, camera_of
from pipeline.pose.backdrop import random_backdrop
from pipeline.pose.camera import Camera
from pipeline.pose.estimator import PoseEstimator
from pipeline.pose.finder import MIN_CONFIDENCE, object_of
from pipeline.pose.pose import Pose, pose_error
from pipeline.pose.rotation import rot6d_to_matrix
from pipeline.pose.scene import render_scene
from pipeline.spec import ParamsInvalid, canonical_params
from tests.fakes.fake_cage import FakeMedia

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def shelf():
    shelf = open_shelf(device="cpu", threads=1)
    yield shelf
    shelf.close()


def params(**given):
    return canonical_params(PoseOfObject.spec.params_schema, given)


def summary_of(shelf, image, *, scale=1.0, **given):
    pipeline, filled = PoseOfObject(), params(**given)
    pipeline.check(filled, shelf)
    frame = Frame(image, 0, 0, 0.0, scale=scale)
    (inferred,) = pipeline.infer([frame], filled, shelf)
    row = pipeline.observe(None, frame, inferred, filled)
    return row, pipeline.summarize(iter([row]), FakeMedia(kind="image").info(), filled)


def error_of(told, truth, box):
    found = Pose(np.array(told["rotation_matrix"]), np.array(told["translation"]))
    return pose_error(found, truth, box.surface_points())


@pytest.fixture(scope="module")
def scene(box, camera):
    return render_scene(np.random.default_rng([5, 5]), box, camera, (640, 480))


INTRINSICS = {"fx": 600.0, "cx": 320.0, "cy": 240.0}


def test_the_box_is_found_in_a_scene_and_the_summary_tells_where(shelf, scene, box, camera):
    row, told = summary_of(shelf, scene.picture, **INTRINSICS)
    assert json.loads(json.dumps(told)) == told
    assert set(told) == set(PoseOfObject.spec.summary_fields)
    assert told["found"]
    assert told["confidence"] >= MIN_CONFIDENCE
    error = error_of(told, scene.pose, box)
    assert error.rotation_degrees < 5
    assert error.translation_share < 0.02
    assert np.allclose(rot6d_to_matrix(told["rotation_6d"]), told["rotation_matrix"], atol=1e-5)
    assert np.allclose(told["corners"], camera.project(scene.pose.apply(box.vertices)), atol=8)
    assert told["camera"] == {"fx": 600.0, "fy": 600.0, "cx": 320.0, "cy": 240.0, "from": "params"}
    assert row["found"] is True


def test_a_shrunk_frame_gives_the_pose_and_the_pixels_of_its_source(shelf, box):
    large = Camera(1200, 1200, 640, 480)
    scene = render_scene(np.random.default_rng([5, 6]), box, large, (1280, 960))
    frame = cv2.resize(scene.picture, (640, 480), interpolation=cv2.INTER_AREA)
    _, told = summary_of(shelf, frame, scale=0.5, fx=1200.0, cx=640.0, cy=480.0)
    error = error_of(told, scene.pose, box)
    assert error.rotation_degrees < 5
    assert error.translation_share < 0.02
    assert np.allclose(told["corners"], large.project(scene.pose.apply(box.vertices)), atol=16)


def test_a_small_slice_of_the_held_out_renders_reaches_the_bars(shelf, box, camera):
    errors = []
    for number in range(8):
        scene = render_scene(np.random.default_rng([2026, number]), box, camera, (640, 480))
        _, told = summary_of(shelf, scene.picture, min_confidence=0.0, **INTRINSICS)
        errors.append(error_of(told, scene.pose, box))
    assert np.median([error.rotation_degrees for error in errors]) < 2
    assert np.median([error.translation_share for error in errors]) < 0.01
    assert np.mean([error.add < 0.1 * box.diameter for error in errors]) >= 0.75


def test_the_shared_pictures_of_the_box_are_solved(shelf, box, pictures, truth):
    for name in ("box_00.jpg", "box_05.jpg"):
        image = np.ascontiguousarray(cv2.imread(str(pictures / name))[..., ::-1])
        _, told = summary_of(shelf, image, **INTRINSICS)
        error = error_of(told, Pose(np.array(truth["images"][name]["R"]), np.array(truth["images"][name]["t"])), box)
        assert error.rotation_degrees < 5
        assert error.add < 0.1 * box.diameter


@pytest.mark.parametrize("number", range(3))
def test_a_picture_without_the_box_has_no_pose(shelf, number):
    picture = random_backdrop(np.random.default_rng([9, number]), 640, 480)
    row, told = summary_of(shelf, picture)
    assert not told["found"]
    assert told["confidence"] < MIN_CONFIDENCE
    assert all(told[name] is None for name in POSE_FIELDS)
    assert told["camera"]["from"] == "assumed"
    assert PoseOfObject().marks(row, params()) == []


def test_marks_are_the_edges_of_the_box_and_its_axes(shelf, scene):
    row, told = summary_of(shelf, scene.picture, **INTRINSICS)
    marks = PoseOfObject().marks(row, params())
    assert [mark.group for mark in marks].count("object") == 12
    assert [mark.text for mark in marks if mark.text] == ["x", "y", "z"]
    corners = {tuple(corner) for corner in told["corners"]}
    assert {point for mark in marks if mark.group == "object" for point in mark.points} == corners
    drawn = draw(scene.picture, marks, (1.0, 1.0))
    assert not np.array_equal(drawn, scene.picture)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "assumed"),
        ({"fov_degrees": 90.0}, "fov_degrees"),
        ({"fx": 700.0, "fy": 710.0, "cx": 300.0, "cy": 200.0}, "params"),
    ],
)
def test_where_intrinsics_are_from_is_told(given, expected):
    camera, origin = camera_of(params(**given), 640, 480)
    assert origin == expected
    if expected == "fov_degrees":
        assert camera.fx == pytest.approx(320)
    if expected == "params":
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (700, 710, 300, 200)


@pytest.mark.parametrize("given", [{"cx": 1.0}, {"fy": 500.0}, {"fx": 500.0, "fov_degrees": 60.0}])
def test_intrinsics_that_contradict_are_refused(shelf, given):
    with pytest.raises(ParamsError) as caught:
        PoseOfObject().check(params(**given), shelf)
    assert caught.value.code == "params.invalid"


def test_a_detector_is_refused(shelf):
    with pytest.raises(ParamsError, match="detect model"):
        PoseOfObject().check(params(model="yunet"), shelf)


def test_weights_that_hold_no_object_are_refused():
    class Bare:
        constants = {}

    with pytest.raises(ParamsError, match=r"object\.size") as caught:
        object_of(Bare())
    assert caught.value.code == "model.object_invalid"


def test_a_model_that_holds_its_object_is_not_exported_without_it(shelf, tmp_path):
    for to in ("onnx", "torchscript", "int8"):
        with pytest.raises(ParamsError, match=r"object\.size") as caught:
            export(shelf, "pose-box", to, tmp_path / to)
        assert caught.value.code == "model.not_exportable"
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_sample_in_a_still():
    assert "sampler" not in params()
    with pytest.raises(ParamsInvalid):
        params(sampler={"policy": "fps"})


def test_the_estimator_takes_files_and_arrays(shelf, tmp_path, scene, box, camera):
    estimator = PoseEstimator(shelf=shelf)
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), scene.picture[..., ::-1])
    one, two = estimator.predict(path, camera), estimator.predict(scene.picture, camera)
    assert np.array_equal(one.rotation_matrix, two.rotation_matrix)
    assert pose_error(one, scene.pose, box.surface_points()).add < 0.1 * box.diameter


def test_the_estimator_reads_the_focal_length_from_exif(shelf, tmp_path, scene):
    from PIL import Image

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 27  # 27 mm of 36: 480 pixels of 640
    path = tmp_path / "scene.jpg"
    Image.fromarray(scene.picture).save(path, exif=exif, quality=95)
    estimator = PoseEstimator(shelf=shelf)
    told = estimator.predict(path)
    given = estimator.predict(path, Camera(480, 480, 319.5, 239.5))
    assert np.array_equal(told.translation, given.translation)
    assert told.distance < scene.pose.distance * 0.9


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_that_is_no_picture_is_refused(shelf, image):
    with pytest.raises(MediaError, match="uint8"):
        PoseEstimator(shelf=shelf).predict(image)


def test_a_file_that_is_no_picture_is_refused(shelf, tmp_path):
    path = tmp_path / "no.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"no\.jpg"):
        PoseEstimator(shelf=shelf).predict(path)


def test_the_example_shows_the_box(shelf, box):
    pose = PoseEstimator(shelf=shelf).predict(ROOT / "examples" / "pose.jpg")
    assert pose.confidence >= MIN_CONFIDENCE
    assert box.diameter * 2.5 < pose.distance < box.diameter * 8.5
