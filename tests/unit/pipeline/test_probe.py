"""Facts and refusals come from headers, before a picture is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.errors import MediaError
from pipeline.media import MediaLimits
from tests.media import Clip, cut, many_streams, sound_only, with_cover


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


def refused(path: Path, **limits: float) -> MediaError:
    """Return the error that the probe gives under these limits."""
    with Cage(MediaLimits(**limits)) as cage, pytest.raises(MediaError) as caught:  # type: ignore[arg-type]
        cage.probe(path)
    assert caught.value.advice
    return caught.value


def test_a_video_is_described(cage: Cage, tmp_path: Path) -> None:
    path = Clip("film.mp4", frames=50, rate=25).write(tmp_path)
    info = cage.probe(path)
    assert (info.kind, info.codec, info.width, info.height, info.rotation) == ("video", "h264", 160, 96, 0)
    assert info.duration_seconds == pytest.approx(2.0)
    assert (info.frame_rate, info.frames, info.size_bytes) == (25.0, 50, path.stat().st_size)
    assert info.warnings == ()
    assert info.extra["streams"] == 1
    assert Fraction(info.extra["time_base"]) > 0


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_bytes": 500}, "media.too_large"), ({"max_pixels": 160 * 96 - 1}, "media.too_large"),
     ({"max_duration_seconds": 1.9}, "media.too_long"), ({"max_frames": 49}, "media.too_long")],
)  # fmt: skip
def test_what_exceeds_a_limit_is_refused_with_its_code(tmp_path: Path, limits: dict, code: str) -> None:
    assert refused(Clip("film.mp4", frames=50).write(tmp_path), **limits).code == code


def test_exactly_at_the_limit_is_allowed(tmp_path: Path) -> None:
    path = Clip("film.mp4", frames=50).write(tmp_path)
    limits = MediaLimits(
        max_bytes=path.stat().st_size, max_pixels=160 * 96, max_duration_seconds=2.0, max_frames=50, max_streams=1
    )
    with Cage(limits) as cage:
        assert len(list(cage.frames(path, np.arange(len(cage.index(path)))))) == cage.probe(path).frames == 50


@pytest.mark.parametrize("name", ["streams.mp4", "streams.mkv"])
def test_more_streams_than_allowed_are_refused(tmp_path: Path, name: str) -> None:
    path = many_streams(tmp_path / name, 9)
    assert refused(path, max_streams=8).code == "media.too_many_streams"
    assert refused(path, max_streams=4).code == "media.too_many_streams"
    with Cage(MediaLimits(max_streams=9)) as cage:
        assert cage.probe(path).extra["streams"] == 9


def test_sound_alone_is_refused(cage: Cage, tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        cage.probe(sound_only(tmp_path / "sound.mp4"))
    assert caught.value.code == "media.no_video"


def test_cover_art_is_not_the_film(cage: Cage, tmp_path: Path) -> None:
    info = cage.probe(with_cover(tmp_path / "cover.mp4"))
    assert (info.width, info.height, info.frames) == (160, 96, 10)


def test_a_film_without_its_index_is_told_from_other_damage(cage: Cage, tmp_path: Path) -> None:
    path = cut(Clip("film.mp4").write(tmp_path), tmp_path / "cut.mp4", 0.5)
    with pytest.raises(MediaError, match="before its index") as caught:
        cage.probe(path)
    assert caught.value.code == "media.undecodable"


@pytest.mark.parametrize("name", ["film.mkv", "film.avi", "faststart.mp4", "fragmented.mp4"])
def test_a_file_that_is_cut_short_says_so(cage: Cage, tmp_path: Path, name: str) -> None:
    flags = {"faststart.mp4": {"movflags": "faststart"}, "fragmented.mp4": {"movflags": "frag_keyframe+empty_moov"}}
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    options = {} if name.endswith("avi") else {"preset": "veryfast", "g": "15"}
    clip = Clip(name, codec=codec, options=options, container_options=flags.get(name, {}))
    whole = clip.write(tmp_path)
    assert cage.probe(whole).warnings == ()
    info = cage.probe(cut(whole, tmp_path / f"cut_{name}", 0.7))
    assert [warning["code"] for warning in info.warnings] == ["media.damaged"]
    assert cage.warnings[0] == info.warnings[0]


@pytest.mark.parametrize(("angle", "clockwise"), [(0, 0), (-90, 90), (180, 180), (90, 270)])
def test_rotation_is_told_clockwise_and_size_is_upright(cage: Cage, tmp_path: Path, angle: int, clockwise: int) -> None:
    info = cage.probe(Clip("phone.mp4", rotation=angle, frames=3).write(tmp_path))
    assert info.rotation == clockwise
    assert (info.width, info.height) == ((96, 160) if clockwise % 180 else (160, 96))


def test_a_name_means_nothing(cage: Cage, tmp_path: Path) -> None:
    path = Clip("film.mp4", frames=5).write(tmp_path).rename(tmp_path / "picture.jpg")
    assert cage.probe(path).kind == "video"


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.ts\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile film.ts\n"],
)
def test_a_playlist_is_not_followed(cage: Cage, tmp_path: Path, text: str) -> None:
    Clip("film.ts", frames=5).write(tmp_path)
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(MediaError) as caught:
        cage.probe(tmp_path / "list.mp4")
    assert caught.value.code == "media.unsupported"


def test_a_codec_nobody_supports_is_named(cage: Cage, tmp_path: Path) -> None:
    path = Clip("film.avi", codec="asv1", options={}, frames=3).write(tmp_path)
    with pytest.raises(MediaError, match="asv1") as caught:
        cage.probe(path)
    assert caught.value.code == "media.unsupported"
