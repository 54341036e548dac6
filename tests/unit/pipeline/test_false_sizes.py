"""A size that a file only claims is damage: what is sound beside it is shown, and the child lives on."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cage import Cage
from pipeline.errors import CageError, MediaError
from tests.media import Clip, barcode, read_barcode

MIB = 1 << 20


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


@pytest.fixture
def falsified(tmp_path: Path) -> Path:
    """A film of 20 frames; where the size of the eleventh stands, another."""
    path = Clip("film.ivf", codec="libvpx", frames=20, options={"deadline": "realtime"}).write(tmp_path)
    data, place = bytearray(path.read_bytes()), 32
    for _ in range(10):
        place += 12 + int.from_bytes(data[place : place + 4], "little")
    data[place : place + 4] = struct.pack("<I", 1 << 31)
    path.write_bytes(data)
    return path


def test_a_film_is_shown_up_to_a_packet_of_false_size(cage: Cage, falsified: Path) -> None:
    pid = cage.pid
    assert len(cage.index(falsified)) == 10
    assert [read_barcode(frame.image) for frame in cage.frames(falsified, np.arange(10))] == list(range(10))
    assert cage.warnings[0]["message"] == "The file is damaged or cut short: reading ended after 10 packets."
    assert cage.pid == pid


def test_a_cage_that_is_short_of_memory_says_so(cage: Cage, falsified: Path) -> None:
    cage.probe(falsified)
    status = Path(f"/proc/{cage.pid}/status").read_text()
    held = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmSize"))
    with Cage(memory_bytes=held + 100 * MIB) as small, pytest.raises(CageError) as caught:
        small.index(falsified)
    assert caught.value.code == "cage.memory"
    assert caught.value.advice


def test_a_table_of_false_length_is_damage(cage: Cage, tmp_path: Path) -> None:
    path, pid = Clip("film.mp4", frames=10).write(tmp_path), cage.pid
    data = bytearray(path.read_bytes())
    entries = data.index(b"stts") + 8
    data[entries : entries + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        cage.probe(path)
    assert (caught.value.code, cage.pid) == ("media.undecodable", pid)


def test_a_png_is_shown_though_what_follows_its_pixels_claims_four_gigabytes(cage: Cage, tmp_path: Path) -> None:
    path, pid = tmp_path / "claims.png", cage.pid
    Image.fromarray(barcode(4711)).save(path)
    data = path.read_bytes()
    end = data.rindex(b"IEND") - 4
    path.write_bytes(data[:end] + b"\xff\xff\xff\xfftEXtAuthor" + data[end:])
    (frame,) = cage.frames(path, np.array([0]))
    assert (read_barcode(frame.image), cage.pid) == (4711, pid)
