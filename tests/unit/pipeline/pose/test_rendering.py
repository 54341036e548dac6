"""The renderer against exact rays, against the shared pictures, and what random scenes promise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.pose.pose import Pose
from pipeline.pose.render import paint, surface, visible_faces
from pipeline.pose.rotation import random_rotation
from pipeline.pose.samples import CROP, draw_sample
from pipeline.pose.scene import DISTANCES, render_scene


@pytest.mark.parametrize("seed", range(8))
def test_painted_pixels_are_those_whose_rays_meet_the_box(box, camera, seed):
    random = np.random.default_rng(seed)
    pose = Pose(random_rotation(random), np.array([0.02, -0.03, random.uniform(0.4, 1.0)]))
    cover = paint(np.zeros((480, 640, 3), np.uint8), box, pose, camera)
    met = surface(box, pose, camera.rays(640, 480)).faces >= 0
    rim = cv2.dilate(met.astype(np.uint8), np.ones((3, 3))) - cv2.erode(met.astype(np.uint8), np.ones((3, 3)))
    assert ((cover > 0.5) != met)[rim == 0].sum() == 0
    assert abs(cover.sum() / met.sum() - 1) < 0.05


@pytest.mark.parametrize("seed", range(8))
def test_what_a_ray_meets_projects_back_to_its_pixel(box, camera, seed):
    random = np.random.default_rng(seed)
    pose = Pose(random_rotation(random), np.array([-0.05, 0.05, 0.6]))
    met = surface(box, pose, camera.rays(640, 480, 2))
    rows, columns = np.nonzero(met.faces >= 0)
    places = met.coordinates[rows, columns]
    assert np.allclose(np.abs(places / box.half).max(1), 1)
    assert np.allclose(camera.project(pose.apply(places)), np.stack([columns, rows], 1) * 2 + 0.5, atol=1e-6)


def test_our_renderer_draws_what_the_shared_pictures_show(box, camera, pictures, truth):
    for name, told in truth["images"].items():
        pose = Pose(np.array(told["R"]), np.array(told["t"]))
        assert {face + 1 for face in visible_faces(box, pose)} >= set(told["visible_faces"])
        shown = cv2.imread(str(pictures / name))[..., ::-1]
        drawn = np.full_like(shown, 128)
        inside = paint(drawn, box, pose, camera) > 0.99
        for channel in range(3):
            likeness = np.corrcoef(shown[inside][:, channel], drawn[inside][:, channel])[0, 1]
            assert likeness > 0.95, (name, channel)


def test_a_box_behind_the_camera_is_refused(box, camera):
    with pytest.raises(ValueError, match="behind"):
        paint(np.zeros((48, 64, 3), np.uint8), box, Pose(np.eye(3), np.array([0, 0, 0.01])), camera)


@pytest.mark.parametrize("seed", range(4))
def test_a_scene_holds_the_whole_box_at_its_distance_with_a_tenth_hidden(box, camera, seed):
    scene = render_scene(np.random.default_rng(seed), box, camera, (640, 480), occluded=0.1)
    seen = camera.project(scene.pose.apply(box.vertices))
    assert (seen >= 0).all()
    assert (seen <= [639, 479]).all()
    assert DISTANCES[0] <= scene.pose.distance / box.diameter <= DISTANCES[1]
    whole = surface(box, scene.pose, camera.rays(640, 480)).faces >= 0
    assert scene.visible.sum() / whole.sum() == pytest.approx(0.9, abs=0.04)


def test_scenes_and_samples_follow_from_their_seed(box, camera):
    one, two = (render_scene(np.random.default_rng(5), box, camera, (320, 240)) for _ in range(2))
    assert np.array_equal(one.picture, two.picture)
    assert np.array_equal(draw_sample(box, 1, 9).picture, draw_sample(box, 1, 9).picture)
    assert not np.array_equal(draw_sample(box, 1, 9).picture, draw_sample(box, 2, 9).picture)


def test_samples_say_which_face_and_place_each_cell_shows(box):
    samples = [draw_sample(box, 11, number) for number in range(40)]
    named = [np.unique(one.faces) for one in samples]
    assert {0, 1, 2, 3, 4, 5, 6} == set(np.concatenate(named).tolist())
    assert any(len(faces) == 1 for faces in named)  # some hold no box
    for one in samples:
        assert one.picture.shape == (CROP, CROP, 3)
        on = one.faces > 0
        if on.any():
            assert np.allclose(np.abs(one.coordinates[:, on]).max(0), 1, atol=1e-5)
