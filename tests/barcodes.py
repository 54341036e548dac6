"""The clips on which decoding must be exact: one for each thing that makes players miscount."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av

from tests.media import Clip, cut, damage, remux, with_cover

_FAST = {"preset": "veryfast"}
_HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=15:open-gop=0"}
_ALT_REF = {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16", "g": "40"}


def _x264(**params: object) -> dict[str, str]:
    return {**_FAST, "x264-params": ":".join(f"{name.replace('_', '-')}={value}" for name, value in params.items())}


#: encoded from scratch; the name says what is special
PLAIN = [
    Clip("gop12.mp4", options={**_FAST, "g": "12"}),
    Clip("gop250.mp4"),
    Clip("no_b_frames.mp4", options={**_FAST, "bf": "0", "g": "30"}),
    Clip("open_gop.mp4", options=_x264(open_gop=1, keyint=15, bframes=3, scenecut=0)),
    Clip("intra_refresh.mp4", options=_x264(intra_refresh=1, keyint=20)),
    Clip("fragmented.mp4", options={**_FAST, "g": "20"}, container_options={"movflags": "frag_keyframe+empty_moov"}),
    Clip("matroska.mkv", options={**_FAST, "g": "20"}),
    Clip("hevc_open.mp4", codec="libx265", options={**_HEVC, "x265-params": "log-level=none:keyint=15:open-gop=1"}),
    Clip("hevc_closed.mp4", codec="libx265", options=_HEVC),
    Clip("hevc.mkv", codec="libx265", options=_HEVC),
    Clip("vp9.webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "30"}),
    Clip("vp9_hidden_frames.webm", codec="libvpx-vp9", options=_ALT_REF),
    Clip("vp8.webm", codec="libvpx", options=_ALT_REF),
    Clip("av1.mkv", codec="libsvtav1", options={"preset": "12", "g": "30"}),
    Clip("mpeg4_b.mp4", codec="mpeg4", options={"bf": "2", "g": "12"}),
    Clip("mpeg4_b.avi", codec="mpeg4", options={"bf": "2", "g": "12"}),
    Clip("h264.avi", options={**_FAST, "g": "12"}),
    Clip("mpeg2.mpg", codec="mpeg2video", options={"bf": "2", "g": "12"}),
    Clip("mpeg1.mpg", codec="mpeg1video", options={"bf": "2", "g": "12"}),
    Clip("transport.ts", options={**_FAST, "g": "20"}),
    Clip("raw.h264", options={**_FAST, "g": "20"}),
    Clip("raw.hevc", codec="libx265", options=_HEVC),
    Clip("raw.m2v", codec="mpeg2video", options={"bf": "2"}),
    Clip("raw.mjpeg", codec="mjpeg", pixel_format="yuvj420p"),
    Clip("windows.wmv", codec="wmv2"),
    Clip("flash.flv"),
    Clip("prores.mov", codec="prores_ks", pixel_format="yuv422p10le"),
    Clip("ffv1.mkv", codec="ffv1"),
    Clip("variable_rate.mp4", rate=75, times=lambda number: 3 * number + number * number % 3),
    Clip("turned_90.mp4", rotation=-90),
    Clip("turned_180.mp4", rotation=180),
    Clip("odd_size.mp4", width=161, height=97, pixel_format="yuv444p"),
    Clip("ten_bit.mp4", pixel_format="yuv420p10le"),
    Clip("one_frame.mp4", frames=1),
]


def _shifted(folder: Path) -> Path:
    """Pictures 0 to 6 hidden by an edit list, as after cutting a film without encoding it again."""
    source = Clip("whole.mp4", options={**_FAST, "g": "12"}).write(folder)
    return remux(source, folder / "edit_list.mp4", shift=-512 * 7)


def _hidden(folder: Path) -> Path:
    """Pictures 5 and 21 marked as references that are never shown."""

    def hide(number: int, packet: av.Packet) -> av.Packet:
        if number not in (5, 21):
            return packet
        hidden = av.Packet(bytes([bytes(packet)[0] & ~0x10]) + bytes(packet)[1:])
        hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
        return hidden

    source = Clip("whole.webm", codec="libvpx", options={"deadline": "realtime", "cpu-used": "8"}).write(folder)
    return remux(source, folder / "vp8_hidden_frames.webm", change=hide)


def _mid_gop(folder: Path) -> Path:
    source = Clip("whole.ts", options={**_FAST, "g": "20"}).write(folder)
    return remux(source, folder / "starts_mid_gop.ts", keep=lambda number: number >= 7)


def _cut_matroska(folder: Path) -> Path:
    return cut(Clip("whole.mkv", options={**_FAST, "g": "20"}).write(folder), folder / "cut.mkv", 0.6)


def _joined(folder: Path) -> Path:
    """Two recordings in one file, whose clock starts again."""
    one = Clip("one.ts", options={**_FAST, "g": "20"}, frames=40).write(folder)
    (folder / "joined.ts").write_bytes(one.read_bytes() * 2)
    return folder / "joined.ts"


def _cover(folder: Path) -> Path:
    return with_cover(folder / "cover.mp4")


#: made from others
DERIVED: dict[str, Callable[[Path], Path]] = {
    "edit_list.mp4": _shifted,
    "vp8_hidden_frames.webm": _hidden,
    "starts_mid_gop.ts": _mid_gop,
    "cut.mkv": _cut_matroska,
    "joined.ts": _joined,
    "cover.mp4": _cover,
}
NAMES = [*(clip.name for clip in PLAIN), *DERIVED]


def make(name: str, folder: Path) -> Path:
    """Make one of ``NAMES`` in a folder."""
    if name in DERIVED:
        return DERIVED[name](folder)
    return next(clip for clip in PLAIN if clip.name == name).write(folder)


def make_damaged(folder: Path) -> Path:
    """Make a transport stream with holes."""
    source = Clip("healthy.ts", options={**_FAST, "g": "20"}).write(folder)
    return damage(source, folder / "damaged.ts", range(9000, source.stat().st_size - 200, 9000))


def packet_count(path: Path) -> int:
    """Count the video packets of a file."""
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(container.streams.best("video")) if packet.size)
