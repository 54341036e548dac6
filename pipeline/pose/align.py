"""Fine alignment: move a pose until the textured box lies on the picture (Gauss-Newton on grey differences).

As in Lucas and Kanade (1981), over the six numbers of a pose and with a gain and an offset of light for each face and
colour. Points that disagree, as where something stands in the way, lose their weight (Tukey).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.pose.box import Box
from pipeline.pose.camera import Camera
from pipeline.pose.pose import Pose
from pipeline.pose.render import visible_faces

Array = NDArray[np.float64]
#: blur of the picture in pixels, coarse to fine, and steps at each
BLURS = (3.0, 1.4, 0.6)
STEPS = 12
#: cells across or down a face, one for each of its pixels; thinner faces are left out
_MIN_CELLS, _MAX_CELLS = 5, 240
#: points taken of one face, at most
_MAX_POINTS = 800
#: cells next to a rim that are left out: what lies beyond is mixed in
_RIM = 1
#: blur in pixels that pictures have of themselves, about
_CAMERA_BLUR = 0.6
#: fewer points say nothing
_MIN_POINTS = 30
#: Tukey's constant for 95 % efficiency, and the scale of a normal distribution from its median deviation
_TUKEY, _NORMAL = 4.685, 1.4826
#: grey levels: differences are never taken for smaller than sensor noise
_MIN_SCALE = 4.0
#: share of the points by which agreement is judged
_KEPT = 0.75
#: light may not turn a texture into its negative, nor wipe it out
_GAINS = (0.15, 3.0)


@dataclass(frozen=True, slots=True)
class Alignment:
    """A pose, and how much of the picture's variation under the box the textures explain (R squared, at most 1)."""

    pose: Pose
    agreement: float


@dataclass(frozen=True, slots=True)
class _Patches:
    """Points on the faces seen: places (n, 3) metres, colours (n, 3), face of each (n,)."""

    places: Array
    colours: Array
    faces: NDArray[np.int64]


def align(picture: NDArray[np.uint8], box: Box, pose: Pose, camera: Camera) -> Alignment:
    """Return the pose that fits best near the one given, never one that fits worse.

    picture: uint8 RGB, best with 50 to 200 pixels across the box. The pose must be within some 3 pixels.
    """
    agreement = 0.0
    for blur in BLURS:
        patches = _patches(box, pose, camera, blur)
        if len(patches.faces) < _MIN_POINTS:
            return Alignment(pose, 0.0)
        layers = _layers(picture, blur)
        pose = _descend(layers, patches, pose, camera)
        agreement = _agreement(layers, patches, pose, camera)
    return Alignment(pose, agreement)


def _descend(layers: Array, patches: _Patches, pose: Pose, camera: Camera) -> Pose:
    residuals, jacobian = _linearised(layers, patches, pose, camera)
    damping = 1e-3
    for _ in range(STEPS):
        scale = max(_MIN_SCALE, _NORMAL * float(np.median(np.abs(residuals))))
        weights = _tukey(residuals / scale)
        normal = jacobian.T @ (weights[:, None] * jacobian)
        step = np.linalg.solve(
            normal + damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(6), -jacobian.T @ (weights * residuals)
        )
        moved = _moved(pose, step)
        after, slopes = _linearised(layers, patches, moved, camera)
        if _cost(after / scale) < _cost(residuals / scale):
            pose, residuals, jacobian, damping = moved, after, slopes, damping / 4
            if np.abs(step).max() < 1e-5:
                break
        else:
            damping *= 8
    return pose


def _linearised(layers: Array, patches: _Patches, pose: Pose, camera: Camera) -> tuple[Array, Array]:
    """Return differences (3 n,) between picture and lit texture, and their derivatives (3 n, 6) by turn and shift."""
    turned = patches.places @ pose.rotation_matrix.T
    x, y, z = (turned + pose.translation).T
    z = np.maximum(z, 1e-6)
    seen = np.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], axis=1)
    values = _sampled(layers, seen).reshape(-1, 3, 3)
    residuals = values[:, 0] - _lit(patches, values[:, 0])
    zero = np.zeros_like(z)
    across = np.stack([camera.fx / z, zero, -camera.fx * x / z**2], axis=1)
    down = np.stack([zero, camera.fy / z, -camera.fy * y / z**2], axis=1)
    # a turn w moves a point by w x turned, which is -[turned]_x w
    by_shift = values[:, 1, :, None] * across[:, None] + values[:, 2, :, None] * down[:, None]
    by_turn = np.cross(turned[:, None], by_shift)
    return residuals.ravel(), np.concatenate([by_turn, by_shift], axis=-1).reshape(-1, 6)


