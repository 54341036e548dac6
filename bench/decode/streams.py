"""Makes the bench's streams: three shared clips joined and encoded anew, once, kept in a folder.

Needs the ffmpeg command line with libx264, libx265 and libsvtav1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".local" / "bench"
CLIPS = ("coffee_pour", "cups", "juggle")
_FPS = "30000/1001"
#: name: (how often the three clips are played, height, encoder's arguments)
_RECIPES = {
    "h264-720p-gop250": (2, 720, "-c:v libx264 -g 250"),
    "h264-720p-gop30": (2, 720, "-c:v libx264 -g 30"),
    "h264-720p-gop12": (2, 720, "-c:v libx264 -g 12"),
    "h264-1080p-gop30": (1, 1080, "-c:v libx264 -g 30"),
    "hevc-720p-gop250": (1, 720, "-c:v libx265 -g 250 -x265-params log-level=error"),
    "av1-720p-gop240": (1, 720, "-c:v libsvtav1 -preset 8 -g 240"),
}
#: the same packets so many times over, joined without encoding: for what must not grow with length
_LONGER = {
    "h264-720p-gop250-x5": ("h264-720p-gop250", 5),
    "h264-1080p-gop30-x5": ("h264-1080p-gop30", 5),
    "h264-1080p-gop30-2h": ("h264-1080p-gop30", 242),
}


class MissingTool(Exception):
    """Something that the bench cannot do without is not installed."""


def ffmpeg() -> str:
    """Return the ffmpeg command. Raises: MissingTool."""
    found = shutil.which("ffmpeg")
    if found is None:
        raise MissingTool(
            "the bench measures against the ffmpeg command line, which is not installed: "
            "apt-get install ffmpeg (Debian, Ubuntu), dnf install ffmpeg (Fedora), brew install ffmpeg (macOS)"
        )
    return found


def clips_folder() -> Path:
    """Return where the shared clips lie: ``$FQ_SHARED`` or ``../shared`` beside the checkout. Raises: MissingTool."""
    folder = Path(os.environ.get("FQ_SHARED") or REPOSITORY.parent / "shared") / "data" / "videos"
    if not (folder / f"{CLIPS[0]}.mp4").is_file():
        raise MissingTool(f"no clips in {folder}: set FQ_SHARED to the folder that holds data/videos")
    return folder


class Streams:
    """The streams by name, made when first asked for."""

    def __init__(self, folder: Path = CACHE) -> None:
        self._folder = folder

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that ``path`` knows."""
        return (*_RECIPES, *_LONGER)

    def path(self, name: str) -> Path:
        """Return the file of a stream. Raises: MissingTool, KeyError, subprocess.CalledProcessError."""
        made = self._folder / f"{name}.mp4"
        if made.is_file():
            return made
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f"{name}.{os.getpid()}.making.mp4"
        print(f"making {made.name} ...", file=sys.stderr, flush=True)
        try:
            subprocess.run(
                [*self._command(name), str(unfinished)], check=True, timeout=1800, env={**os.environ, "SVT_LOG": "1"}
            )
            unfinished.replace(made)
        finally:
            unfinished.unlink(missing_ok=True)
        return made

    def _command(self, name: str) -> list[str]:
        start = [ffmpeg(), "-v", "error", "-nostdin", "-y"]
        if name in _LONGER:
            source, times = _LONGER[name]
            return [*start, "-stream_loop", str(times - 1), "-i", str(self.path(source)), "-c", "copy"]
        times, height, encoder = _RECIPES[name]
        clips = [clips_folder() / f"{clip}.mp4" for clip in CLIPS] * times
        inputs = [part for clip in clips for part in ("-i", str(clip))]
        scaled = [f"[{n}:v]fps={_FPS},scale=-2:{height},setsar=1[v{n}]" for n in range(len(clips))]
        joined = "".join(f"[v{n}]" for n in range(len(clips)))
        graph = ";".join([*scaled, f"{joined}concat=n={len(clips)}:v=1:a=0[out]"])
        return [*start, *inputs, "-filter_complex", graph, "-map", "[out]", "-an", "-pix_fmt", "yuv420p",
                *encoder.split()]  # fmt: skip
