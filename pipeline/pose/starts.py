"""Poses worth aligning: what PnP found, and the same tilted, judged by the network's map of faces.

A box that shows little more than one face looks much the same when it is tilted a little the other way; which narrow
sides are seen, and where the outline runs, tells the tilts apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.pose.box import Box
from pipeline.pose.camera import Camera
from pipeline.pose.pose import Pose
from pipeline.pose.render import surface
from pipeline.pose.samples import STEP
from pipeline.pose.solve import Candidate

#: degrees of tilt about the picture's axes that are tried
_TILTS = (-24.0, -12.0, 0.0, 12.0, 24.0)
#: poses that are aligned
_KEPT = 3


@dataclass(frozen=True, slots=True)
class Start:
    """A pose, and what the network said of the crop it came from: named (h, w), 0 for nothing, else face + 1."""

    pose: Pose
    named: NDArray[np.int64]
    rays: NDArray[np.float64]
    box: Box

    def map_agreement(self, pose: Pose) -> float:
        """Return the share of cells that network and pose give to the same face, of those either gives to any."""
        if (pose.apply(self.box.vertices)[:, 2] <= 0).any():
            return 0.0
        faces = surface(self.box, pose, self.rays).faces + 1
        either = (faces > 0) | (self.named > 0)
        return float(((faces == self.named) & either).sum() / max(1, either.sum()))


def tried(solved: Sequence[Candidate], faces: NDArray[np.float32], camera: Camera, box: Box) -> list[Start]:
    """Return what PnP found, then the poses that agree best with the network's map.

    solved: what PnP found in a crop. faces: the network's probabilities (7, h, w). camera: of the crop.
    """
    named = faces.argmax(0)
    rays = camera.rays(named.shape[1] * STEP, named.shape[0] * STEP, STEP)
    first = Start(solved[0].pose, named, rays, box)
    poses = [pose for candidate in solved for pose in _tilted(candidate.pose, box)]
    ranked = sorted(poses, key=first.map_agreement, reverse=True)
    return [first, *(Start(pose, named, rays, box) for pose in ranked[:_KEPT])]


def _tilted(pose: Pose, box: Box) -> list[Pose]:
    """Return the pose turned about the picture's axes, around the corner nearest to the camera's side of the box."""
    corners = pose.apply(box.vertices)
    near = corners[np.argsort(corners[:, 2])[:4]].mean(0)
    tilted = []
    for down in _TILTS:
        for across in _TILTS:
            turn, _ = cv2.Rodrigues(np.radians(np.array([down, across, 0.0])))
            matrix = np.asarray(turn, np.float64)
            tilted.append(Pose(matrix @ pose.rotation_matrix, matrix @ (pose.translation - near) + near))
    return tilted
