"""Inputs that are poison to a decoder, made byte by byte: small, sound to look at, and endless or vast to decode."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
from PIL import Image

#: just below the largest picture that is taken
WIDTH, HEIGHT = 8000, 6000
SCANS = 20_000
#: blocks that one code word of a progressive scan passes over at most
LONGEST_RUN = 32767


def endless_jpeg(width: int = WIDTH, height: int = HEIGHT, scans: int = SCANS) -> bytes:
    """A progressive JPEG of so many scans, each a walk over all blocks of the picture that changes nothing.

    About 80 bytes buy the decoder some milliseconds of work without an answer: the whole lasts for minutes.
    """
    blocks = -(-width // 8) * -(-height // 8)
    head = b"".join(
        (
            b"\xff\xd8",
            _segment(0xDB, b"\0" + b"\1" * 64),
            _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + bytes((1, 0x11, 0))),
            # two tables of a single word, the bit 0: "no change of the mean", and "pass over 2^14 + 14 bits of blocks"
            _segment(0xC4, b"\0" + b"\1" + bytes(15) + b"\0"),
            _segment(0xC4, b"\x10" + b"\1" + bytes(15) + b"\xe0"),
            _scan(0, 0),
            bytes(-(-blocks // 8)),
        )
    )
    words = -(-blocks // LONGEST_RUN)
    idle = _bits(("0" + "1" * 14) * words)
    return head + b"".join(_scan(1 + turn % 63, 1 + turn % 63) + idle for turn in range(scans)) + b"\xff\xd9"


def vast_png(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A 16-bit PNG of some ten kilobytes whose decoding takes a gigabyte."""
    file = io.BytesIO()
    Image.new("I;16", (width, height), 7).save(file, "PNG")
    return file.getvalue()


def picture(number: int, *, white: bool = False, side: int = 64) -> bytes:
    """A small sound PNG, another one for each number; a white one is what the poison pipelines choke on."""
    shade = 250 if white else 20 + number % 100
    image = Image.new("RGB", (side, side), (shade, shade, shade))
    for place in range(32):
        image.putpixel((place % side, place // side), (number >> place & 1, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def half_dark_half_white(frames: int = 20) -> bytes:
    """An MP4 of so many dark frames, a keyframe, and as many white ones: two segments, told apart by their light."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "g": str(frames), "keyint_min": str(frames), "bf": "0"}
        for place in range(2 * frames):
            shade = 40 if place < frames else 250
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade, np.uint8), format="rgb24")
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _scan(first: int, last: int) -> bytes:
    return _segment(0xDA, bytes((1, 1, 0x00, first, last, 0)))


def _bits(text: str) -> bytes:
    """Pack bits, padded with ones; a byte of ones is followed by a zero, lest it be read as a marker."""
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