def _lit(patches: _Patches, values: Array) -> Array:
    """Return the textures' colours under the light that fits the values best, face by face and colour by colour.

    Fitted three times, each with less weight for points that the fit before left far off: they show something else.
    """
    lit = np.empty_like(values)
    for face in np.unique(patches.faces):
        on = patches.faces == face
        colours, seen = patches.colours[on], values[on]
        weights = np.ones((len(seen), 1))
        for _ in range(3):
            total = weights.sum() + 1e-9
            middle, mean = (weights * colours).sum(0) / total, (weights * seen).sum(0) / total
            spread = (weights * (colours - middle) ** 2).sum(0) + 1e-6
            gains = np.clip((weights * (colours - middle) * (seen - mean)).sum(0) / spread, *_GAINS)
            fitted = mean + gains * (colours - middle)
            gaps = np.linalg.norm(seen - fitted, axis=1, keepdims=True)
            weights = _tukey(gaps / max(_MIN_SCALE, _NORMAL * float(np.median(gaps))))
        lit[on] = fitted
    return lit


def _agreement(layers: Array, patches: _Patches, pose: Pose, camera: Camera) -> float:
    """Return which part of the variation within the faces the textures explain, noise not counted."""
    residuals, _ = _linearised(layers, patches, pose, camera)
    seen = camera.project(np.maximum(pose.apply(patches.places), (-np.inf, -np.inf, 1e-6)))
    values = _sampled(layers, seen)[:, :3]
    gaps = (residuals.reshape(-1, 3) ** 2).sum(1)
    # something in the way may spoil a quarter of the points; both sums are taken over the others
    kept = gaps <= np.quantile(gaps, _KEPT)
    spread = 0.0
    for face in np.unique(patches.faces[kept]):
        on = kept & (patches.faces == face)
        spread += float(((values[on] - values[on].mean(0)) ** 2).sum())
    return (spread - float(gaps[kept].sum())) / (spread + 3 * _MIN_SCALE**2 * int(kept.sum()))


def _patches(box: Box, pose: Pose, camera: Camera, blur: float) -> _Patches:
    """Return points of the faces seen, with the colours that a picture blurred as much would show there."""
    places, colours, faces = [np.zeros((0, 3))], [np.zeros((0, 3))], [np.zeros(0, np.int64)]
    for face in visible_faces(box, pose):
        corners = box.face_corners(face)
        seen = camera.project(pose.apply(corners))
        area = cv2.contourArea(seen.astype(np.float32))
        # how many pixels lie between opposite rims, square to them: one cell for each
        cells = [round(area / max(1e-6, float(np.linalg.norm(seen[end] - seen[0])))) for end in (3, 1)]
        if min(cells) < _MIN_CELLS:
            continue
        across, down = (min(cell, _MAX_CELLS) for cell in cells)
        small = cv2.resize(box.textures[face], (across, down), interpolation=cv2.INTER_AREA)
        sigma = float(np.hypot(blur, _CAMERA_BLUR))
        soft = cv2.GaussianBlur(
            small.astype(np.float64), (0, 0), sigma * across / cells[0], sigmaY=sigma * down / cells[1]
        )
        every = max(1, int(np.ceil(np.sqrt(across * down / _MAX_POINTS))))
        u, v = np.meshgrid(np.arange(every // 2, across, every), np.arange(every // 2, down, every))
        inside = (np.minimum(u, across - 1 - u) >= _RIM) & (np.minimum(v, down - 1 - v) >= _RIM)
        u, v = u[inside][:, None], v[inside][:, None]
        right, below = corners[1] - corners[0], corners[3] - corners[0]
        places.append(corners[0] + (u + 0.5) / across * right + (v + 0.5) / down * below)
        colours.append(np.asarray(soft, np.float64)[v[:, 0], u[:, 0]])
        faces.append(np.full(len(u), face))
    return _Patches(np.concatenate(places), np.concatenate(colours), np.concatenate(faces))


def _layers(picture: NDArray[np.uint8], blur: float) -> Array:
    """Return the blurred picture and its slopes across and down, nine layers (h, w, 9)."""
    soft = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), blur)
    slopes = [cv2.Scharr(soft, cv2.CV_32F, *way, scale=1 / 32) for way in ((1, 0), (0, 1))]
    return np.concatenate([soft, *slopes], axis=2).astype(np.float64)


def _sampled(layers: Array, places: Array) -> Array:
    """Return (n, layers) at places (n, 2), between pixels by their distances; outside, the rim."""
    height, width = layers.shape[:2]
    x = np.clip(places[:, 0], 0, width - 1.001)
    y = np.clip(places[:, 1], 0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = layers[top, left] * (1 - across) + layers[top, left + 1] * across
    lower = layers[top + 1, left] * (1 - across) + layers[top + 1, left + 1] * across
    between: Array = upper * (1 - down) + lower * down
    return between


def _moved(pose: Pose, step: NDArray[np.floating[Any]]) -> Pose:
    turn, _ = cv2.Rodrigues(step[:3])
    return Pose(
        np.asarray(turn, np.float64) @ pose.rotation_matrix, pose.translation + np.asarray(step[3:], np.float64)
    )


def _tukey(values: Array) -> Array:
    inside = np.clip(1 - (values / _TUKEY) ** 2, 0, None)
    weights: Array = inside**2
    return weights


def _cost(values: Array) -> float:
    return float((1 - np.clip(1 - (values / _TUKEY) ** 2, 0, None) ** 3).mean())
