"""What an input is, judged by its first bytes and never by its name.

Only what is recognised here reaches a decoder, and it reaches only the decoder of that format: playlists, scripts,
manifests and documents that name other files are refused before any library sees them. Standard library only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pipeline.errors import MediaError

HEAD_BYTES = 16 * 1024

#: what the advice of a refusal offers
ACCEPTED = (
    "Send MP4, MOV, MKV, WebM, AVI, MPEG, Ogg, FLV or WMV video, "
    "or a JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF or HEIF image."
)


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What may open the input.

    kind: "image" (Pillow) or "video" (libav). formats: names of the one Pillow format, or of the libav
    demuxers that may be tried.
    """

    kind: str
    formats: tuple[str, ...]


_IMAGE_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_VIDEO_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"OggS", "ogg"),
    (b"FLV\x01", "flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\0\0\x01\xba", "mpeg"),
    (b"\0\0\x01\xb3", "mpegvideo"),
    (b"DKIF", "ivf"),
    (b"YUV4MPEG2", "yuv4mpegpipe"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", "mxf"),
    (b"nut/multimedia container\0", "nut"),
)
_AUDIO_MAGIC = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9", b"#!AMR", b"FORM", b"MThd")
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r")
_MOV_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


def sniff_file(descriptor: int) -> Sniffed:
    """Judge an open regular file. Raises: MediaError (media.empty, media.unsupported, media.no_video)."""
    size = os.fstat(descriptor).st_size
    found = sniff(os.pread(descriptor, HEAD_BYTES, 0))
    if found.formats == ("JPEG",) and _is_motion_jpeg(descriptor, size):
        return Sniffed("video", ("mjpeg",))
    return found


def sniff(head: bytes) -> Sniffed:
    """Judge the first bytes of a file (up to HEAD_BYTES). Raises: MediaError as ``sniff_file``."""
    if not head:
        raise MediaError("The file is empty.", code="media.empty", advice="Upload the file again; it holds no bytes.")
    found = _known(head)
    if found is not None:
        return found
    if head.startswith(_AUDIO_MAGIC) or (head.startswith(b"RIFF") and head[8:12] == b"WAVE"):
        raise no_video()
    raise MediaError("The content is not a known video or image format.", code="media.unsupported", advice=ACCEPTED)


def is_text(head: bytes) -> bool:
    """Say whether first bytes are text that may hold readings of a sensor: UTF-8, no control characters.

    For pipelines that accept such input alone: anywhere else text stays unknown.
    """
    if _CONTROLS.intersection(head) or _known(head) is not None:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == HEAD_BYTES and error.start >= len(head) - 3  # a character cut at the end
    return True


def no_video() -> MediaError:
    """Return the error for an input with sound only."""
    return MediaError(
        "The file holds no video stream.",
        code="media.no_video",
        advice="Send a file with pictures; sound alone cannot be analysed.",
    )


def _known(head: bytes) -> Sniffed | None:
    for magic, name in _IMAGE_MAGIC:
        if head.startswith(magic):
            return Sniffed("image", (name,))
    for magic, name in _VIDEO_MAGIC:
        if head.startswith(magic):
            return Sniffed("video", (name,))
    if head.startswith(b"RIFF"):
        return {b"WEBP": Sniffed("image", ("WEBP",)), b"AVI ": Sniffed("video", ("avi",))}.get(head[8:12])
    if len(head) > 2 and head[0] == 0x50 and head[1] in b"123456" and head[2] in b" \t\r\n":
        return Sniffed("image", ("PPM",))
    if head[4:8] in _MOV_BOXES:
        return _iso_media(head)
    if _is_transport_stream(head):
        return Sniffed("video", ("mpegts",))
    if head.startswith((b"\0\0\x01", b"\0\0\0\x01")):
        return Sniffed("video", ("h264", "hevc", "m4v", "mpegvideo", "mpeg", "vvc"))
    return None


def _iso_media(head: bytes) -> Sniffed:
    """Tell pictures from films among files built of boxes, by their brands."""
    if head[4:8] != b"ftyp":
        return Sniffed("video", ("mov",))
    end = min(len(head), max(16, int.from_bytes(head[:4], "big")))
    major = head[8:12]
    brands = {head[place : place + 4] for place in range(16, end - 3, 4)}
    if major in _AVIF_BRANDS or (major in _HEIF_BRANDS and brands & _AVIF_BRANDS):
        return Sniffed("image", ("AVIF",))
    if major in _HEIF_BRANDS:
        return Sniffed("image", ("HEIF",))
    return Sniffed("video", ("mov",))


def _is_transport_stream(head: bytes) -> bool:
    """Say whether sync bytes repeat at a packet's length, wherever the first one stands."""
    for step in (188, 192, 204):
        for start in range(min(step, len(head))):
            marks = head[start : start + 5 * step : step]
            if len(marks) >= 3 and marks == b"\x47" * len(marks):
                return True
    return False


def _is_motion_jpeg(descriptor: int, size: int) -> bool:
    """Say whether whole JPEG pictures follow one another without a container.

    A photo's thumbnail or second picture is announced by a segment between the two; here end meets start.
    """
    if size < 1024:
        return False
    joint, tail = b"\xff\xd9\xff\xd8\xff", b""
    for place in range(0, min(size, 4 << 20), 1 << 20):
        block = tail + os.pread(descriptor, 1 << 20, place)
        if joint in block:
            return b"MPF\0" not in os.pread(descriptor, HEAD_BYTES * 4, 0)
        tail = block[-4:]
    return False
