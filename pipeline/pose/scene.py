"""Random pictures of the box, with the truth: pose, light, what stands in the way, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.pose.backdrop import random_backdrop, random_patch
from pipeline.pose.box import FACES, NORMALS, Box
from pipeline.pose.camera import Camera
from pipeline.pose.pose import Pose
from pipeline.pose.render import paint
from pipeline.pose.rotation import random_rotation

Picture = NDArray[np.uint8]
#: times the object's diameter
DISTANCES = (3.0, 8.0)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture (uint8 RGB) and its truth. visible: bool (h, w), pixels that show the box."""

    picture: Picture
    pose: Pose
    camera: Camera
    visible: NDArray[np.bool_]


def render_scene(
    random: np.random.Generator, box: Box, camera: Camera, size: tuple[int, int], *, occluded: float = 0.1
) -> Scene:
    """Return a whole random picture as in the held-out test.

    Rotation uniform over SO(3), distance uniform over ``DISTANCES`` diameters, place uniform among those where the
    whole box is in the picture, light from anywhere. size: (width, height). occluded: share of the box's pixels, within
    2 points, that something else covers.
    """
    pose = random_pose(random, box, camera, size)
    picture = random_backdrop(random, *size)
    cover = paint(picture, box, pose, camera, shades=random_light(random, pose)) > 0.5
    hidden = occlude(random, picture, cover, occluded) if occluded > 0 else np.zeros_like(cover)
    return Scene(develop(random, picture), pose, camera, cover & ~hidden)


def random_pose(random: np.random.Generator, box: Box, camera: Camera, size: tuple[int, int]) -> Pose:
    """Return a pose with the whole box inside a picture of ``size`` (width, height)."""
    rotation = random_rotation(random)
    distance = random.uniform(*DISTANCES) * box.diameter
    while True:
        u, v = random.uniform(0, 1, 2) * size
        ray = np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0])
        pose = Pose(rotation, ray / np.linalg.norm(ray) * distance)
        seen = camera.project(pose.apply(box.vertices))
        if (seen >= 2).all() and (seen <= np.array(size) - 3).all():
            return pose


def random_light(random: np.random.Generator, pose: Pose) -> NDArray[np.float64]:
    """Return what a lamp anywhere on the camera's side and light from all round make of each face: (6, 3)."""
    lamp = random.normal(size=3)
    lamp[2] = -abs(lamp[2])
    lamp /= np.linalg.norm(lamp)
    ambient = random.uniform(0.35, 0.9)
    lambert = np.clip(NORMALS @ pose.rotation_matrix.T @ lamp, 0, None)
    tint = random.uniform(0.85, 1.15, 3)
    level = (ambient + (1.15 - ambient) * lambert)[:, None]
    shades: NDArray[np.float64] = level * tint * random.uniform(0.98, 1.02, (FACES, 3))
    return shades


def occlude(random: np.random.Generator, picture: Picture, cover: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Lay something in front of ``share`` of the covered pixels; return where it lies, bool (h, w).

    A tilted bar or disc with a random texture comes in from a random side until it hides enough.
    """
    rows, columns = np.nonzero(cover)
    hidden = np.zeros_like(cover)
    if not len(rows):
        return hidden
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    angle = random.uniform(0, 2 * np.pi)
    centre, extent = points.mean(0), np.ptp(points, axis=0).max()
    away = np.array([np.cos(angle), np.sin(angle)])
    start = centre + random.normal(0, 0.2, 2) * extent
    if random.random() < 0.5:  # a disc, grown around a point on the box
        reach = np.quantile(np.linalg.norm(points - start, axis=1), share)
        inside = _distances(picture.shape, start) <= reach
    else:  # an edge, pushed in from one side
        limit = np.quantile(points @ away, 1 - share)
        x, y = np.meshgrid(np.arange(picture.shape[1]), np.arange(picture.shape[0]))
        depth = x * away[0] + y * away[1] - limit
        inside = (depth >= 0) & (depth <= extent * random.uniform(0.6, 2))
    hidden |= inside
    patch = random_patch(random, picture.shape[1], picture.shape[0])
    picture[hidden] = patch[hidden]
    return hidden


def develop(random: np.random.Generator, picture: Picture) -> Picture:
    """Return what a camera makes of it: blur, brightness, sensor noise, JPEG."""
    sigma = random.uniform(0, 1.0)
    if sigma > 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    level = picture * random.uniform(0.7, 1.2)
    level = level + random.normal(0, random.uniform(0, 6), picture.shape)
    picture = np.clip(level, 0, 255).astype(np.uint8)
    if random.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(60, 96))]
        _, packed = cv2.imencode(".jpg", picture[..., ::-1], quality)
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return np.ascontiguousarray(picture)


def random_box(random: np.random.Generator) -> Box:
    """Return a box that is not the known one: other sizes and textures; the network learns to leave it alone."""
    textures = tuple(random_patch(random, 64, 64) for _ in range(FACES))
    return Box("other", random.uniform(0.03, 0.12, 3), textures)


def _distances(shape: tuple[int, ...], point: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(shape[1]) - point[0], np.arange(shape[0]) - point[1])
    distances: NDArray[np.float64] = np.hypot(x, y)
    return distances
