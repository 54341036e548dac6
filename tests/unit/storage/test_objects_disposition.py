"""Names of downloads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.objects.disposition import attachment


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        (None, "attachment"),
        ("", "attachment"),
        ("a b.mp4", "attachment; filename=\"a b.mp4\"; filename*=UTF-8''a%20b.mp4"),
        ("é.mp4", "attachment; filename=\"_.mp4\"; filename*=UTF-8''%C3%A9.mp4"),
        ("../../etc/passwd", "attachment; filename=\"....etcpasswd\"; filename*=UTF-8''....etcpasswd"),
        (
            'a"; x="\r\nSet-Cookie: b',
            "attachment; filename=\"a; x=Set-Cookie: b\"; filename*=UTF-8''a%3B%20x%3DSet-Cookie%3A%20b",
        ),
    ],
)
def test_a_file_name_becomes_a_header(filename: str | None, expected: str) -> None:
    assert attachment(filename) == expected


@given(st.text())
def test_no_file_name_breaks_out_of_the_header(filename: str) -> None:
    header = attachment(filename)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') in {0, 2}
    assert len(header) < 3000
