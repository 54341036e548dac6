"""Whatever bytes come: a recording, or a refusal with a code, within bounds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import MediaError
from pipeline.sensors.read import read_recording
from pipeline.sensors.recording import SensorLimits

CSV = "t,ax,ay,az,gx,gy,gz\n" + "".join(f"{n / 50},{n % 7 / 10},0.2,9.8,1,2,3\n" for n in range(80))
JSON = '{"readings": [' + ",".join(f'{{"t": {n / 50}, "ax": 0.1, "ay": 0, "az": 9.8}}' for n in range(80)) + "]}"
#: what a mutation puts in
PIECES = (
    b"", b",", b"\n", b"\r", b"\0", b"-", b"e", b"nan", b"inf", b"1e308", b"-0", b"0x10", b"1_0", b'"', b"{", b"}",
    b"[", b"]", b"\xff", b"\xc2\xb2", b";", b"\t", b"(g)", b"(ns)", b"#EXTM3U\n", b"9" * 400, b"[" * 2000, b"null",
    b"true",
)  # fmt: skip
LIMITS = SensorLimits(max_rows=1000, max_bytes=100_000, max_json_bytes=100_000)


def judged(content: bytes) -> None:
    """Read bytes; what is taken must be whole, in order and possible, what is refused must say why."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        refusal: MediaError | None = None
        try:
            recording = read_recording(Path(file.name), {}, LIMITS)
        except MediaError as error:
            refusal = error
    if refusal is not None:
        assert refusal.code.startswith("sensor.")
        assert 0 < len(refusal.message) < 400
        assert refusal.message.isprintable()
        return
    assert np.isfinite(recording.seconds).all()
    assert (np.diff(recording.seconds) > 0).all()
    assert recording.seconds[0] == 0
    assert np.abs(recording.acceleration).max() <= LIMITS.max_acceleration
    assert LIMITS.min_rate <= recording.rate <= LIMITS.max_rate


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([CSV.encode(), JSON.encode()]),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(PIECES), st.integers(0, 30)), min_size=1, max_size=4),
)
def test_damaged_text_is_taken_whole_or_refused_with_a_reason(
    content: bytes, damages: list[tuple[float, bytes, int]]
) -> None:
    for where, piece, gone in damages:
        place = int(where * len(content))
        content = content[:place] + piece + content[place + gone :]
    judged(content)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_taken(content: bytes) -> None:
    judged(content)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_header_with_hardly_a_reading_is_refused(rows: int) -> None:
    judged("".join(CSV.splitlines(keepends=True)[: rows + 1]).encode())
