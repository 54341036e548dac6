"""Films of other people's cameras and test suites against a full decode, and that against the ffmpeg command."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.errors import MediaError
from pipeline.frame import Frame
from tests import barcodes
from tests.media import read_barcode
from tests.reference_decode import Reference, reference_decode
from tests.services import shared_folder

EDGE = shared_folder() / "data" / "videos" / "edge"
SILENT = sorted(path.name for path in EDGE.iterdir() if path.name != "audio_only.mp4")
#: where the frame that others show for a place is off by some, or by sixty
MISCOUNTED = ("gop250.mp4", "open_gop.mkv", "hevc_open.mp4", "edit_list.mp4", "transport.ts", "variable_rate.mp4",
              "mpeg2.mpg", "packed_b.avi")  # fmt: skip


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


def assert_same(frames: list[Frame], places: np.ndarray, reference: Reference) -> None:
    assert [frame.index for frame in frames] == places.tolist()
    checksums = [zlib.crc32(np.ascontiguousarray(frame.image)) for frame in frames]
    assert checksums == [reference.checksums[place] for place in places]


@pytest.mark.parametrize("name", SILENT)
def test_a_film_from_elsewhere_shows_what_a_full_decode_shows(cage: Cage, name: str) -> None:
    path, random = EDGE / name, np.random.default_rng(5)
    reference = reference_decode(path)
    cage.probe(path)
    index = cage.index(path)
    count = len(index)
    assert count == len(reference.pts) > 0
    assert index.timed
    assert index.pts.tolist() == reference.pts
    choices = [np.arange(count)] if count < 300 else []
    if count > 1:
        choices += [np.arange(3 % count, count, 17), np.flatnonzero(random.random(count) < 0.05)]
    for wanted in choices:
        assert_same(list(cage.frames(path, wanted)), wanted, reference)
    assert cage.warnings == ()


def test_a_film_of_sound_alone_is_refused(cage: Cage) -> None:
    with pytest.raises(MediaError) as caught:
        cage.index(EDGE / "audio_only.mp4")
    assert caught.value.code == "media.no_video"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg command is not installed")
@pytest.mark.parametrize("name", MISCOUNTED)
def test_the_full_decode_agrees_with_the_ffmpeg_command(tmp_path: Path, name: str) -> None:
    path = barcodes.make(name, tmp_path)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-noautorotate", "-i", str(path), "-map", "0:v:0", "-vsync", "0",
               "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]  # fmt: skip
    pixels = np.frombuffer(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout, np.uint8)
    reference = reference_decode(path)
    height, width = reference.sizes[0]
    pictures = pixels.reshape(-1, height, width, 3)
    assert [read_barcode(picture) for picture in pictures] == list(barcodes.numbers(name))[: len(reference.pts)]
    assert len(pictures) == len(reference.pts)
