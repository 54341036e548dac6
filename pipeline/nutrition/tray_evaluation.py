"""What was eaten from the trays of the test data, by a segmenter that gives their masks, against those masks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.evaluating import Figure, Table
from pipeline.models.base import ModelShelf
from pipeline.nutrition.compare import eaten_between
from pipeline.nutrition.tray_truth import NAME, TRAYS, ShelfBeside, photo, true_shares, write_card

#: how far a share may be off, in points
BAR = 15.0
#: how the pairs of photos are compared: title, params, how far outlines are off, whether it is held to the bar
WAYS: Sequence[tuple[str, Mapping[str, Any], int, bool]] = (
    ("masks as given", {}, 0, True),
    ("frames 320 pixels wide", {"width": 320}, 0, True),
    ("outlines 1 pixel of 640 too tight before, too wide after", {}, 1, False),
    ("outlines 2 pixels of 640 too tight before, too wide after", {}, 2, False),
    (
        "by the plates that FastestDet sees",
        {"tableware": "fastestdet", "compare": "before_after_by_plate"},
        0,
        False,
    ),
)
Shares = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: which way, of what, and the shares."""

    way: str
    name: str
    held: bool
    truth: Shares
    found: Shares

    def points(self) -> dict[str, float]:
        """Return how far off each food's share is, in points; one that was not told is 100 off."""
        return {
            label: 100 * abs(self.found[label] - share) if label in self.found else 100.0
            for label, share in self.truth.items()
        }


@contextmanager
def masks_shelf(data: Path, shelf: ModelShelf, off_pixels: int = 0) -> Iterator[ShelfBeside]:
    """Give a shelf with the segmenter of the trays' masks beside the models of ``shelf``."""
    with tempfile.TemporaryDirectory() as folder:
        write_card(data, Path(folder), off_pixels=off_pixels)
        beside = ShelfBeside(shelf, Path(folder))
        try:
            yield beside
        finally:
            beside.close()


def photo_cases(data: Path, shelf: ModelShelf) -> list[Case]:
    """Compare every pair of photos of each tray in each way. Raises: PipelineError."""
    cases = []
    for way, given, off_pixels, held in WAYS:
        with masks_shelf(data, shelf, off_pixels) as beside:
            for tray, (before, *later) in TRAYS.items():
                for after in later:
                    pictures = photo(data, tray, before), photo(data, tray, after)
                    found = eaten_between(*pictures, {"detector": NAME, **given}, beside)
                    name = f"{tray}: {before}, {after}"
                    cases.append(Case(way, name, held, true_shares(data, tray, after), shares(found)))
    return cases


def shares(found: Mapping[str, Any]) -> Shares:
    """Return the eaten share of each food of a summary."""
    return {one["label"]: one["eaten_share"]["value"] for one in found["eaten"]["items"]}


def figures(cases: Sequence[Case]) -> list[Figure]:
    """Return the worst food of each way."""
    told = []
    for way in dict.fromkeys(case.way for case in cases):
        those = [case for case in cases if case.way == way]
        worst = max(points for case in those for points in case.points().values())
        bar = BAR if all(case.held for case in those) else None
        told.append(Figure(f"eaten share, {way}: worst food", worst, bar, unit="points"))
    return told


def table(cases: Sequence[Case]) -> Table:
    """Return every food of the comparisons that are held to the bar, and of clips."""
    rows = [
        (
            case.way,
            case.name,
            label,
            f"{case.truth[label]:.1%}",
            f"{case.found[label]:.1%}" if label in case.found else "not told",
            f"{off:.1f}",
        )
        for case in cases
        if case.held or "clip" in case.way
        for label, off in case.points().items()
    ]
    return Table("Eaten share with masks", ("way", "compared", "food", "true", "measured", "points off"), rows)
