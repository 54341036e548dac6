"""Solving and aligning, with the truth in the place of the network's answer."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.pose.align import align
from pipeline.pose.pose import Pose, pose_error
from pipeline.pose.render import paint, surface
from pipeline.pose.rotation import random_rotation
from pipeline.pose.samples import CROP, STEP
from pipeline.pose.scene import occlude, random_light
from pipeline.pose.solve import correspondences, solve


def near_crop(random, box, camera):
    """A pose, and the camera of a crop in which the box fills most of the side."""
    pose = Pose(random_rotation(random), np.array([0.05, -0.04, random.uniform(0.4, 1.0)]))
    seen = camera.project(pose.apply(box.vertices))
    low, high = seen.min(0), seen.max(0)
    side = (high - low).max() / 0.75
    return pose, camera.cropped(*((low + high) / 2 - side / 2), CROP / side)


def answer_of(box, pose, camera):
    """What a perfect network would say of a crop: faces (7, h, w) and coordinates (3, h, w)."""
    met = surface(box, pose, camera.rays(CROP, CROP, STEP))
    faces = np.eye(7, dtype=np.float32)[met.faces + 1].transpose(2, 0, 1)
    return faces, (met.coordinates / box.half).transpose(2, 0, 1).astype(np.float32)


@pytest.mark.parametrize("seed", range(10))
def test_a_pose_comes_back_from_what_its_pixels_show(box, camera, seed):
    random = np.random.default_rng(seed)
    pose, near = near_crop(random, box, camera)
    best, *_ = solve(correspondences(*answer_of(box, pose, near), box), near)
    error = pose_error(best.pose, pose, box.surface_points())
    assert error.rotation_degrees < 0.01
    assert error.translation_share < 1e-4
    assert best.inliers == 1


@pytest.mark.parametrize("seed", range(10))
def test_a_pose_comes_back_from_noisy_places_a_third_of_which_are_wrong(box, camera, seed):
    random = np.random.default_rng(seed)
    pose, near = near_crop(random, box, camera)
    faces, coordinates = answer_of(box, pose, near)
    coordinates = coordinates + random.normal(0, 0.03, coordinates.shape)
    wrong = random.random(coordinates.shape[1:]) < 0.33
    coordinates[:, wrong] = random.uniform(-1, 1, (3, wrong.sum()))
    found = solve(correspondences(faces, coordinates.astype(np.float32), box), near)
    errors = [pose_error(one.pose, pose, box.surface_points()) for one in found]
    # a single face may be seen nearly as well from two sides: one of the candidates is right
    assert min(error.rotation_degrees for error in errors) < 3
    assert min(error.translation_share for error in errors) < 0.02


def test_places_are_put_on_the_face_that_was_named(box, camera):
    random = np.random.default_rng(3)
    pose, near = near_crop(random, box, camera)
    faces, coordinates = answer_of(box, pose, near)
    found = correspondences(faces, coordinates * 0.9, box)
    assert np.allclose(np.abs(found.places / box.half).max(1), 1)


def test_an_answer_that_sees_nothing_gives_no_pose(box, camera):
    faces = np.zeros((7, 48, 48), np.float32)
    faces[0] = 1
    found = correspondences(faces, np.zeros((3, 48, 48), np.float32), box)
    assert len(found.pixels) == 0
    assert solve(found, camera) == []


def test_places_that_fit_no_pose_give_none_or_one_that_few_agree_with(box, camera):
    random = np.random.default_rng(0)
    faces = np.eye(7, dtype=np.float32)[random.integers(1, 7, (48, 48))].transpose(2, 0, 1)
    found = correspondences(faces, random.uniform(-1, 1, (3, 48, 48)).astype(np.float32), box)
    assert all(one.inliers < 0.3 for one in solve(found, camera.cropped(270, 190, 0.96)))


@pytest.mark.parametrize("seed", range(6))
def test_alignment_brings_a_pose_nearer_though_a_tenth_is_hidden(box, camera, seed):
    random = np.random.default_rng(seed)
    truth = Pose(random_rotation(random), np.array([0.0, 0.0, 0.6]))
    picture = np.full((480, 640, 3), 120, np.uint8)
    cover = paint(picture, box, truth, camera, shades=random_light(random, truth)) > 0.5
    occlude(random, picture, cover, 0.1)
    turn, _ = cv2.Rodrigues(np.radians(2) * np.array([0.6, -0.6, 0.53]))
    start = Pose(turn @ truth.rotation_matrix, truth.translation + np.array([0.001, -0.001, 0.004]))
    found = align(picture, box, start, camera)
    error = pose_error(found.pose, truth, box.surface_points())
    assert error.rotation_degrees < 0.7
    assert error.translation_share < 0.006
    assert found.agreement > 0.6


def test_alignment_on_an_empty_picture_agrees_with_nothing(box, camera):
    pose = Pose(np.eye(3), np.array([0, 0, 0.6]))
    assert align(np.full((480, 640, 3), 120, np.uint8), box, pose, camera).agreement < 0.1
