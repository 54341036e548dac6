"""What a file is by its first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from web.errors import Problem
from web.sniff import HEAD_BYTES, Kind, classify


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0rest", Kind.IMAGE),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), Kind.IMAGE),
        (b"\x89PNG\r\n\x1a\n" + bytes(25) + b"acTL", Kind.ANIMATION),
        (b"GIF89a", Kind.ANIMATION),
        (b"RIFF\0\0\0\0WEBPVP8 ", Kind.IMAGE),
        (b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\x02\0\0\0", Kind.ANIMATION),
        (b"RIFF\0\0\0\0AVI LIST", Kind.VIDEO),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", Kind.IMAGE),
        (b"\0\0\0\x1cftypavis\0\0\0\0avismsf1", Kind.ANIMATION),
        (b"\0\0\0\x18ftypisom", Kind.VIDEO),
        (b"\0\0\0\x08wide", Kind.VIDEO),
        (b"\x1a\x45\xdf\xa3", Kind.VIDEO),
        (b"G" + bytes(187) + b"G" + bytes(187), Kind.VIDEO),
        (bytes(4) + b"G" + bytes(191) + b"G", Kind.VIDEO),
        (b"P6 3 3 255\n", Kind.IMAGE),
        (b"II*\0", Kind.IMAGE),
        (b"time,ax,ay,az\n0,1,2,3\n", Kind.SENSOR),
        (b'\xef\xbb\xbf[{"t": 0}]', Kind.SENSOR),
        (b"\x93\x01random\x00bytes", Kind.UNKNOWN),
        ("größe,ä\n".encode() * 1000, Kind.SENSOR),
    ],
)
def test_the_first_bytes_tell_the_kind(head: bytes, kind: Kind) -> None:
    assert classify(head[:HEAD_BYTES]) is kind


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"", "media.empty"),
        (b"PK\x03\x04", "media.unsupported"),
        (b"%PDF-1.7", "media.unsupported"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "media.unsupported"),
        (b"  \n<!DOCTYPE html>", "media.unsupported"),
        (b"<?xml version='1.0'?><MPD>", "media.unsupported"),
        (b"#EXTM3U\nfile:secret.txt", "media.unsupported"),
        (b"ffconcat version 1.0\nfile other.mp4", "media.unsupported"),
        (b"v=0\r\no=- 1 1 IN IP4 1.2.3.4", "media.unsupported"),
        (b"RIFF\0\0\0\0WAVEfmt ", "media.unsupported"),
        (b"ID3\x04", "media.unsupported"),
        (b"\x7fELF", "media.unsupported"),
    ],
)
def test_what_is_obviously_wrong_is_refused(head: bytes, code: str) -> None:
    with pytest.raises(Problem) as caught:
        classify(head)
    assert caught.value.code == code


def test_a_character_cut_at_the_end_of_the_head_is_still_text() -> None:
    text = ("a" * (HEAD_BYTES - 1) + "ä").encode()
    assert classify(text[:HEAD_BYTES]) is Kind.SENSOR


@pytest.mark.parametrize(
    ("kind", "accepts", "fits"),
    [
        (Kind.IMAGE, {"image", "video"}, True),
        (Kind.IMAGE, {"sensor"}, False),
        (Kind.ANIMATION, {"image"}, True),
        (Kind.ANIMATION, {"video"}, True),
        (Kind.SENSOR, {"image", "video"}, False),
        (Kind.UNKNOWN, {"video"}, True),
        (Kind.UNKNOWN, {"sensor"}, False),
    ],
)
def test_a_kind_fits_a_pipeline_or_not(kind: Kind, accepts: set[str], fits: bool) -> None:
    assert kind.fits(frozenset(accepts)) is fits


REFUSED = {
    "concat_named.mp4", "empty.jpg", "empty.mp4", "html_named.jpg", "mpd_named.webm", "playlist_named.mp4",
    "playlist_sibling.mp4", "svg_xxe.svg", "zip_named.png",
}  # fmt: skip


def test_of_the_hostile_files_all_scripts_and_archives_are_refused_at_the_door(shared: Path) -> None:
    refused = set()
    for path in sorted((shared / "data" / "malformed").rglob("*")):
        if path.is_file() and path.name != "secret.txt":
            with path.open("rb") as file:
                try:
                    kind = classify(file.read(HEAD_BYTES))
                except Problem:
                    refused.add(path.name)
                else:
                    assert kind is not Kind.SENSOR, path.name
    assert refused == REFUSED


@pytest.mark.parametrize(("folder", "kinds"), [
    ("images/formats", {Kind.IMAGE, Kind.ANIMATION}), ("images/faces", {Kind.IMAGE}),
    ("videos", {Kind.VIDEO, Kind.ANIMATION}), ("videos/edge", {Kind.VIDEO}),
])  # fmt: skip
def test_good_files_are_known_by_kind(shared: Path, folder: str, kinds: set[Kind]) -> None:
    paths = [path for path in (shared / "data" / folder).iterdir() if path.is_file()]
    assert len(paths) > 3
    for path in paths:
        with path.open("rb") as file:
            assert classify(file.read(HEAD_BYTES)) in kinds, path.name
