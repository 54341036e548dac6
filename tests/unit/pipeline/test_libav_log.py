"""Complaints of libav are counted by who complains, each as often as it was made."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from pipeline.libav_log import LibavLog

FORGET = "[h264 @ 0x55ec5bdbea00] mmco: unref short failure\n"
BROKEN = "[h264 @ 0x55ec5bdbea00] error while decoding MB 3 4, bytestream -5\n"
CONTAINER = "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55ec5bd00a00] error reading header\n"
OTHER = "[hevc @ 0x55ec5bd00b00] Could not find ref with POC 8\n"
AGAIN = "    Last message repeated 5 times\n"


@pytest.fixture
def descriptor() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@pytest.mark.parametrize(
    ("written", "counted", "counted_amid"),
    [
        ("", 0, 0),
        (BROKEN, 1, 1),
        (BROKEN + AGAIN + FORGET, 7, 6),
        (FORGET + AGAIN, 6, 0),
        (FORGET + AGAIN + BROKEN, 7, 1),
        (OTHER + AGAIN + CONTAINER + AGAIN, 0, 0),
        (OTHER + BROKEN + AGAIN + OTHER, 6, 6),
        ("what decoder says without a name\n" + AGAIN, 0, 0),
    ],
)
def test_a_decoders_complaints_are_counted(descriptor: int, written: str, counted: int, counted_amid: int) -> None:
    log = LibavLog(descriptor)
    os.write(descriptor, written.encode())
    assert log.errors("h264") == counted
    assert log.errors("h264", began_amid=True) == counted_amid


def test_what_was_written_before_the_mark_does_not_count(descriptor: int) -> None:
    log = LibavLog(descriptor)
    os.write(descriptor, BROKEN.encode())
    log.mark()
    assert log.errors("h264") == 0
    os.write(descriptor, FORGET.encode())
    assert log.errors("h264") == 1


def test_nothing_is_known_of_a_pipe() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, BROKEN.encode())
        assert LibavLog(reading).errors("h264") == 0
    finally:
        os.close(reading)
        os.close(writing)
