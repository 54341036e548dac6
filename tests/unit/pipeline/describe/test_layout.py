"""Reading order: lines, columns, blocks, whichever way the page is turned; and spaces that were left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.describe.engine import Reading
from pipeline.describe.layout import joined, lines_of
from pipeline.describe.pieces import Piece, Text
from pipeline.describe.spacing import spaced


def piece(text, x, y, width=100.0, height=20.0, score=0.9):
    quad = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], dtype=np.float64)
    return Piece(text, score, quad)


def turned(one, degrees):
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Piece(one.text, one.score, one.quad @ rotation.T)


def texts(*pieces, scale=1.0):
    return [line["text"] for line in lines_of(Text(tuple(pieces), 0), scale)]


RECEIPT = (piece("12.50", 250, 101, 50), piece("TOTAL", 0, 100, 60), piece("CAFE", 0, 0), piece("Soup 4.50", 0, 70))


def test_pieces_side_by_side_are_one_line_and_lines_go_down():
    assert texts(*RECEIPT) == ["CAFE", "Soup 4.50", "TOTAL 12.50"]


@given(st.permutations(RECEIPT), st.integers(-180, 180))
@settings(max_examples=40, deadline=None)
def test_order_of_finding_and_direction_of_the_page_do_not_matter(pieces, degrees):
    assert texts(*(turned(one, degrees) for one in pieces)) == ["CAFE", "Soup 4.50", "TOTAL 12.50"]


def test_columns_are_read_one_after_the_other():
    left = [piece(f"left {place}", 0, 24 * place, 200) for place in range(3)]
    right = [piece(f"right {place}", 500, 24 * place, 200) for place in range(3)]
    assert texts(*right, *left) == ["left 0", "left 1", "left 2", "right 0", "right 1", "right 2"]


def test_blocks_are_parted_by_an_empty_line():
    lines = lines_of(Text((piece("a", 0, 0), piece("b", 0, 24), piece("c", 0, 200)), 0), 1.0)
    assert joined(lines) == "a\nb\n\nc"


def test_places_are_in_source_pixels_and_scores_weigh_by_length():
    (line,) = lines_of(Text((piece("abcdefgh", 0, 0, score=1.0), piece("ij", 110, 0, score=0.5)), 0), 0.5)
    assert (line["box"], line["angle"], line["score"]) == ([0, 0, 420, 40], 0.0, 0.9)
    assert line["quad"] == [[0, 0], [420, 0], [420, 40], [0, 40]]
    assert [one["box"] for one in line["pieces"]] == [[0, 0, 200, 40], [220, 0, 200, 40]]


def test_a_page_without_text_has_no_lines():
    assert texts() == []
    assert joined([]) == ""


def crop(*stretches, width=200):
    image = np.full((40, width, 3), 255, np.uint8)
    for start, end in stretches:
        image[8:32, start:end] = 0
    return image


def test_a_wide_gap_between_letters_is_a_space():
    reading = Reading("abcd", 0.9, (0.05, 0.15, 0.35, 0.45))
    inked = crop((2, 18), (22, 38), (62, 78), (82, 98))
    assert spaced(reading, inked) == "ab cd"


@pytest.mark.parametrize("text", ["1234", "天下太平", "a  b"])
def test_numbers_and_scripts_without_spaces_are_left_as_they_are(text):
    reading = Reading(text, 0.9, (0.05, 0.15, 0.5, 0.9))
    assert spaced(reading, crop((5, 15), (25, 35), (95, 105), (175, 185))) == text


@given(st.text("ab1. ", min_size=3, max_size=8))
@settings(max_examples=40, deadline=None)
def test_spacing_changes_nothing_but_spaces(text):
    columns = tuple((place + 0.5) / len(text) for place in range(len(text)))
    told = spaced(Reading(text, 0.9, columns), crop((10, 30), (90, 110)))
    assert told.replace(" ", "") == text.replace(" ", "")
    assert "  " not in told or "  " in text
