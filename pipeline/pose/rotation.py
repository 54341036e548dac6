"""Rotations: matrices, the 6D form, uniform draws and angles between two."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]


def rot6d_to_matrix(rotation_6d: ArrayLike) -> NDArray[np.float64]:
    """Return the rotation matrix of a 6D rotation (Zhou et al., CVPR 2019, Gram-Schmidt of two columns).

    rotation_6d: (..., 6): the first column of R, then the second, of any length; they need not be orthogonal.
    Returns float64 (..., 3, 3), orthogonal, determinant +1.
    Raises: ValueError for another shape, a value that is not finite, or columns that span no plane.
    """
    values = np.asarray(rotation_6d, np.float64)
    if values.shape[-1:] != (6,) or not np.isfinite(values).all():
        raise ValueError("a 6D rotation has six finite numbers in its last axis")
    first, second = values[..., :3], values[..., 3:]
    one = _unit(first)
    two = _unit(second - (one * second).sum(-1, keepdims=True) * one)
    return np.stack([one, two, np.cross(one, two)], axis=-1)


def matrix_to_rot6d(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return (..., 6) of rotation matrices (..., 3, 3): the first column, then the second."""
    values = np.asarray(matrix, np.float64)
    if values.shape[-2:] != (3, 3):
        raise ValueError("a rotation matrix is 3 x 3")
    return np.concatenate([values[..., :, 0], values[..., :, 1]], axis=-1)


def rotation_error_degrees(one: ArrayLike, other: ArrayLike) -> float:
    """Return the angle of the rotation that takes one (3, 3) to the other, 0 to 180 degrees.

    By atan2 of the sine and cosine parts: arccos of the trace alone loses half its digits at small angles.
    """
    turn = np.asarray(one, np.float64).T @ np.asarray(other, np.float64)
    sine = 0.5 * np.linalg.norm([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    return float(np.degrees(np.arctan2(sine, 0.5 * (np.trace(turn) - 1.0))))


def random_rotation(random: np.random.Generator) -> NDArray[np.float64]:
    """Return one rotation (3, 3), uniform over SO(3): a normalised Gaussian quaternion (Shoemake 1992)."""
    w, x, y, z = _unit(random.normal(size=4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    if (length < 1e-12).any():
        raise ValueError("the two columns of a 6D rotation must span a plane")
    unit: NDArray[np.float64] = vector / length
    return unit
