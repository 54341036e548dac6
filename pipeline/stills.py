"""Still and animated images, with Pillow: one decoder at a time, chosen by content, refused by header.

Pictures come upright, as RGB; what is transparent stands on white, as a browser shows it.
"""

from __future__ import annotations

import os
import struct
import warnings as python_warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from pi_heif import register_heif_opener  # type: ignore[import-untyped]  # ships no types
from PIL import Image, ImageFile

from pipeline.animation import Part, parts, png_tells_more_after_pixels, too_many_pixels
from pipeline.cage_wire import Tick, no_tick
from pipeline.colour import Picture
from pipeline.container import check_size
from pipeline.errors import MediaError
from pipeline.false_sizes import HonestFile
from pipeline.media import MediaInfo, MediaLimits, PacketIndex, shrunk
from pipeline.sniff import Sniffed

register_heif_opener(thumbnails=False)
Image.init()
#: sizes are judged here, before any pixel, and by one rule for all formats
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False

MILLISECOND = Fraction(1, 1000)
_ORIENTATION = 0x0112
_DEGREES = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
#: what Pillow and its libraries raise on bad files
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, LookupError, TypeError, struct.error,
                   OverflowError, ZeroDivisionError, AttributeError, NotImplementedError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An open image whose size was judged. orientation: EXIF, 1 to 8. milliseconds: how long each picture shows."""

    image: Image.Image
    format: str
    orientation: int
    milliseconds: tuple[int, ...]

    @property
    def turn(self) -> int:
        """The orientation that is left to apply: Pillow turns TIFF itself while loading."""
        return 1 if self.format == "TIFF" else self.orientation

    @property
    def size(self) -> tuple[int, int]:
        """Upright width and height."""
        width, height = self.image.size
        return (height, width) if self.turn >= 5 else (width, height)


@contextmanager
def open_image(descriptor: int, found: Sniffed, limits: MediaLimits) -> Iterator[OpenImage]:
    """Open an image and read its header only. Raises: MediaError (media.undecodable, media.too_large)."""
    announced = parts(descriptor, found.formats[0], limits)
    for part in announced:
        check_size(part.right, part.bottom, limits)  # opening a GIF already makes room for what its first part covers
    os.lseek(descriptor, 0, os.SEEK_SET)
    with python_warnings.catch_warnings(), HonestFile(os.dup(descriptor)) as file:
        python_warnings.simplefilter("ignore")
        with _decoding():
            image = Image.open(file, formats=_formats(found))
        check_size(*image.size, limits)
        opened = OpenImage(image, image.format or found.formats[0], _orientation(image, descriptor), ())
        shown = _shown(opened, announced, limits)
        yield OpenImage(image, opened.format, opened.orientation, shown)


def probe_image(descriptor: int, found: Sniffed, limits: MediaLimits) -> MediaInfo:
    """Describe an image from its header. Raises: MediaError."""
    with open_image(descriptor, found, limits) as opened:
        width, height = opened.size
        seconds = sum(opened.milliseconds) / 1000
        count = len(opened.milliseconds)
        return MediaInfo(
            kind="animation" if count > 1 else "image",
            format=opened.format,
            codec=opened.format.lower(),
            width=width,
            height=height,
            rotation=_DEGREES.get(opened.orientation, 0),
            duration_seconds=seconds if count > 1 else None,
            frame_rate=count / seconds if count > 1 and seconds else None,
            frames=max(1, count),
            size_bytes=os.fstat(descriptor).st_size,
            extra={"mode": opened.image.mode, "mirrored": opened.orientation in (2, 4, 5, 7)},
        )


def index_image(descriptor: int, found: Sniffed, limits: MediaLimits) -> PacketIndex:
    """Return one place per picture; times in milliseconds. Raises: MediaError."""
    with open_image(descriptor, found, limits) as opened:
        shown = np.array(opened.milliseconds or (0,), np.int64)
        starts = np.concatenate(([0], np.cumsum(shown)[:-1])).astype(np.int64)
        key = np.zeros(len(starts), np.bool_)
        key[0] = True
        return PacketIndex(starts, key, MILLISECOND)


def image_pictures(
    descriptor: int,
    found: Sniffed,
    limits: MediaLimits,
    wanted: NDArray[np.int64],
    width: int | None,
    *,
    tick: Tick = no_tick,
) -> Iterator[tuple[int, Picture, float]]:
    """Yield (place, picture, scale) for the wanted places; ends early where an animation is cut short.

    Raises: MediaError when not even the first wanted picture can be decoded.
    """  # fmt: skip
    with open_image(descriptor, found, limits) as opened:
        for given, place in enumerate(wanted):
            tick()
            try:
                picture, scale = _picture(opened, int(place), width, limits)
            except MediaError:
                if not given:
                    raise
                return
            yield int(place), picture, scale


def _picture(opened: OpenImage, place: int, width: int | None, limits: MediaLimits) -> tuple[Picture, float]:
    image, upright = opened.image, opened.size
    size = shrunk(*upright, width)
    with _decoding():
        if len(opened.milliseconds) > 1:
            image.seek(place + getattr(image, "default_image", False))  # a PNG's stand-in for old viewers is no frame
        elif opened.format in ("JPEG", "MPO"):
            image.draft(None, size if opened.turn < 5 else size[::-1])  # decodes at 1/2, 1/4 or 1/8 where enough
        check_size(*image.size, limits)
        image.load()
        picture = _rgb(image)
        if opened.turn > 1:
            picture = _turned(picture, opened.turn)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BOX if width else Image.Resampling.BILINEAR)
        return np.asarray(picture), size[0] / upright[0]


def _rgb(image: Image.Image) -> Image.Image:
    """Return 8-bit RGB: wide samples scaled down, transparency laid on white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_wide(image)
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        ground = Image.new("RGB", image.size, (255, 255, 255))
        ground.paste(colours, mask=colours.getchannel("A"))
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_wide(image: Image.Image) -> Image.Image:
    """Scale 16-bit and floating samples to 8 bits by the range they are written in, not by what they hold."""
    samples = np.asarray(image).astype(np.float32)
    largest = float(samples.max(initial=0))
    if image.mode.startswith("I;16"):
        top = 65535.0
    elif image.mode == "F" and largest <= 1:
        top = 1.0
    else:
        top = 255.0 if largest <= 255 else 65535.0
    return Image.fromarray(np.clip(samples * (255.0 / top), 0, 255).astype(np.uint8)).convert("RGB")


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[orientation]  # fmt: skip
    return image.transpose(turn)


