"""A remote input's first bytes say whether it is read at once or played."""

from __future__ import annotations

import pytest

from workers.dispatcher.ingest import STILL, weight_of


@pytest.mark.parametrize("head", [b"t,ax,ay,az\n0,0.1,0.2,9.8\n", b'{"readings": []}', b"\x89PNG\r\n\x1a\n"])
def test_readings_and_pictures_are_short_work_whatever_their_size(head: bytes) -> None:
    assert weight_of(head, 50 * 1024**2) == STILL


@pytest.mark.parametrize("head", [b"\0\0\0\x18ftypisom", b"GIF89a", b"\x93\x01unknown\0"])
def test_films_and_unknown_inputs_are_long_work_by_their_size(head: bytes) -> None:
    assert weight_of(head, 50 * 1024**2).size_class == "long"
    assert weight_of(head, 50 * 1024**2).cost_seconds > weight_of(head, 1024**2).cost_seconds
