"""Rotations, cameras and errors of poses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pose.box import load_box
from pipeline.pose.camera import Camera
from pipeline.pose.pose import Pose, pose_error
from pipeline.pose.rotation import matrix_to_rot6d, random_rotation, rot6d_to_matrix, rotation_error_degrees

SEEDS = st.integers(0, 2**32)


def turn_about(axis, degrees):
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_any_six_numbers_that_span_a_plane_give_a_rotation(seed):
    values = np.random.default_rng(seed).normal(size=(4, 6)) * 10
    for matrix in rot6d_to_matrix(values):
        assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(matrix) == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_rotation_survives_its_6d_form_whatever_the_lengths_of_the_columns(seed, one, two):
    matrix = random_rotation(np.random.default_rng(seed))
    scaled = matrix_to_rot6d(matrix) * [one, one, one, two, two, two]
    assert np.allclose(rot6d_to_matrix(scaled), matrix, atol=1e-9)


@pytest.mark.parametrize("values", [[0] * 6, [1, 2, 3, 2, 4, 6], [1, 0, 0, 0, 1], [np.nan, 0, 0, 0, 1, 0]])
def test_six_numbers_that_are_no_rotation_are_refused(values):
    with pytest.raises(ValueError, match="6D rotation"):
        rot6d_to_matrix(values)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(0, 180))
def test_the_error_of_a_rotation_is_the_angle_it_was_turned_by(seed, degrees):
    random = np.random.default_rng(seed)
    start = random_rotation(random)
    turned = start @ turn_about(random.normal(size=3), degrees)
    assert rotation_error_degrees(start, turned) == pytest.approx(degrees, abs=1e-6)
    assert rotation_error_degrees(turned, start) == pytest.approx(degrees, abs=1e-6)


def test_random_rotations_favour_no_direction():
    random = np.random.default_rng(7)
    turned = np.stack([random_rotation(random) for _ in range(4000)])
    assert np.abs(turned.mean(0)).max() < 0.04
    # the angle of a uniform rotation has density (1 - cos a) / pi, so its mean is pi / 2 + 2 / pi
    angles = [rotation_error_degrees(np.eye(3), one) for one in turned]
    assert np.mean(angles) == pytest.approx(np.degrees(np.pi / 2 + 2 / np.pi), abs=2)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(-50, 50), st.floats(-50, 50), st.floats(0.1, 8))
def test_a_cropped_camera_sees_a_point_where_it_lies_in_the_crop(seed, left, top, scale):
    random = np.random.default_rng(seed)
    camera = Camera(*random.uniform(300, 900, 2), *random.uniform(0, 500, 2))
    points = random.uniform((-1, -1, 2), (1, 1, 4), (5, 3))
    expected = (camera.project(points) + 0.5 - [left, top]) * scale - 0.5
    assert np.allclose(camera.cropped(left, top, scale).project(points), expected, atol=1e-6)


def test_rays_go_through_the_centres_of_cells():
    camera = Camera(100, 120, 3, 2)
    rays = camera.rays(8, 6, 2)
    assert rays.shape == (3, 4, 3)
    assert np.allclose(
        camera.project(rays.reshape(-1, 3))[:5], [[0.5, 0.5], [2.5, 0.5], [4.5, 0.5], [6.5, 0.5], [0.5, 2.5]]
    )


def test_a_field_of_view_spans_the_picture():
    camera = Camera.from_fov(640, 480, 90)
    assert camera.fx == pytest.approx(320)
    assert (camera.cx, camera.cy) == (319.5, 239.5)


@pytest.mark.parametrize("values", [(0, 1, 0, 0), (1, -1, 0, 0), (1, 1, np.nan, 0), (np.inf, 1, 0, 0)])
def test_a_camera_that_cannot_be_is_refused(values):
    with pytest.raises(ValueError, match="focal"):
        Camera(*values)


def test_errors_of_a_pose_are_what_they_say(box):
    truth = Pose(np.eye(3), np.array([0.0, 0.0, 1.0]))
    same = pose_error(truth, truth, box.surface_points())
    assert (same.rotation_degrees, same.translation, same.add) == (0, 0, 0)
    shifted = pose_error(Pose(np.eye(3), np.array([0.0, 0.0, 1.02])), truth, box.surface_points())
    assert (shifted.translation_share, shifted.add) == (pytest.approx(0.02), pytest.approx(0.02))
    turned = pose_error(Pose(turn_about([0, 0, 1], 180), truth.translation), truth, box.surface_points())
    assert turned.rotation_degrees == pytest.approx(180)
    assert 0.05 < turned.add < box.diameter


def test_a_pose_is_told_as_plain_numbers():
    told = Pose(turn_about([0, 0, 1], 90), np.array([0.1, 0.2, 0.3]), 0.9).as_json()
    assert told["rotation_6d"] == pytest.approx([0, 1, 0, -1, 0, 0])
    assert told["translation"] == [0.1, 0.2, 0.3]
    assert np.allclose(rot6d_to_matrix(told["rotation_6d"]), told["rotation_matrix"])


def test_surface_points_lie_on_the_box(box):
    points = box.surface_points(5)
    assert points.shape == (150, 3)
    assert np.allclose(np.abs(points / box.half).max(1), 1)


def test_the_box_of_the_package_is_the_box_of_the_shared_pictures(box, truth):
    assert np.allclose(box.vertices, truth["box_vertices"])
    for face, told in enumerate(truth["faces"]):
        assert np.allclose(box.face_corners(face), np.array(truth["box_vertices"])[told["vertex_order"]])


@pytest.mark.parametrize(
    "fault",
    ['{"name": "a"}', '{"name": "a", "size_metres": [1, 2], "textures": []}', "[",
     '{"name": "a", "size_metres": [1, 2, 0], "textures": ["a"]}',
     '{"name": "a", "size_metres": [1, 2, 3], "textures": ["a", "b", "c", "d", "e", "f"]}'],
)  # fmt: skip
def test_an_object_that_cannot_be_read_is_refused_with_a_reason(tmp_path, fault):
    from pipeline.errors import ModelError

    (tmp_path / "object.json").write_text(fault)
    with pytest.raises(ModelError, match=r"object\.json") as caught:
        load_box(tmp_path)
    assert caught.value.code == "model.object_invalid"
