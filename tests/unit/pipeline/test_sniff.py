"""Inputs are judged by their first bytes; what could name another file never reaches a decoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import MediaError
from pipeline.sniff import Sniffed, sniff, sniff_file

IMAGE = {
    b"\xff\xd8\xff\xe0\0\x10JFIF": "JPEG",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR": "PNG",
    b"GIF89a\1\0\1\0": "GIF",
    b"RIFF\x24\0\0\0WEBPVP8 ": "WEBP",
    b"II*\0\x08\0\0\0": "TIFF",
    b"P5 2 2 255\n": "PPM",
    b"\0\0\0\x1cftypavif\0\0\0\0": "AVIF",
    b"\0\0\0\x18ftypmif1\0\0\0\0avifmiaf": "AVIF",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": "HEIF",
}
VIDEO = {
    b"\0\0\0\x20ftypisom\0\0\2\0isomiso2": "mov",
    b"\0\0\0\x14ftypqt  \0\0\0\0": "mov",
    b"\x1a\x45\xdf\xa3\x01\0\0\0": "matroska",
    b"RIFF\x24\0\0\0AVI LIST": "avi",
    b"OggS\0\2": "ogg",
    b"FLV\x01\5": "flv",
    b"\0\0\x01\xba\x44": "mpeg",
    (b"\x47" + bytes(187)) * 5: "mpegts",
    bytes(30) + (b"\x47" + bytes(187)) * 5: "mpegts",
    (bytes(4) + b"\x47" + bytes(187)) * 5: "mpegts",
}
REFUSED = {
    b"#EXTM3U\n#EXTINF:1,\nfile:secret.txt": "playlist",
    b"ffconcat version 1.0\nfile http://ssrf.invalid/y.mp4": "concat script",
    b'<?xml version="1.0"?><MPD>': "DASH manifest",
    b'<svg xmlns="http://www.w3.org/2000/svg">': "SVG",
    b"<!DOCTYPE html>": "HTML",
    b"PK\3\4": "zip",
    b"%PDF-1.7": "PDF",
    b"v=0\r\no=- 0 0 IN IP4 10.0.0.1": "SDP",
    b"[Script Info]": "subtitles",
    b"%!PS-Adobe-3.0 EPSF-3.0": "PostScript",
    b"\x7fELF": "program",
    b"P": "one letter",
}


@pytest.mark.parametrize(("head", "name"), IMAGE.items(), ids=IMAGE.values())
def test_an_image_is_known_by_its_magic(head: bytes, name: str) -> None:
    assert sniff(head) == Sniffed("image", (name,))


@pytest.mark.parametrize(("head", "name"), VIDEO.items())
def test_a_container_reaches_its_own_demuxer_alone(head: bytes, name: str) -> None:
    assert sniff(head) == Sniffed("video", (name,))


@pytest.mark.parametrize("head", REFUSED, ids=REFUSED.values())
def test_what_is_no_media_is_refused(head: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        sniff(head)
    assert caught.value.code == "media.unsupported"
    assert caught.value.advice


@pytest.mark.parametrize("head", [b"ID3\4\0\0", b"fLaC\0", b"RIFF\x24\0\0\0WAVEfmt ", b"\xff\xfb\x90"])
def test_sound_is_told_apart_from_rubbish(head: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        sniff(head)
    assert caught.value.code == "media.no_video"


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with (tmp_path / "empty.mp4").open("rb") as file, pytest.raises(MediaError) as caught:
        sniff_file(file.fileno())
    assert caught.value.code == "media.empty"


def test_pictures_that_follow_one_another_are_motion_jpeg_and_one_picture_is_not(tmp_path: Path) -> None:
    picture = b"\xff\xd8\xff\xe0" + bytes(600) + b"\xff\xd9"
    (tmp_path / "one").write_bytes(picture + bytes(2000))
    (tmp_path / "many").write_bytes(picture * 4)
    with (tmp_path / "one").open("rb") as one, (tmp_path / "many").open("rb") as many:
        assert sniff_file(one.fileno()) == Sniffed("image", ("JPEG",))
        assert sniff_file(many.fileno()) == Sniffed("video", ("mjpeg",))
