"""The decoder leaves out only pictures that nobody wants and that no other picture is made from."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.container import OpenVideo, open_video
from pipeline.index import PacketScan, packet_index, scan_packets
from pipeline.media import MediaLimits, PacketIndex
from pipeline.skipping import Skipping
from pipeline.sniff import sniff_file
from tests.media import Clip
from tests.reference_decode import reference_decode

FRAMES = 60
FAST = {"preset": "veryfast", "bf": "3"}
OLD = {"bf": "2", "g": "12"}
LEAVE_OUT = [
    Clip("b.mp4", frames=FRAMES, options=FAST), Clip("b.ts", frames=FRAMES, options=FAST),
    Clip("b_hevc.mp4", codec="libx265", frames=FRAMES, options={**FAST, "x265-params": "log-level=none"}),
    Clip("b_hevc.ts", codec="libx265", frames=FRAMES, options={**FAST, "x265-params": "log-level=none"}),
    Clip("b_mpeg4.mp4", codec="mpeg4", frames=FRAMES, options=OLD),
    Clip("b_mpeg2.ts", codec="mpeg2video", frames=FRAMES, options=OLD),
]  # fmt: skip
LEAVE_NOTHING_OUT = [
    Clip("no_b.mp4", frames=FRAMES, options={"preset": "veryfast", "bf": "0"}),
    Clip("vp9.webm", codec="libvpx-vp9", frames=FRAMES, options={"cpu-used": "8", "deadline": "realtime"}),
]
#: pictures in three layers, those of each layer made from lower ones
LAYERS = Clip(
    "layers.mp4", codec="libx265", frames=FRAMES,
    options={"preset": "veryfast", "x265-params": "temporal-layers=3:bframes=7:b-adapt=0:keyint=24:log-level=none"},
)  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[tuple[OpenVideo, PacketScan, PacketIndex]]:
    """Open a clip twice: to index it, and to decode it."""
    limits = MediaLimits()
    with path.open("rb") as file:
        found = sniff_file(file.fileno())
        with open_video(file.fileno(), found, limits) as video:
            scan = scan_packets(video, limits)
            index = packet_index(scan, video.time_base, video.rate)
        with open_video(file.fileno(), found, limits) as video:
            video.stream.codec_context.thread_type = "SLICE"
            yield video, scan, index


def given(video: OpenVideo, skipping: Skipping) -> list[int | None]:
    """Decode every packet and return the timestamps of the pictures that come out."""
    context, out = video.stream.codec_context, list[int | None]()
    for packet in video.container.demux(video.stream):
        if packet.size:
            skipping.prepare(packet)
            out += [frame.pts for frame in context.decode(packet)]
    return out + [frame.pts for frame in context.decode(None)]


@pytest.mark.parametrize("clip", LEAVE_OUT, ids=lambda clip: clip.name)
def test_about_half_the_pictures_are_left_out_and_no_wanted_one(clip: Clip, tmp_path: Path) -> None:
    with opened(clip.write(tmp_path)) as (video, scan, index):
        wanted = index.pts[::10]
        out = given(video, Skipping(video, wanted, scan.top_layer))
        assert set(wanted.tolist()) <= set(out)
        assert len(out) < 0.8 * FRAMES


@pytest.mark.parametrize("clip", LEAVE_NOTHING_OUT, ids=lambda clip: clip.name)
def test_where_every_picture_is_referred_to_none_is_left_out(clip: Clip, tmp_path: Path) -> None:
    with opened(clip.write(tmp_path)) as (video, scan, index):
        assert len(given(video, Skipping(video, index.pts[::10], scan.top_layer))) == FRAMES


def test_nothing_is_left_out_where_frames_are_counted(tmp_path: Path) -> None:
    with opened(LEAVE_OUT[0].write(tmp_path)) as (video, _, _):
        assert len(given(video, Skipping(video, None, 0))) == FRAMES


def test_nothing_is_left_out_after_damage(tmp_path: Path) -> None:
    with opened(LEAVE_OUT[0].write(tmp_path)) as (video, _, index):
        skipping = Skipping(video, index.pts[:1], 0)
        skipping.stop()
        assert len(given(video, skipping)) == FRAMES


def test_only_the_topmost_layer_of_hevc_is_left_out(tmp_path: Path) -> None:
    path = LAYERS.write(tmp_path)
    with opened(path) as (video, scan, index):
        assert scan.top_layer == 2
        few = len(given(video, Skipping(video, index.pts[::10], scan.top_layer)))
    with opened(path) as (video, _, index):
        assert few < len(given(video, Skipping(video, index.pts[::10], scan.top_layer + 1))) == FRAMES


def test_pictures_made_from_several_layers_are_those_of_a_full_decode(tmp_path: Path) -> None:
    path = LAYERS.write(tmp_path)
    reference, random = reference_decode(path), np.random.default_rng(3)
    with Cage() as cage:
        count = len(cage.index(path))
        for share in (0.05, 0.1, 0.3, 0.6):
            wanted = np.flatnonzero(random.random(count) < share)
            frames = list(cage.frames(path, wanted))
            assert [frame.index for frame in frames] == wanted.tolist()
            assert [zlib.crc32(frame.image) for frame in frames] == [reference.checksums[place] for place in wanted]
