"""Plain use in Python: ``PoseEstimator("pose-box").predict("picture.jpg")``."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.errors import MediaError, ParamsError
from pipeline.models.base import ModelShelf
from pipeline.models.shelf import open_shelf
from pipeline.pose.camera import Camera
from pipeline.pose.finder import Network, find_pose
from pipeline.pose.pose import Pose

#: degrees across the picture where nothing is known of the camera: 600 pixels of focal length at 640 wide
ASSUMED_FOV_DEGREES = 56.145
#: EXIF: focal length as of a film 36 mm wide
_EXIF_PART, _FOCAL_35MM = 0x8769, 0xA405
_FILM_MILLIMETRES = 36.0


class PoseEstimator:
    """The pose of one known object in pictures; a context manager, or ``close`` it.

    model: a card of the shelf with task ``tensors`` that ``python -m pipeline.pose.train`` made weights for.
    shelf: where models come from; the built-in cards unless told, then closed with the estimator.
    Raises: ParamsError (``model.unknown``, ``params.invalid``), ModelUnavailable, ModelError.
    """

    def __init__(self, model: str = "pose-box", *, shelf: ModelShelf | None = None) -> None:
        self._own = open_shelf() if shelf is None else None
        self._shelf = shelf if shelf is not None else cast(ModelShelf, self._own)
        self._model = model
        card = self._shelf.card(model)
        if card.task != "tensors":
            raise ParamsError(f"{model} is a {card.task} model; a pose needs one with task tensors.")

    def predict(self, image: str | Path | NDArray[np.uint8], camera: Camera | None = None) -> Pose | None:
        """Return the pose, with its confidence; None where nothing like the object is seen.

        image: a file, or uint8 RGB (h, w, 3). camera: of this picture at its full size, upright; None takes the focal
        length from the file's EXIF, else assumes ``ASSUMED_FOV_DEGREES`` across; then translation is as good as that.
        Raises: MediaError, ParamsError, ModelError, DeviceOutOfMemory.
        """
        told: Camera | None = None
        if isinstance(image, str | Path):
            picture, told = _opened(Path(image))
        else:
            picture = _checked(image)
        height, width = picture.shape[:2]
        camera = camera or told or Camera.from_fov(width, height, ASSUMED_FOV_DEGREES)
        return find_pose(cast(Network, self._shelf.load(self._model)), picture, camera)

    def close(self) -> None:
        """Unload the model, where the shelf was opened here."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> PoseEstimator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _opened(path: Path) -> tuple[NDArray[np.uint8], Camera | None]:
    """Return the picture, upright, and the camera that its EXIF tells of."""
    try:
        with Image.open(path) as image:
            focal = image.getexif().get_ifd(_EXIF_PART).get(_FOCAL_35MM)
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: {error}") from error
    picture = np.asarray(upright, np.uint8)
    if not focal or float(focal) <= 0:
        return picture, None
    height, width = picture.shape[:2]
    pixels = float(focal) / _FILM_MILLIMETRES * max(width, height)
    return picture, Camera(pixels, pixels, (width - 1) / 2, (height - 1) / 2)


def _checked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise MediaError(f"a picture is uint8 (h, w, 3), not {image.dtype} {image.shape}", code="media.unsupported")
    return image
