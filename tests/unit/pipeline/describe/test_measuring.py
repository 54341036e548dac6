"""Character error rates, matched by box or in order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.describe.measuring import ErrorRate, by_box, covered, edit_distance, fold, in_order

WORDS = st.text("abc ", max_size=12)


@pytest.mark.parametrize(
    ("left", "right", "edits"), [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ("a", "A", 1)]
)
def test_edits_are_insertions_deletions_and_replacements(left, right, edits):
    assert edit_distance(left, right) == edits


@given(WORDS, WORDS, WORDS)
@settings(max_examples=60, deadline=None)
def test_edit_distance_is_a_metric(one, two, three):
    assert edit_distance(one, two) == edit_distance(two, one)
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)


def test_case_and_spaces_are_folded():
    assert fold(" The\tQuick \n") == "thequick"


def test_pieces_of_a_line_are_joined_from_left_to_right():
    truth = [("Soup 4.50", [0, 0, 100, 10]), ("Tea 2.00", [0, 20, 100, 10])]
    read = [("4.50", [80, 0, 20, 10]), ("soup", [0, 1, 40, 9]), ("tea 2.00", [1, 20, 90, 11])]
    assert by_box(truth, read) == ErrorRate(0, 15)


def test_text_where_none_is_counts_as_insertion_and_a_missed_line_as_deletion():
    assert by_box([("abcd", [0, 0, 10, 10])], [("xy", [50, 50, 10, 10])]) == ErrorRate(6, 4)
    assert by_box([], [("xy", [0, 0, 9, 9])]).share == 1.0


def test_lines_without_boxes_are_paired_in_order_with_the_fewest_edits():
    assert in_order(["one", "two", "three"], ["One", "threx"]) == ErrorRate(4, 11)
    assert in_order(["one"], ["junk", "one"]).edits == 4


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4))
@settings(max_examples=60, deadline=None)
def test_pairing_never_costs_more_than_rewriting_all_and_nothing_for_the_truth(truth, read):
    assert in_order(truth, truth).edits == 0
    assert in_order(truth, read).edits <= sum(len(fold(line)) for line in [*truth, *read])


def test_covered_is_the_share_of_the_first_box():
    assert covered([0, 0, 10, 10], [5, 0, 100, 10]) == 0.5
    assert covered([0, 0, 10, 10], [20, 20, 5, 5]) == 0.0
