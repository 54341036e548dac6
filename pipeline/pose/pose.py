"""Where an object stands before the camera, and how far two such answers are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pose.rotation import matrix_to_rot6d, rotation_error_degrees

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pose:
    """A rigid pose: a point X of the object stands at ``rotation_matrix @ X + translation`` in camera axes.

    rotation_matrix: float64 (3, 3). translation: float64 (3,), metres. confidence: 0 to 1, see docs/pipelines/pose.md.
    """

    rotation_matrix: Matrix
    translation: Matrix
    confidence: float = 1.0

    @property
    def rotation_6d(self) -> Matrix:
        """The first column of the matrix, then the second: float64 (6,)."""
        return matrix_to_rot6d(self.rotation_matrix)

    @property
    def distance(self) -> float:
        """Metres from the camera to the object's origin."""
        return float(np.linalg.norm(self.translation))

    def apply(self, points: Matrix) -> Matrix:
        """Return points (n, 3) of the object in camera axes."""
        return points @ self.rotation_matrix.T + self.translation

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "rotation_6d": np.round(self.rotation_6d, 6).tolist(),
            "rotation_matrix": np.round(self.rotation_matrix, 6).tolist(),
            "translation": np.round(self.translation, 5).tolist(),
            "confidence": round(self.confidence, 4),
        }


@dataclass(frozen=True, slots=True)
class PoseError:
    """How far an estimate is from the truth. rotation in degrees, translation and add in metres."""

    rotation_degrees: float
    translation: float
    #: translation error as a share of the true distance
    translation_share: float
    #: mean distance of model points (Hinterstoisser et al., ACCV 2012)
    add: float


def pose_error(estimate: Pose, truth: Pose, points: Matrix) -> PoseError:
    """Return the errors of an estimate. points: (n, 3), the object's model points in metres."""
    gap = float(np.linalg.norm(estimate.translation - truth.translation))
    return PoseError(
        rotation_error_degrees(estimate.rotation_matrix, truth.rotation_matrix),
        gap,
        gap / truth.distance,
        float(np.linalg.norm(estimate.apply(points) - truth.apply(points), axis=1).mean()),
    )
