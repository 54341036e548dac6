from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from bench.faults import barcode
from pipeline.errors import InputError


@pytest.mark.parametrize("number", [0, 1, 5000, 2**31 + 7, 2**32 - 1])
def test_a_number_that_was_drawn_is_read_again(number: int) -> None:
    drawn = np.asarray(Image.open(io.BytesIO(barcode.still(number))))
    assert barcode.number_in(drawn) == number


def test_a_number_is_read_from_every_frame_of_a_clip_after_lossy_coding() -> None:
    with av.open(io.BytesIO(barcode.clip(123_456, 2))) as container:
        read = [barcode.number_in(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert read == [123_456] * 2 * barcode.RATE


def test_a_picture_that_was_not_drawn_here_is_refused() -> None:
    with pytest.raises(InputError, match="no number"):
        barcode.number_in(np.full((64, 64), 200, dtype=np.uint8))
