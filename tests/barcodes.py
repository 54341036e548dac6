"""The clips on which decoding must be exact: one for each thing that makes players miscount."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import av

from tests import crafted
from tests.media import Clip, cut, damage, remux, with_cover

_FAST = {"preset": "veryfast"}
_HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=15:open-gop=0"}
_ALT_REF = {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16", "g": "40"}


def _x264(**params: object) -> dict[str, str]:
    return {**_FAST, "x264-params": ":".join(f"{name.replace('_', '-')}={value}" for name, value in params.items())}


_SHORT = {**_FAST, "g": "20"}
_OPEN = _x264(open_gop=1, keyint=15, bframes=3, scenecut=0)
_HEVC_OPEN = {**_HEVC, "x265-params": "log-level=none:keyint=15:open-gop=1"}
_LAYERS = {"preset": "medium", "x265-params": "log-level=none:keyint=40:bframes=8:temporal-layers=3"}


#: encoded from scratch; the name says what is special
PLAIN = [
    Clip("gop12.mp4", options={**_FAST, "g": "12"}),
    Clip("gop250.mp4"),
    Clip("no_b_frames.mp4", options={**_FAST, "bf": "0", "g": "30"}),
    Clip("open_gop.mp4", options=_OPEN),
    Clip("intra_refresh.mp4", options=_x264(intra_refresh=1, keyint=20)),
    Clip("fragmented.mp4", options={**_FAST, "g": "20"}, container_options={"movflags": "frag_keyframe+empty_moov"}),
    Clip("matroska.mkv", options={**_FAST, "g": "20"}),
    Clip("hevc_open.mp4", codec="libx265", options=_HEVC_OPEN),
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
    Clip("pyramid.mp4", options=_x264(bframes=8, b_pyramid="normal", ref=6, keyint=60, scenecut=0, weightp=2)),
    Clip("low_delay.ts", options={**_FAST, "tune": "zerolatency", "g": "20"}),
    Clip("open_gop.ts", options=_OPEN),
    Clip("open_gop.mkv", options=_OPEN),
    Clip("interlaced.mp4", options=_x264(tff=1, keyint=20)),
    Clip("interlaced.mpg", codec="mpeg2video", options={"flags": "+ildct+ilme", "bf": "2", "g": "12"}),
    Clip("mpeg2.ts", codec="mpeg2video", options={"bf": "2", "g": "12"}),
    Clip("full_range.mp4", pixel_format="yuvj420p", color_range=2),
    Clip("cropped.mp4", height=90),
    Clip("turned_270.mp4", rotation=90),
    Clip("turned_90_hevc.mov", codec="libx265", options=_HEVC, rotation=-90),
    Clip("ten_bit_hevc.mp4", codec="libx265", pixel_format="yuv420p10le", options=_HEVC),
    Clip("hevc_layers.mp4", codec="libx265", options=_LAYERS),
    Clip("hevc_open.ts", codec="libx265", options=_HEVC_OPEN),
    Clip("vp9_alpha.webm", codec="libvpx-vp9", pixel_format="yuva420p", options={"deadline": "realtime", "g": "30"}),
    Clip("vp8.ivf", codec="libvpx", options=_ALT_REF),
    Clip("av1.mp4", codec="libsvtav1", options={"preset": "12", "g": "30"}),
    Clip("negative_offsets.mp4", options=_SHORT, container_options={"movflags": "negative_cts_offsets"}),
    Clip("no_edit_list.mp4", options=_SHORT, container_options={"use_editlist": "0"}),
    Clip("dash.mp4", options=_SHORT, container_options={"movflags": "dash+default_base_moof+frag_keyframe"}),
    Clip("before_zero.mp4", options=_SHORT, times=lambda number: number - 20),
    Clip("before_zero.ts", options=_SHORT, times=lambda number: number - 20),
    Clip("late.mp4", options=_SHORT, times=lambda number: number + 250),
    Clip("late.mkv", options=_SHORT, times=lambda number: number + 250),
    Clip("too_fast.mkv", rate=2000, options=_SHORT),
    Clip("variable_rate.mkv", rate=75, times=lambda number: 3 * number + number * number % 3),
    Clip("variable_rate.ts", rate=75, times=lambda number: 3 * number + number * number % 3),
]

#: what else is accepted, one clip for each decoder
OTHERS = [
    Clip("wmv1.wmv", codec="wmv1"),
    Clip("msmpeg4.avi", codec="msmpeg4"),
    Clip("msmpeg4v2.avi", codec="msmpeg4v2"),
    Clip("flv1.flv", codec="flv"),
    Clip("h261.avi", codec="h261", width=176, height=144),
    Clip("h263.mov", codec="h263", width=128, height=96),
    Clip("h263p.avi", codec="h263p", width=176, height=144),
    Clip("svq1.mov", codec="svq1", pixel_format="yuv410p"),
    Clip("cinepak.mov", codec="cinepak", pixel_format="rgb24", frames=30),
    Clip("qtrle.mov", codec="qtrle", pixel_format="rgb24"),
    Clip("png.mov", codec="png", pixel_format="rgb24"),
    Clip("mjpeg.mov", codec="mjpeg", pixel_format="yuvj422p"),
    Clip("jpeg2000.mov", codec="jpeg2000", pixel_format="yuv444p", frames=30),
    Clip("dnxhr.mxf", codec="dnxhd", width=256, height=120, pixel_format="yuv422p", options={"profile": "dnxhr_sq"}),
    Clip("dv.avi", codec="dvvideo", width=720, height=576, frames=12),
    Clip("cineform.mov", codec="cfhd", pixel_format="yuv422p10le"),
    Clip("huffyuv.avi", codec="huffyuv", pixel_format="yuv422p"),
    Clip("ffvhuff.avi", codec="ffvhuff"),
    Clip("utvideo.avi", codec="utvideo"),
    Clip("magicyuv.avi", codec="magicyuv", pixel_format="yuv444p"),
    Clip("v210.mov", codec="v210", pixel_format="yuv422p10le", width=192, frames=30),
    Clip("gray.mkv", codec="ffv1", pixel_format="gray"),
    Clip("bare.y4m", codec="wrapped_avframe"),
    Clip("bare.avi", codec="rawvideo"),
    Clip("bare.nut", codec="rawvideo"),
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


def _open_from(folder: Path, name: str, **clip: object) -> Path:
    """An open GOP's film from its third keyframe on: pictures lead it whose references are gone."""
    source = Clip(f"whole.{name}", **{"options": _OPEN, **clip}).write(folder)  # type: ignore[arg-type]
    return crafted.from_key(source, folder / name, 2)


