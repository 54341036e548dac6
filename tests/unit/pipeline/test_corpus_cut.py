"""Films that end early or have holes: what a full decode shows is shown, and the result says what is missing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.errors import MediaError
from pipeline.frame import Frame
from tests.media import Clip, cut, damage, read_barcode
from tests.reference_decode import Reference, reference_decode

SHORT = {"preset": "veryfast", "g": "20"}
#: each container that tells where its packets are in another way
WHOLE = [
    Clip("faststart.mp4", options=SHORT, container_options={"movflags": "faststart"}),
    Clip("fragments.mp4", options=SHORT, container_options={"movflags": "frag_keyframe+empty_moov"}),
    Clip("film.mkv", options=SHORT),
    Clip("film.ts", options=SHORT),
    Clip("hevc.ts", codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none:keyint=20"}),
    Clip("film.avi", codec="mpeg4", options={"bf": "2", "g": "12"}),
    Clip("film.flv", options=SHORT),
    Clip("film.mpg", codec="mpeg2video", options={"bf": "2", "g": "12"}),
    Clip("film.webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "30"}),
    Clip("film.h264", options=SHORT),
    Clip("film.wmv", codec="wmv2"),
]
#: of 90 frames; where the index of the container comes first, or stands with each part, much of a cut film is there
TENTHS = range(1, 10)


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


def assert_choices(cage: Cage, path: Path, reference: Reference) -> int:
    """Each choice of frames gives exactly those that a full decode shows; returns how many there are of all.

    A picture whose packet is cut may be in the index and not come out; then the answer says so. One that a full decode
    loses with the packet after it may come where that packet is not decoded; it shows its own number.
    """
    cage.probe(path)
    index = cage.index(path)
    count = len(index)
    # counted frames have no names but their places, and only the last may be missing
    shown = dict(zip(reference.pts if index.timed else range(count), reference.checksums, strict=False))
    random = np.random.default_rng(count)
    choices = [np.arange(count), np.arange(0, count, 7), np.arange(count // 2, count), np.array([count - 1])]
    for wanted in [*choices, *(np.flatnonzero(random.random(count) < share) for share in (0.1, 0.5))]:
        places = [int(place) for place in wanted if index.pts[place] in shown]
        if not places and len(wanted):
            with pytest.raises(MediaError, match="could be decoded"):
                list(cage.frames(path, wanted))
            continue
        cage.probe(path)
        frames = list(cage.frames(path, wanted))
        more = {frame.index for frame in frames if frame.pts not in shown and index.timed}
        assert [frame.index for frame in frames] == sorted({*places, *more})
        for frame in frames:
            if frame.index in more:
                assert read_barcode(frame.image) == frame.index
            else:
                assert _checksum(frame) == shown[index.pts[frame.index]]
        told = any("Left out" in warning["message"] for warning in cage.warnings)
        assert told == (len(frames) < len(wanted))
    assert shown.keys() <= set(index.pts.tolist())
    return len(shown)


def _checksum(frame: Frame) -> int:
    return zlib.crc32(np.ascontiguousarray(frame.image))


def _all_frames(cage: Cage, path: Path) -> list[Frame]:
    cage.probe(path)
    return list(cage.frames(path, np.arange(len(cage.index(path)))))


@pytest.mark.parametrize("clip", WHOLE, ids=lambda clip: clip.name)
def test_a_film_cut_at_any_tenth_shows_what_a_full_decode_shows(cage: Cage, tmp_path: Path, clip: Clip) -> None:
    whole, shown = clip.write(tmp_path), []
    for tenth in TENTHS:
        path = cut(whole, tmp_path / f"{tenth}-{clip.name}", tenth / 10)
        reference = reference_decode(path)
        if reference.pts:
            shown.append(assert_choices(cage, path, reference))
        else:
            with pytest.raises(MediaError):
                _all_frames(cage, path)
    assert shown == sorted(shown)
    assert len(shown) >= 5
    assert shown[-1] >= 70


def test_what_a_full_decode_shows_of_a_refused_packet_is_what_the_memory_held(cage: Cage, tmp_path: Path) -> None:
    clip = next(clip for clip in WHOLE if clip.name == "film.mpg")
    path = cut(clip.write(tmp_path), tmp_path / "cut.mpg", 0.8)
    (freed, refused), (held, _) = _plain_decode(path, keep=False), _plain_decode(path, keep=True)
    assert {pts for pts in held if held[pts] != freed[pts]} == set(refused)
    assert len(refused) == 1
    assert refused[0] not in {frame.pts for frame in _all_frames(cage, path)}


def _plain_decode(path: Path, *, keep: bool) -> tuple[dict[int | None, int], list[int | None]]:
    """Decode everything in order; return each picture's checksum, and which packets the decoder refused."""
    shown, refused, kept = dict[int | None, int](), list[int | None](), list[av.VideoFrame]()
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        context.thread_count = 1
        for packet in container.demux(video=0):
            try:
                frames = context.decode(packet)
            except av.FFmpegError:
                refused.append(packet.pts)
                continue
            shown |= {frame.pts: zlib.crc32(frame.to_ndarray(format="rgb24")) for frame in frames}
            if keep:
                kept += frames
    return shown, refused


def test_a_stream_that_turns_up_on_the_way_ends_nothing(cage: Cage, tmp_path: Path) -> None:
    data = bytearray(Clip("film.ts", frames=300, options=SHORT).write(tmp_path).read_bytes())
    starts = [place for place in range(0, len(data), 188) if data[place + 1] & 0x5F == 0x41 and not data[place + 2]]
    data[starts[-40] + 2] = 4  # a picture that nobody refers to goes to a stream of which nothing was said
    path = tmp_path / "strays.ts"
    path.write_bytes(data)
    reference = reference_decode(path)
    assert assert_choices(cage, path, reference) == len(reference.pts) >= 298


@pytest.mark.parametrize("clip", [clip for clip in WHOLE if clip.name.endswith(".ts")], ids=lambda clip: clip.name)
@pytest.mark.parametrize("every", [3000, 7000, 11_000])
def test_holes_in_a_transport_stream_change_no_picture_that_is_shown(
    cage: Cage, tmp_path: Path, clip: Clip, every: int
) -> None:
    whole = clip.write(tmp_path)
    path = damage(whole, tmp_path / "damaged.ts", range(every, whole.stat().st_size - 200, every))
    reference = reference_decode(path)
    cage.probe(path)
    index = cage.index(path)
    assert index.timed
    shown = dict(zip(reference.pts, reference.checksums, strict=True))
    for wanted in (np.arange(len(index)), np.arange(0, len(index), 7), np.arange(len(index) // 2, len(index))):
        frames = list(cage.frames(path, wanted))
        assert [_checksum(frame) for frame in frames] == [shown.get(frame.pts) for frame in frames]
        assert len(frames) >= len(wanted) // 2
    if every == 3000:  # one hole may hit the stuffing, or take a picture away so neatly that no decoder notices
        assert "media.damaged" in {warning["code"] for warning in cage.warnings}
