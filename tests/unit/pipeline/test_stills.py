"""Still and animated images come upright, as 8-bit RGB, with the times a browser gives them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cage import Cage
from pipeline.errors import MediaError
from pipeline.media import MediaLimits
from tests.media import barcode, read_barcode


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


def picture(cage: Cage, path: Path, width: int | None = None) -> np.ndarray:
    (frame,) = cage.frames(path, np.array([0]), width=width)
    return frame.image


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tif", "a.gif", "a.ppm", "a.avif", "a.jp2"])
def test_each_format_gives_its_picture(cage: Cage, tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, Image.fromarray(barcode(12_345)))
    info = cage.probe(path)
    assert (info.kind, info.width, info.height, info.frames) == ("image", 160, 96, 1)
    assert info.duration_seconds is info.frame_rate is None
    assert read_barcode(picture(cage, path)) == 12_345


def test_a_phone_photo_in_heif_is_opened(cage: Cage, tmp_path: Path, shared: Path) -> None:
    path = shared / "data/images/formats/plain.heif"
    assert cage.probe(path).format == "HEIF"
    assert picture(cage, path).shape == (128, 128, 3)


def test_a_png_may_tell_its_orientation_before_or_behind_its_pixels(cage: Cage, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    before = saved(tmp_path / "before.png", Image.new("RGB", (40, 20), (9, 9, 9)), exif=exif)
    chunks = list(png_chunks(before.read_bytes()))
    told = [chunk for chunk in chunks if chunk[4:8] == b"eXIf"]
    assert told
    behind = tmp_path / "behind.png"
    rest = [chunk for chunk in chunks if chunk not in told]
    behind.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join([*rest[:-1], *told, rest[-1]]))
    for path in (before, behind):
        info = cage.probe(path)
        assert (info.rotation, info.width, info.height) == (90, 20, 40)


def test_probing_a_png_reads_its_header_alone(cage: Cage, tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.png", Image.effect_noise((300, 200), 80)).read_bytes()
    path = tmp_path / "broken.png"
    middle = whole.index(b"IDAT") + 2000
    path.write_bytes(whole[:middle] + bytes(500) + whole[middle + 500 :])
    assert cage.probe(path).width == 300
    with pytest.raises(MediaError):
        list(cage.frames(path, np.array([0])))


def png_chunks(data: bytes) -> Iterator[bytes]:
    """Length, name, content and checksum of each."""
    place = 8
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        yield data[place:end]
        place = end


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif"])
def test_exif_orientation_is_applied(cage: Cage, tmp_path: Path, name: str, orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how Pillow transposes the upright picture into the stored one
    upright = Image.fromarray(barcode(4711, 160, 80))
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / name, stored, exif=exif)
    info = cage.probe(path)
    assert (info.width, info.height) == (160, 80)
    assert info.rotation == {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}.get(orientation, 0)
    for width in (None, 40):
        assert read_barcode(picture(cage, path, width)) == 4711


def test_wide_samples_are_scaled_and_not_clipped(cage: Cage, tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    path = saved(tmp_path / "wide.png", Image.fromarray(ramp))
    assert np.abs(picture(cage, path)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_floating_samples_from_0_to_1_are_scaled(cage: Cage, tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 256).astype(np.float32)[None].repeat(4, 0)
    path = saved(tmp_path / "float.tif", Image.fromarray(ramp))
    assert np.abs(picture(cage, path)[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_transparency_stands_on_white(cage: Cage, tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    found = picture(cage, saved(tmp_path / "clear.png", image))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 7].tolist() == [255, 0, 0]


def test_palette_gray_and_ink_become_rgb(cage: Cage, tmp_path: Path) -> None:
    red = Image.new("RGB", (32, 32), (204, 51, 51))
    for name, mode in (("p.png", "P"), ("l.png", "L"), ("one.png", "1"), ("ink.jpg", "CMYK"), ("la.png", "LA")):
        found = picture(cage, saved(tmp_path / name, red.convert(mode)))
        assert found.shape == (32, 32, 3)
        if mode in ("P", "CMYK"):
            assert np.abs(found[5, 5].astype(int) - (204, 51, 51)).max() < 12


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif"])
def test_an_animation_gives_its_pictures_and_their_times(cage: Cage, tmp_path: Path, name: str) -> None:
    images = [Image.fromarray(barcode(number * 257)) for number in range(5)]
    shown = [100, 200, 50, 500, 100]
    path = saved(tmp_path / name, images[0], save_all=True, append_images=images[1:], duration=shown, loop=0)
    info = cage.probe(path)
    assert (info.kind, info.frames, info.duration_seconds) == ("animation", 5, pytest.approx(0.95))
    index = cage.index(path)
    assert index.pts.tolist() == [0, 100, 300, 350, 850]
    assert (str(index.time_base), index.timed, index.key.tolist()) == (
        "1/1000",
        True,
        [True, False, False, False, False],
    )
    frames = list(cage.frames(path, np.array([0, 2, 3])))
    assert [read_barcode(frame.image) for frame in frames] == [0, 514, 771]
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.3, 0.35])


def test_a_picture_for_old_viewers_is_no_frame_of_an_animated_png(cage: Cage, tmp_path: Path) -> None:
    images = [Image.fromarray(barcode(number)) for number in (9, 1, 2)]
    path = saved(
        tmp_path / "a.png", images[0], save_all=True, append_images=images[1:], default_image=True, duration=40
    )
    assert cage.index(path).pts.tolist() == [0, 40]
    assert [read_barcode(frame.image) for frame in cage.frames(path, np.arange(2))] == [1, 2]


def test_gif_delays_below_20_ms_are_100_ms_as_in_browsers(cage: Cage, tmp_path: Path) -> None:
    images = [Image.fromarray(barcode(number)) for number in range(3)]
    path = saved(tmp_path / "fast.gif", images[0], save_all=True, append_images=images[1:], duration=10)
    assert cage.index(path).pts.tolist() == [0, 100, 200]


def test_an_animation_cut_short_gives_its_beginning(cage: Cage, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (5, 96, 160), np.uint8)
    images = [Image.fromarray(frame) for frame in noise]
    whole = saved(tmp_path / "a.gif", images[0], save_all=True, append_images=images[1:], duration=100)
    (tmp_path / "cut.gif").write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    cage.probe(tmp_path / "cut.gif")
    index = cage.index(tmp_path / "cut.gif")
    frames = list(cage.frames(tmp_path / "cut.gif", np.arange(len(index))))
    assert 3 <= len(frames) <= len(index) <= 5
    assert len(frames) == len(index) or cage.warnings[0]["code"] == "media.damaged"


def test_an_image_cut_short_is_refused_whole(cage: Cage, tmp_path: Path) -> None:
    whole = saved(
        tmp_path / "a.jpg", Image.fromarray(np.random.default_rng(1).integers(0, 255, (96, 160, 3), np.uint8))
    )
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(MediaError) as caught:
        picture(cage, tmp_path / "cut.jpg")
    assert caught.value.code == "media.undecodable"
    assert caught.value.advice


def chunk(kind: bytes, data: bytes) -> bytes:
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


BOMBS = {
    "png": png_header(60_000, 60_000) + chunk(b"IDAT", bytes(100)),
    "gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0\x2c" + bytes(9) + b"\x02\0;",
    "gif extents": b"GIF89a\x10\0\x10\0\0\0\0" + b"\x2c" + struct.pack("<4H", 0, 0, 60_000, 60_000) + b"\0\x02\0;",
    "animated png": png_header(4000, 4000) + chunk(b"acTL", struct.pack(">II", 1000, 0)) + chunk(b"IDAT", bytes(10))
    + b"".join(chunk(b"fcTL", struct.pack(">5I2HBB", n, 4000, 4000, 0, 0, 1, 10, 0, 0)) for n in range(1000)),
    "bmp": b"BM" + bytes(8) + struct.pack("<IIIiHHI", 54, 40, 40_000, 40_000, 1, 24, 0) + bytes(40),
}  # fmt: skip


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_by_its_header_at_no_cost(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bomb").write_bytes(data)
    with Cage() as cage:
        _ = cage.in_force
        status = Path(f"/proc/{cage.pid}/status")
        with pytest.raises(MediaError) as caught:
            cage.probe(tmp_path / "bomb")
        peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert caught.value.code == "media.too_large"
    assert peak < 150 * 1024  # KiB; loaded libraries alone take about 80 MiB


def test_the_largest_allowed_photo_fits_into_the_cage(cage: Cage, tmp_path: Path) -> None:
    path = saved(tmp_path / "large.png", Image.new("RGBA", (10_000, 5_000), (10, 200, 30, 255)), compress_level=1)
    assert picture(cage, path, 640)[100, 100].tolist() == [10, 200, 30]
    with Cage(MediaLimits(max_pixels=49_999_999)) as small, pytest.raises(MediaError):
        small.probe(path)
