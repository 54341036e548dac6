"""The poisoned inputs are what they claim to be: taken for sound by the probe, and deadly to the decoder."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.faults.poison_media import endless_jpeg, picture, vast_png
from pipeline.cage import Cage
from pipeline.errors import CageError

#: where the end is the memory's, a busy machine must not bring that of the patience first
PATIENCE_SECONDS = {"cage.hung": 2.0, "cage.memory": 30.0}
GIB = 1 << 30


def _decode(cage: Cage, path: Path) -> tuple[int, ...]:
    (frame,) = cage.frames(path, np.zeros(1, np.int64), width=64)
    return frame.image.shape


@pytest.mark.parametrize(
    ("made", "code"), [(endless_jpeg, "cage.hung"), (vast_png, "cage.memory")], ids=["endless", "vast"]
)
def test_poison_passes_the_probe_and_ends_the_decoder(tmp_path: Path, made: type, code: str) -> None:
    path, sound = tmp_path / "poison", tmp_path / "sound"
    path.write_bytes(made())
    sound.write_bytes(picture(1))
    with Cage(memory_bytes=GIB, answer_seconds=PATIENCE_SECONDS[code]) as cage:
        assert cage.probe(path).width == 8000
        began = time.monotonic()
        with pytest.raises(CageError) as raised:
            _decode(cage, path)
        assert raised.value.code == code
        assert time.monotonic() - began < PATIENCE_SECONDS[code] + 5
        assert _decode(cage, sound) == (64, 64, 3)


def test_endless_jpeg_is_a_sound_picture_when_it_is_short(tmp_path: Path) -> None:
    path = tmp_path / "short.jpg"
    path.write_bytes(endless_jpeg(640, 480, scans=70))
    with Cage(answer_seconds=30) as cage:
        assert _decode(cage, path) == (48, 64, 3)


def test_each_picture_is_another_one_and_only_the_white_is_white() -> None:
    made = [picture(number) for number in range(300)]
    assert len(set(made)) == 300
    means = [np.asarray(Image.open(io.BytesIO(data))).mean() for data in (*made, picture(0, white=True))]
    assert max(means[:-1]) < 200 < means[-1]
