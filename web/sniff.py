"""What a file is, by its first bytes: enough to choose a queue and to refuse the obviously wrong at once.

This is no security border: untrusted media is opened in the worker's cage, which judges for itself.
"""

from __future__ import annotations

import re
from enum import StrEnum

from web.errors import Problem

#: how many leading bytes ``classify`` wants
HEAD_BYTES = 4096


class Kind(StrEnum):
    """What the head of a file looks like."""

    IMAGE = "image"
    #: an image format that may hold several frames
    ANIMATION = "animation"
    VIDEO = "video"
    #: a table or JSON text of sensor readings
    SENSOR = "sensor"
    #: nothing known; the worker finds out
    UNKNOWN = "unknown"

    @property
    def size_class(self) -> str:
        """The queue it goes to: "short" for what is read at once, "long" for what is played."""
        return "short" if self in {Kind.IMAGE, Kind.SENSOR} else "long"

    def fits(self, accepts: frozenset[str]) -> bool:
        """Whether a pipeline that accepts these inputs may take it; an unknown one is given its chance."""
        if self is Kind.ANIMATION:
            return bool(accepts & {"image", "video"})
        if self is Kind.UNKNOWN:
            return bool(accepts & {"image", "video"})
        return self.value in accepts


_IMAGES = (
    b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"qoif",
    b"8BPS", b"\x01\xda\x00", b"\x01\xda\x01", b"\0\0\x01\0", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"v/1\x01", b"#?RADIANCE",
)  # fmt: skip
_VIDEOS = (
    b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\0\0\0\x01", b"\0\0\x01", b"OggS",
    b"YUV4MPEG2 ", b"DKIF", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\x06\x0e\x2b\x34", b".RMF",
)  # fmt: skip
#: head -> what to call it; each is refused before a byte is stored
_REFUSED = (
    (b"PK\x03\x04", "a zip archive"), (b"PK\x05\x06", "a zip archive"), (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a rar archive"), (b"7z\xbc\xaf\x27\x1c", "a 7z archive"), (b"\xfd7zXZ", "an xz archive"),
    (b"BZh", "a bzip2 archive"), (b"\x28\xb5\x2f\xfd", "a zstd archive"), (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript program"), (b"\x7fELF", "a program"), (b"MZ", "a program"), (b"ID3", "audio"),
    (b"fLaC", "audio"), (b"\xca\xfe\xba\xbe", "a program"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document"),
)  # fmt: skip
_IMAGE_BRANDS = frozenset({b"avif", b"heic", b"heix", b"mif1", b"heim", b"heis", b"jpeg", b"jxl "})
_ANIMATION_BRANDS = frozenset({b"avis", b"msf1", b"hevc", b"hevx"})
_VIDEO_BOXES = frozenset({b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx", b"uuid"})
_PLAYLIST = re.compile(rb"#EXTM3U|ffconcat|\[playlist\]|#EXT-X-|v=0\r?\no=|\[InternetShortcut\]", re.IGNORECASE)
_MARKUP = re.compile(rb"<(!doctype|html|svg|\?xml|script|mpd|smil|body|head|iframe|rss|asx)", re.IGNORECASE)
_TEXT_CONTROLS = frozenset(range(32)) - {9, 10, 12, 13}


def classify(head: bytes) -> Kind:
    """Return what a file is, by its first ``HEAD_BYTES`` bytes.

    Raises: Problem with code media.empty or media.unsupported.
    """
    if not head:
        raise Problem("media.empty", "the file holds no bytes")
    for magic, name in _REFUSED:
        if head.startswith(magic):
            raise _unsupported(name)
    return _container(head) or _by_magic(head) or _as_text(head)


def _by_magic(head: bytes) -> Kind | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind.ANIMATION if b"acTL" in head else Kind.IMAGE
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Kind.ANIMATION
    if head.startswith(_IMAGES) or re.match(rb"P[1-7]\s", head):
        return Kind.IMAGE
    if head.startswith(_VIDEOS) or _is_transport_stream(head):
        return Kind.VIDEO
    return None


def _container(head: bytes) -> Kind | None:
    """RIFF and ISO base media files: the second word says what is inside."""
    if head.startswith(b"RIFF"):
        form = head[8:12]
        if form == b"WAVE":
            raise _unsupported("audio")
        if form == b"WEBP":
            return Kind.ANIMATION if head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 2 else Kind.IMAGE
        return Kind.VIDEO
    box = head[4:8]
    if box == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(_word(head), 128), 4))}
        if head[8:12] in _ANIMATION_BRANDS or b"avis" in brands:
            return Kind.ANIMATION
        return Kind.IMAGE if head[8:12] in _IMAGE_BRANDS else Kind.VIDEO
    return Kind.VIDEO if box in _VIDEO_BOXES else None


def _word(head: bytes) -> int:
    return int.from_bytes(head[:4], "big")


def _is_transport_stream(head: bytes) -> bool:
    """Sync bytes at the packet distance, for plain (188) and time-stamped (192) packets."""
    return any(
        len(head) > start + step and head[start] == 0x47 and head[start + step] == 0x47
        for start, step in ((0, 188), (4, 192))
    )


def _as_text(head: bytes) -> Kind:
    """Text is a sensor recording, unless it is a page, a drawing or a list of other files."""
    body = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _MARKUP.search(body[:1024]):
        raise _unsupported("a page or a vector drawing")
    if _PLAYLIST.search(body[:1024]):
        raise _unsupported("a playlist; send the media itself")
    if not body or _TEXT_CONTROLS.intersection(head):
        return Kind.UNKNOWN
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if len(head) < HEAD_BYTES or error.start < len(head) - 4:  # not just a character cut at the end
            return Kind.UNKNOWN
    return Kind.SENSOR


def _unsupported(name: str) -> Problem:
    return Problem("media.unsupported", f"the file is {name}", advice="send an image, a video or a sensor recording")
