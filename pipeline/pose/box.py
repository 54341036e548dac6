"""The known object: a box with a texture on each face, read from a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError

OBJECT_FILE = "object.json"
FACES = 6
#: outward normals of faces 0 to 5, and the corners on which the texture's (0, 0), (1, 0), (1, 1), (0, 1) lie, as signs
#: of the half sizes: the convention of the project's own pictures of the box
NORMALS = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], np.float64)
CORNERS = np.array(
    [
        [[1, -1, 1], [-1, -1, 1], [-1, 1, 1], [1, 1, 1]],
        [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1]],
        [[1, -1, -1], [1, -1, 1], [1, 1, 1], [1, 1, -1]],
        [[-1, -1, 1], [-1, -1, -1], [-1, 1, -1], [-1, 1, 1]],
        [[1, 1, 1], [-1, 1, 1], [-1, 1, -1], [1, 1, -1]],
        [[1, -1, -1], [-1, -1, -1], [-1, -1, 1], [1, -1, 1]],
    ],
    np.float64,
)
#: corners of the box as signs, and its twelve edges as pairs of them
VERTICES = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
EDGES = tuple((a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1)


@dataclass(frozen=True, slots=True)
class Box:
    """A textured box around the origin of its own axes.

    size: float64 (3,), metres along x, y, z. textures: six uint8 RGB (h, w, 3), in the order of ``NORMALS``.
    """

    name: str
    size: NDArray[np.float64]
    textures: tuple[NDArray[np.uint8], ...]

    @property
    def half(self) -> NDArray[np.float64]:
        """Half sizes, float64 (3,), metres."""
        return self.size / 2

    @property
    def diameter(self) -> float:
        """Metres from corner to opposite corner."""
        return float(np.linalg.norm(self.size))

    @property
    def vertices(self) -> NDArray[np.float64]:
        """The eight corners, float64 (8, 3), metres."""
        return VERTICES * self.half

    def face_corners(self, face: int) -> NDArray[np.float64]:
        """Return where the texture's four corners lie, float64 (4, 3), metres."""
        corners: NDArray[np.float64] = CORNERS[face] * self.half
        return corners

    def surface_points(self, per_side: int = 7) -> NDArray[np.float64]:
        """Return points on all faces, a grid of per_side x per_side each, rims included: float64 (n, 3), metres."""
        steps = np.linspace(0, 1, per_side)
        u, v = (axis.reshape(-1, 1) for axis in np.meshgrid(steps, steps))
        grids = []
        for face in range(FACES):
            start, right, _, down = self.face_corners(face)
            grids.append(start + u * (right - start) + v * (down - start))
        return np.concatenate(grids)


def load_box(folder: Path) -> Box:
    """Read ``object.json`` (name, size_metres, textures) and the six textures beside it.

    Raises: ModelError with code ``model.object_invalid`` that says what is wrong.
    """
    try:
        data = json.loads((folder / OBJECT_FILE).read_text(encoding="utf-8"))
        size = np.array(data["size_metres"], np.float64)
        names = data["textures"]
        if size.shape != (3,) or not np.isfinite(size).all() or (size <= 0).any():
            raise ValueError("size_metres must be three positive numbers")
        if not isinstance(names, list) or len(names) != FACES:
            raise ValueError("textures must name six pictures, of the faces +z, -z, +x, -x, +y, -y")
        return Box(str(data["name"]), size, tuple(_texture(folder / str(name)) for name in names))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder / OBJECT_FILE}: {type(error).__name__}: {error}",
            code="model.object_invalid",
            advice="See docs/pipelines/pose.md, 'Your own box'.",
        ) from error


def _texture(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is no picture")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)