def _from_seventh(folder: Path, name: str, **clip: object) -> Path:
    source = Clip(f"whole.{name}", **{"options": {**_FAST, "g": "12"}, **clip}).write(folder)  # type: ignore[arg-type]
    return remux(source, folder / name, keep=lambda number: number >= 7)


def _transport(folder: Path) -> Path:
    return Clip("sound.ts", options=_SHORT).write(folder)


def _exif(folder: Path, name: str, orientation: int) -> Path:
    source = Clip("plain.avi", codec="mjpeg", pixel_format="yuvj420p", frames=30).write(folder)
    return crafted.with_exif(source, folder / name, orientation)


def _edited(folder: Path, name: str, *edits: tuple[int, int]) -> Path:
    """Show parts of a film, as an edit list says; (milliseconds, first picture) of each, first picture -1: nothing."""
    source = Clip(f"whole.{name}", options={**_FAST, "g": "12"}).write(folder)
    times = [(length, 1024 + 512 * first if first >= 0 else -1) for length, first in edits]  # 2 frames of delay
    return crafted.with_edits(source, folder / name, times)


#: made from others
DERIVED: dict[str, Callable[[Path], Path]] = {
    "edit_list.mp4": _shifted,
    "two_edits.mp4": lambda folder: _edited(folder, "two_edits.mp4", (800, 10), (800, 50)),
    "edited_backwards.mp4": lambda folder: _edited(folder, "edited_backwards.mp4", (800, 50), (800, 10)),
    "starts_with_nothing.mp4": lambda folder: _edited(folder, "starts_with_nothing.mp4", (700, -1), (800, 10)),
    "vp8_hidden_frames.webm": _hidden,
    "starts_mid_gop.ts": _mid_gop,
    "starts_mid_gop.mkv": lambda folder: _from_seventh(folder, "starts_mid_gop.mkv"),
    "starts_mid_gop.mp4": lambda folder: _from_seventh(folder, "starts_mid_gop.mp4"),
    "starts_mid_gop.mpg": lambda folder: _from_seventh(
        folder, "starts_mid_gop.mpg", codec="mpeg2video", options={"bf": "2", "g": "12"}
    ),
    "starts_open.mp4": lambda folder: _open_from(folder, "starts_open.mp4"),
    "starts_open.mkv": lambda folder: _open_from(folder, "starts_open.mkv"),
    "starts_open.ts": lambda folder: _open_from(folder, "starts_open.ts"),
    "starts_open_hevc.mp4": lambda folder: _open_from(
        folder, "starts_open_hevc.mp4", codec="libx265", options=_HEVC_OPEN
    ),
    "starts_open_hevc.ts": lambda folder: _open_from(
        folder, "starts_open_hevc.ts", codec="libx265", options=_HEVC_OPEN
    ),
    "cut.mkv": _cut_matroska,
    "joined.ts": _joined,
    "cover.mp4": _cover,
    "sound_first.mp4": lambda folder: crafted.audio_first(folder / "sound_first.mp4"),
    "sound_first.mkv": lambda folder: crafted.audio_first(folder / "sound_first.mkv"),
    "sound_first.ts": lambda folder: crafted.audio_first(folder / "sound_first.ts"),
    "same_pts.ts": lambda folder: crafted.same_pts(_transport(folder), folder / "same_pts.ts", (20, 41)),
    "clock_wraps.ts": lambda folder: crafted.wrapping(_transport(folder), folder / "clock_wraps.ts"),
    "some_pts.ts": lambda folder: crafted.without_times(
        _transport(folder), folder / "some_pts.ts", lambda number: number % 5 == 3
    ),
    "first_pts_only.ts": lambda folder: crafted.without_times(
        _transport(folder), folder / "first_pts_only.ts", lambda number: number > 0
    ),
    "packed_b.avi": crafted.packed,
    "gains_sound.ts": lambda folder: crafted.gaining_sound(folder, "gains_sound.ts"),
    "exif.avi": lambda folder: _exif(folder, "exif.avi", 1),
    "exif_turned.avi": lambda folder: _exif(folder, "exif_turned.avi", 6),
    "grows.ts": lambda folder: crafted.growing(folder, "grows.ts"),
    "grows.h264": lambda folder: crafted.growing(folder, "grows.h264"),
}
NAMES = [*(clip.name for clip in (*PLAIN, *OTHERS)), *DERIVED]

