"""A cage without a child: pictures come from a function, faults from a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.adaptive import Gate, Rule, pick_threshold
from pipeline.errors import PipelineError
from pipeline.frame import Frame, Skipped
from pipeline.luma import cells_of_rgb
from pipeline.media import MediaInfo, PacketIndex, Parts


def grey_picture(place: int, size: tuple[int, int] = (36, 64)) -> np.ndarray:
    """A flat picture whose level tells its place."""
    return np.full((*size, 3), place % 256, dtype=np.uint8)


@dataclass
class FakeMedia:
    """What the cage pretends a path holds: ``frames`` pictures at ``rate`` a second, a key every ``gop``."""

    frames: int = 50
    gop: int = 10
    rate: int = 25
    kind: str = "video"
    timed: bool = True
    first_pts: int = 0
    picture: Callable[[int], np.ndarray] = grey_picture
    #: raised when the frame at this place is reached
    breaks_at: dict[int, PipelineError] = field(default_factory=dict)
    #: raised by ``index``
    index_error: PipelineError | None = None
    warnings: tuple[dict[str, str], ...] = ()

    def info(self) -> MediaInfo:
        height, width = self.picture(0).shape[:2]
        still = self.kind == "image"
        return MediaInfo(
            kind=self.kind, format="fake", codec="fake", width=width, height=height, rotation=0,
            duration_seconds=None if still else self.frames / self.rate,
            frame_rate=None if still else float(self.rate), frames=self.frames, size_bytes=1,
        )  # fmt: skip

    def packet_index(self) -> PacketIndex:
        pts = np.arange(self.frames, dtype=np.int64) + self.first_pts
        key = np.arange(self.frames) % self.gop == 0
        return PacketIndex(pts=pts, key=key, time_base=Fraction(1, self.rate), timed=self.timed)


class FakeCage:
    """Serves FakeMedia by file name; counts open requests, so that tests see that each was ended."""

    decoder = None

    def __init__(self, **media: FakeMedia) -> None:
        self.media = media
        self.warnings: tuple[dict[str, str], ...] = ()
        self.open_requests = 0
        self.decoded: list[tuple[str, int]] = []
        self.indexed: list[str] = []
        self.kills = 0

    def files(self, folder: Path) -> dict[str, Path]:
        """Make an empty file for each medium, for code that looks at the path."""
        paths = {name: folder / name for name in self.media}
        for path in paths.values():
            path.touch()
        return paths

    def probe(self, path: Path) -> MediaInfo:
        self.warnings = ()
        return self.media[path.name].info()

    def packets(self, path: Path, tick: Callable[[], None] = lambda: None) -> bytes:
        return b"the packets of " + path.name.encode()

    def index(self, path: Path, tick: Callable[[], None] = lambda: None, *, parts: Parts | None = None) -> PacketIndex:
        self.indexed.append(path.name)
        tick()
        media = self.media[path.name]
        if media.index_error is not None:
            raise media.index_error
        return media.packet_index()

    def pick_threshold(self, path, wanted, gate, keep, tick=lambda: None) -> tuple[float, int]:
        tick()
        media = self.media[path.name]
        looks = [(place, cells_of_rgb(media.picture(place))) for place in wanted.tolist()]
        return pick_threshold(looks, Rule.of(gate), media.packet_index(), keep)

    def frames(
        self,
        path: Path,
        wanted: np.ndarray,
        *,
        width: int | None = None,
        report_from: int = 0,
        gate: Mapping[str, float] | None = None,
        parts: Parts | None = None,
    ) -> Iterator[Frame | Skipped]:
        media = self.media[path.name]
        rule = Gate(Rule.of(gate), media.packet_index()) if gate is not None else None
        self.open_requests += 1
        try:
            for place in wanted.tolist():
                if place in media.breaks_at:
                    raise media.breaks_at[place]
                self.decoded.append((path.name, place))
                pts = place + media.first_pts
                if rule is not None and not rule.keeps(place, lambda place=place: cells_of_rgb(media.picture(place))):
                    if place >= report_from:
                        yield Skipped(((place, pts, pts / media.rate),))
                    continue
                yield Frame(media.picture(place), place, pts, pts / media.rate, 1.0, place >= report_from)
            self.warnings += media.warnings
        finally:
            self.open_requests -= 1

    def kill(self) -> None:
        self.kills += 1
