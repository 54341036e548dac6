"""The renderer: a box is convex, so its visible faces are plane warps that never hide one another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.pose.box import FACES, NORMALS, Box
from pipeline.pose.camera import Camera
from pipeline.pose.pose import Pose

#: samples across and down of one pixel, averaged
SUPERSAMPLING = 2
#: fractional bits of polygon corners in OpenCV's drawing
_SHIFT = 4
_MIP_LEVELS = 6


@dataclass(frozen=True, slots=True)
class Surface:
    """What each ray meets. faces: int8 (h, w), -1 for nothing. coordinates: float64 (h, w, 3), metres, box axes."""

    faces: NDArray[np.int8]
    coordinates: NDArray[np.float64]


def visible_faces(box: Box, pose: Pose) -> list[int]:
    """Return the faces turned to the camera."""
    eye = -pose.rotation_matrix.T @ pose.translation
    return [face for face in range(FACES) if NORMALS[face] @ eye > np.abs(NORMALS[face]) @ box.half]


def surface(box: Box, pose: Pose, rays: NDArray[np.float64]) -> Surface:
    """Meet each ray (h, w, 3) from the camera with the box, exactly."""
    faces = np.full(rays.shape[:2], -1, np.int8)
    coordinates = np.zeros(rays.shape, np.float64)
    eye = -pose.rotation_matrix.T @ pose.translation
    turned = rays @ pose.rotation_matrix
    for face in visible_faces(box, pose):
        axis, side = int(np.abs(NORMALS[face]).argmax()), NORMALS[face].sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (side * box.half[axis] - eye[axis]) / turned[..., axis]
            met = eye + reach[..., None] * turned
            inside = (np.abs(met) <= box.half * (1 + 1e-9)).all(-1) & (reach > 0)
        faces[inside] = face
        coordinates[inside] = met[inside]
    return Surface(faces, coordinates)


def paint(
    picture: NDArray[np.uint8], box: Box, pose: Pose, camera: Camera, *, shades: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Paint the box into a uint8 RGB picture (h, w, 3), in place, with soft rims.

    shades: float64 (6, 3), what each face's colours are multiplied by; None for 1.
    Returns how much of each pixel the box covers, float32 (h, w), 0 to 1.
    """
    cover = np.zeros(picture.shape[:2], np.float32)
    left, top, right, bottom = _extent(box, pose, camera, picture.shape)
    if left >= right or top >= bottom:
        return cover
    near = camera.cropped(left, top, float(SUPERSAMPLING))
    size = ((right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    stencil = np.zeros((size[1], size[0]), np.uint8)
    for face in visible_faces(box, pose):
        corners = near.project(pose.apply(box.face_corners(face)))
        _paint_face(canvas, stencil, box.textures[face], corners, None if shades is None else shades[face])
    small = (right - left, bottom - top)
    colour = cv2.resize(canvas, small, interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(stencil, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    place = np.s_[top:bottom, left:right]
    # the canvas is black where nothing is painted, so its mean is already weighted by the cover
    mixed = picture[place] * (1 - alpha[..., None]) + colour
    picture[place] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    cover[place] = alpha
    return cover


def _paint_face(
    canvas: NDArray[np.uint8],
    stencil: NDArray[np.uint8],
    texture: NDArray[np.uint8],
    corners: NDArray[np.float64],
    shade: NDArray[np.float64] | None,
) -> None:
    """Warp one texture on the four corners (pixels of the canvas), and mark where it lies."""
    area = cv2.contourArea(corners.astype(np.float32))
    if area < 1:
        return
    shrink = np.sqrt(texture.shape[0] * texture.shape[1] / area)
    level = int(np.clip(np.floor(np.log2(max(shrink, 1.0))), 0, _MIP_LEVELS - 1))
    small = _mips(texture.tobytes(), texture.shape)[level]
    height, width = small.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    mapping = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    if shade is not None:
        small = np.clip(small * shade, 0, 255).astype(np.uint8)
    size = (canvas.shape[1], canvas.shape[0])
    warped = cv2.warpPerspective(small, mapping, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = np.zeros_like(stencil)
    cv2.fillConvexPoly(inside, np.round(corners * (1 << _SHIFT)).astype(np.int32), 255, shift=_SHIFT)
    free = (inside > 0) & (stencil == 0)
    canvas[free] = warped[free]
    stencil[free] = 255


@lru_cache(maxsize=64)
def _mips(data: bytes, shape: tuple[int, ...]) -> list[NDArray[np.uint8]]:
    """Return a texture at full size, half, quarter ..., each the mean of four texels of the one before."""
    levels = [np.frombuffer(data, np.uint8).reshape(shape)]
    for _ in range(_MIP_LEVELS - 1):
        height, width = levels[-1].shape[:2]
        half = (max(1, width // 2), max(1, height // 2))
        levels.append(np.asarray(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA), np.uint8))
    return levels


def _extent(box: Box, pose: Pose, camera: Camera, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the whole pixels that the box may touch, inside the picture."""
    corners = pose.apply(box.vertices)
    if (corners[:, 2] <= 1e-6).any():
        raise ValueError("the box reaches behind the camera")
    seen = camera.project(corners)
    low, high = np.floor(seen.min(0)).astype(int) - 1, np.ceil(seen.max(0)).astype(int) + 2
    height, width = shape[:2]
    return max(0, low[0]), max(0, low[1]), min(width, high[0]), min(height, high[1])