def _orientation(image: Image.Image, descriptor: int) -> int:
    """Return the EXIF orientation, 1 where there is none or the block is damaged."""
    if image.format == "HEIF":
        return 1  # turned by its decoder
    try:
        if image.format == "PNG" and not png_tells_more_after_pixels(descriptor):
            exif = Image.Image.getexif(image)  # the PNG's own would decode all pixels, to look behind them
        else:
            exif = image.getexif()
        value = exif.get(_ORIENTATION, 1)
    except _DECODER_ERRORS:
        return 1
    return value if value in range(1, 9) else 1


def _shown(opened: OpenImage, announced: Sequence[Part], limits: MediaLimits) -> tuple[int, ...]:
    """Return how long each picture of an animation is shown; empty for a still. Judges its size as a whole."""
    width, height = opened.image.size
    if len(announced) > 1 and len(announced) * width * height > limits.max_animation_pixels:
        raise too_many_pixels(limits)
    if opened.format == "AVIF":
        return _avif_times(opened.image, limits)
    return tuple(part.milliseconds for part in announced) if len(announced) > 1 else ()


def _avif_times(image: Image.Image, limits: MediaLimits) -> tuple[int, ...]:
    """Return the times of an AVIF sequence; the library tells them only while decoding."""
    count = getattr(image, "n_frames", 1)
    if count < 2:
        return ()
    if count * image.width * image.height > limits.max_animation_pixels:
        raise too_many_pixels(limits)
    times = []
    with _decoding():
        for place in range(count):
            image.seek(place)
            image.load()
            times.append(max(1, round(image.info.get("duration", 0) or 100)))
    return tuple(times)


def _formats(found: Sniffed) -> list[str]:
    return ["JPEG", "MPO"] if found.formats[0] == "JPEG" else [found.formats[0]]


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn whatever an image library raises into the one error for undecodable images."""
    try:
        yield
    except (MemoryError, MediaError):
        raise
    except Image.DecompressionBombError as error:
        raise MediaError("The image is too large.", code="media.too_large", advice="Send a smaller version.") from error
    except _DECODER_ERRORS as error:
        raise MediaError(
            "The image cannot be decoded: it is damaged or cut short.",
            advice="Open it in an image editor and save it again, or upload the whole file.",
        ) from error
