"""Films opened as the decoder finds them: once indexed, then opened anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.container import OpenVideo, open_video
from pipeline.index import PacketScan, scan_packets
from pipeline.media import MediaLimits
from pipeline.sniff import sniff_file
from tests.media import Clip, remux

#: a remux of the first of some clips, whose first frames an edit list hides
EDIT_LIST, HIDDEN = "edit_list.mp4", 25


def written(clips: Sequence[Clip], name: str, folder: Path) -> Path:
    """Write the clip of that name, or the one with an edit list, into a folder."""
    if name == EDIT_LIST:
        return remux(clips[0].write(folder), folder / name, shift=-512 * HIDDEN)
    return next(clip for clip in clips if clip.name == name).write(folder)


@contextmanager
def opened_anew(path: Path) -> Iterator[tuple[OpenVideo, PacketScan]]:
    """Index a film; give it opened anew, at its start, with what the index pass saw."""
    limits = MediaLimits()
    with path.open("rb") as file:
        found = sniff_file(file.fileno())
        with open_video(file.fileno(), found, limits) as video:
            scan = scan_packets(video, limits)
        with open_video(file.fileno(), found, limits) as video:
            yield video, scan
