"""The canteen trays of the test data: photos, masks, and a segmenter card made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MediaError
from pipeline.models.base import Model, ModelShelf
from pipeline.models.card import ModelCard
from pipeline.models.shelf import FolderShelf

#: photos of each tray, the one before the meal first
TRAYS = {
    "tray1": ("food_image", "leftover1", "leftover2"),
    "tray3": ("food_image", "leftover2"),
    "tray4": ("food_image", "leftover1"),
}
NAME = "known-masks"
#: width and height of what the segmenter sees: what frames are shrunk to unless a job asks otherwise
SEEN = (640, 480)
CARD = """name = "{name}"
version = "1"
task = "segment"
runtime = "python"
entry = "pipeline.nutrition.known_masks:open_network"
max_batch = 4
cost_seconds = 0.3

[weights]
file = "masks.npz"

[input]
width = {width}
height = {height}
resize = "stretch"

[output]
decoder = "semantic"
activation = "classes"
background = 0
labels = {labels}
"""


def tray_folder(data: Path) -> Path:
    """Return where the trays lie in the test data."""
    return data / "images" / "food"


def food_ids(data: Path) -> dict[int, str]:
    """Return the food of each pixel value of the masks."""
    text = (tray_folder(data) / "food_ids.json").read_text(encoding="utf-8")
    return {int(number): name for number, name in json.loads(text).items()}


def photo(data: Path, tray: str, name: str) -> Path:
    """Return the path of one photo."""
    return tray_folder(data) / tray / f"{name}.jpg"


def mask(data: Path, tray: str, name: str) -> NDArray[np.uint8]:
    """Return one mask, uint8, (960, 1280), pixel = food id."""
    return _grey(tray_folder(data) / tray / f"{name}.mask.png")


def true_shares(data: Path, tray: str, after: str) -> dict[str, float]:
    """Return the eaten share of each food by the full masks: 1 - pixels after / pixels before, at least 0."""
    before, left, names = mask(data, tray, "food_image"), mask(data, tray, after), food_ids(data)
    pixels = {number: int((before == number).sum()) for number in names}
    return {
        names[number]: max(0.0, 1 - int((left == number).sum()) / count) for number, count in pixels.items() if count
    }


def write_card(data: Path, folder: Path, *, off_pixels: int = 0) -> Path:
    """Write the segmenter of all trays' photos and masks, shrunk to SEEN, as a model package; return its folder.

    off_pixels: how many pixels of SEEN the outlines are too tight before the meal and too wide after.
    """
    home = folder / NAME
    home.mkdir(parents=True)
    pairs = [(tray, name) for tray, names in TRAYS.items() for name in names]
    photos = [_grey(photo(data, *pair)) for pair in pairs]
    np.savez_compressed(
        home / "masks.npz",
        photos=np.stack([cv2.resize(one, SEEN, interpolation=cv2.INTER_AREA) for one in photos]),
        masks=np.stack([_worn(mask(data, *pair), off_pixels, before=pair[1] == "food_image") for pair in pairs]),
    )
    names = food_ids(data)
    labels = json.dumps([names[number] for number in sorted(names)])
    text = CARD.format(name=NAME, width=SEEN[0], height=SEEN[1], labels=labels)
    (home / "model.toml").write_text(text, encoding="utf-8")
    return home


def _worn(full: NDArray[np.uint8], off_pixels: int, *, before: bool) -> NDArray[np.uint8]:
    """Return a mask at SEEN with outlines moved in, or out over what is no food: uint8, (480, 640)."""
    small = np.asarray(cv2.resize(full, SEEN, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    if not off_pixels:
        return small
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * off_pixels + 1, 2 * off_pixels + 1))
    worn = np.zeros_like(small) if before else small.copy()
    for number in range(1, int(small.max()) + 1):
        one = (small == number).astype(np.uint8)
        if before:
            worn[cv2.erode(one, brush) > 0] = number
        else:
            worn[(cv2.dilate(one, brush) > 0) & (worn == 0)] = number
    return worn


def _grey(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise MediaError(f"{path} is missing or no picture")
    return np.asarray(picture, dtype=np.uint8)


class ShelfBeside:
    """A shelf with one folder of packages more beside it."""

    def __init__(self, shelf: ModelShelf, folder: Path) -> None:
        self._shelf = shelf
        self._own = FolderShelf([folder], cache_dir=folder)
        self._names = {card.name for card in self._own.cards()}

    def card(self, name: str) -> ModelCard:
        """Raises: ParamsError with code ``model.unknown``."""
        return self._of(name).card(name)

    def cards(self) -> Sequence[ModelCard]:
        """All cards of both."""
        return [*self._shelf.cards(), *self._own.cards()]

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of a model's weights."""
        return self._of(name).digest(name)

    def load(self, name: str) -> Model:
        """Return the loaded model. Raises: ModelUnavailable, ModelError."""
        return self._of(name).load(name)

    def close(self) -> None:
        """Unload what was added; the other shelf is its owner's."""
        self._own.close()

    def _of(self, name: str) -> ModelShelf:
        return self._own if name in self._names else self._shelf