#: what the barcodes of the shown frames say where it is not 0, 1, 2 ...
NUMBERS: dict[str, Sequence[int]] = {
    "before_zero.mp4": range(20, 90),
    "edit_list.mp4": range(7, 90),
    "two_edits.mp4": [*range(10, 30), *range(50, 70)],
    "edited_backwards.mp4": [*range(50, 70), *range(10, 30)],
    "starts_with_nothing.mp4": range(10, 30),
    "starts_mid_gop.ts": range(20, 90),
    **dict.fromkeys(("starts_mid_gop.mkv", "starts_mid_gop.mp4", "starts_mid_gop.mpg"), range(12, 90)),
    **dict.fromkeys(("starts_open.mp4", "starts_open.mkv", "starts_open.ts"), range(30, 90)),
    **dict.fromkeys(("starts_open_hevc.mp4", "starts_open_hevc.ts"), range(30, 90)),
    "joined.ts": [*range(40), *range(40)],
    "gains_sound.ts": [*range(30), *range(60)],
    "grows.ts": [*range(30), *range(60)],
    "grows.h264": [*range(30), *range(60)],
    "vp8_hidden_frames.webm": [number for number in range(90) if number not in (5, 21)],
}
#: quarter turns, clockwise, that make the clip upright
TURNS = {"turned_90.mp4": 1, "turned_90_hevc.mov": 1, "turned_180.mp4": 2, "turned_270.mp4": 3, "exif_turned.avi": 1}


def numbers(name: str) -> Sequence[int]:
    """Return the numbers burned in, frame by frame in presentation order, at least as many as are shown."""
    return NUMBERS.get(name, range(90))


def make(name: str, folder: Path) -> Path:
    """Make one of ``NAMES`` in a folder."""
    if name in DERIVED:
        return DERIVED[name](folder)
    return next(clip for clip in (*PLAIN, *OTHERS) if clip.name == name).write(folder)


def make_damaged(folder: Path) -> Path:
    """Make a transport stream with holes."""
    source = Clip("healthy.ts", options={**_FAST, "g": "20"}).write(folder)
    return damage(source, folder / "damaged.ts", range(9000, source.stat().st_size - 200, 9000))


def packet_count(path: Path) -> int:
    """Count the video packets of a file."""
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(container.streams.best("video")) if packet.size)
