"""Finding lines on pages of any size: each line once, wherever the bands of a large page meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.describe import reading
from pipeline.describe.engine import Reading
from pipeline.describe.reading import LONG_SIDE, OVERLAP, cut_out, find_lines, read_text


class BlackLines:
    """Finds runs of black rows of a white page as lines, as the networks find lines of text."""

    def __init__(self):
        self.sizes = []

    def find(self, picture):
        self.sizes.append(picture.shape[:2])
        dark = np.concatenate([[False], picture[:, picture.shape[1] // 2, 0] < 128, [False]])
        edges = np.flatnonzero(np.diff(dark.astype(np.int8)))
        width = picture.shape[1]
        return [
            np.array([[8, top], [width - 8, top], [width - 8, end], [8, end]], dtype=np.float64)
            for top, end in zip(edges[::2], edges[1::2], strict=True)
        ]

    def upside_down(self, crops):
        return [0.0 for _ in crops]

    def read(self, crops):
        return [Reading("line", 0.9, (0.1, 0.3, 0.6, 0.9)) for _ in crops]


def page(tops, *, width=2400, height=3000, line=10):
    image = np.full((height, width, 3), 255, np.uint8)
    for top in tops:
        image[top : top + line] = 0
    return image


@given(st.sets(st.integers(1, 145), max_size=30), st.integers(0, 9))
@settings(max_examples=12, deadline=None)
def test_every_small_line_of_a_large_page_is_found_once(places, shift):
    tops = [20 * place + shift for place in sorted(places)]
    found = sorted(float(quad[:, 1].min()) for quad in find_lines(page(tops), BlackLines()))
    assert found == pytest.approx(tops, abs=3)


def test_a_line_higher_than_the_overlap_of_bands_is_found_whole():
    found = find_lines(page([1000], line=3 * OVERLAP), BlackLines())
    assert [float(np.ptp(quad[:, 1])) for quad in found] == pytest.approx([3 * OVERLAP], abs=6)


@pytest.mark.parametrize("size", [(1, 1), (3, 4000), (4000, 3), (64, 64), (5792, 4096)])
def test_what_is_searched_in_one_go_is_bounded_and_never_too_small(size):
    engine = BlackLines()
    read_text(np.full((*size, 3), 255, np.uint8), engine, min_score=0.5)
    assert all(min(shape) >= 32 for shape in engine.sizes)
    assert all(shape[0] * shape[1] <= LONG_SIDE * LONG_SIDE + 2 * OVERLAP * 4096 for shape in engine.sizes)


def test_pieces_under_the_score_asked_for_are_left_out():
    image = page([50], width=400, height=200)
    assert [piece.text for piece in read_text(image, BlackLines(), min_score=0.9).pieces] == ["line"]
    assert read_text(image, BlackLines(), min_score=0.95).pieces == ()


def test_lines_of_one_page_are_bounded(monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINES", 5)
    text = read_text(page(range(20, 580, 20), width=800, height=600), BlackLines(), min_score=0.5)
    assert len(text.pieces) == 5


def test_a_tilted_line_is_cut_out_straight():
    picture = np.full((200, 300, 3), 255, np.uint8)
    corners = np.array([[50, 60], [250, 100], [244, 130], [44, 90]], dtype=np.float64)
    crop = cut_out(picture, corners)
    assert crop.shape == (30, 203, 3)
    tall = cut_out(picture, np.array([[50, 20], [80, 20], [80, 180], [50, 180]], dtype=np.float64))
    assert tall.shape == (30, 160, 3)
