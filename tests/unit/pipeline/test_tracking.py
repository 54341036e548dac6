"""Track ids: one per thing, kept while it moves, never shared."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tracking import Tracker, assign, overlaps

BOX = st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2)
MOMENT = st.lists(st.tuples(BOX, st.sampled_from("ab")), max_size=6)
FILM = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 2.0]), MOMENT), max_size=12)


def ids_of(film, **options):
    tracker, seconds, told = Tracker(**options), 0.0, []
    for gap, moment in film:
        seconds += gap
        told.append(tracker.step(seconds, [box for box, _ in moment], [label for _, label in moment]))
    return told


@given(FILM)
@settings(max_examples=80, deadline=None)
def test_ids_are_one_to_one_rise_by_first_appearance_and_keep_their_label(film):
    told, labels, seen = ids_of(film), {}, []
    assert told == ids_of(film)  # the same film, the same ids
    for (_, moment), ids in zip(film, told, strict=True):
        assert len(ids) == len(moment)
        assert len(set(ids)) == len(ids)
        for (_, label), track in zip(moment, ids, strict=True):
            assert labels.setdefault(track, label) == label
            if track not in seen:
                seen.append(track)
    assert seen == list(range(len(seen)))


@given(FILM, st.floats(0.05, 0.9))
@settings(max_examples=80, deadline=None)
def test_an_id_is_only_kept_within_the_gap_and_the_overlap(film, min_iou):
    seconds, last = 0.0, {}
    for (gap, moment), ids in zip(film, ids_of(film, min_iou=min_iou, max_gap_seconds=1.0), strict=True):
        seconds += gap
        for (box, _), track in zip(moment, ids, strict=True):
            if track in last:
                then, where = last[track]
                assert round(seconds - then, 6) <= 1.0
                assert overlaps([box], [where])[0, 0] >= min_iou
            last[track] = (seconds, box)


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=40),
    st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_a_box_that_moves_slowly_keeps_its_id(steps, missed):
    tracker, x, y, seconds = Tracker(max_gap_seconds=1.0), 500, 500, 0.0
    for place, (right, down) in enumerate(steps):
        x, y, seconds = x + right, y + down, seconds + 0.2
        if place % 5 < missed and place:
            tracker.step(seconds, [], [])  # not found for at most three looks, 0.8 s
            x, y = x - right, y - down
            continue
        assert tracker.step(seconds, [(x, y, 40, 40)], ["face"]) == [0]


@given(st.integers(0, 30), st.integers(1, 6), st.integers(1, 6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_two_that_cross_stay_two(offset, speed, other_speed, swap):
    tracker, seen = Tracker(), set()
    for place in range(60):
        boxes = [(place * speed, 0, 40, 40), (200 - place * other_speed, offset, 40, 40)]
        ids = tracker.step(place / 10, boxes[::-1] if swap else boxes, ["face", "face"])
        assert len(set(ids)) == 2
        seen.update(ids)
    assert seen == {0, 1}


def test_two_that_pass_beside_each_other_keep_their_own_ids():
    tracker = Tracker()
    for place in range(50):
        assert tracker.step(place / 10, [(place * 4, 0, 40, 40), (200 - place * 4, 25, 40, 40)], "aa") == [0, 1]


def test_a_row_of_like_things_that_moves_together_is_not_counted_anew():
    # each box overlaps the place of its neighbour a little more than its own: the best pair first would shift all ids
    tracker = Tracker(min_iou=0.3)
    before = [(place * 22, 0, 40, 40) for place in range(5)]
    moved = [(place * 22 + 12, 0, 40, 40) for place in range(5)]
    assert overlaps(moved[:1], before[1:2])[0, 0] > overlaps(moved[:1], before[:1])[0, 0] > 0.3
    tracker.step(0.0, before, ["apple"] * 5)
    assert tracker.step(0.2, moved, ["apple"] * 5) == [0, 1, 2, 3, 4]


def test_a_longer_gap_gives_a_new_id_and_the_old_one_is_never_given_again():
    tracker, box = Tracker(max_gap_seconds=1.0), [(0, 0, 10, 10)]
    assert [tracker.step(at, box, ["a"]) for at in (0.0, 1.0, 2.01, 2.5, 60.0)] == [[0], [0], [1], [1], [2]]


@given(st.integers(0, 10**9), st.sampled_from([100_000, 500_000, 700_000, 1_000_000, 3_000_000]))
@settings(max_examples=100, deadline=None)
def test_a_box_seen_again_exactly_after_the_gap_keeps_its_id(start, gap):
    tracker = Tracker(max_gap_seconds=gap / 1e6)  # as 8.3 - 7.3, which floating point makes more than 1
    for place in range(10):
        assert tracker.step((start + place * gap) / 1e6, [(0, 0, 10, 10)], ["a"]) == [0]
    assert tracker.step((start + 10 * gap + 1) / 1e6, [(0, 0, 10, 10)], ["a"]) == [1]


def test_things_of_different_labels_are_different_things():
    tracker, box = Tracker(), (0, 0, 10, 10)
    assert tracker.step(0.0, [box, box], ["a", "b"]) == [0, 1]
    assert tracker.step(0.1, [box, box], ["b", "a"]) == [1, 0]
    assert tracker.step(0.2, [box], ["c"]) == [2]


def test_what_cannot_be_is_refused():
    tracker = Tracker()
    tracker.step(1.0, [], [])
    with pytest.raises(ValueError, match="time goes back"):
        tracker.step(0.5, [], [])
    with pytest.raises(ValueError, match="1 boxes, 0 labels"):
        tracker.step(1.0, [(0, 0, 1, 1)], [])
    with pytest.raises(ValueError, match="min_iou"):
        Tracker(min_iou=0.0)


def test_memory_holds_only_what_was_seen_lately():
    tracker = Tracker(max_gap_seconds=1.0)
    for place in range(2000):
        tracker.step(place / 10, [((place * 50) % 5000, 0, 10, 10)], ["a"])
    assert len(tracker._tracks) <= 11


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_an_assignment_is_the_best_there_is(rows, columns, seed):
    drawn = np.random.default_rng(seed)
    gain = drawn.random((rows, columns)) * (drawn.random((rows, columns)) > 0.4)
    chosen = assign(gain)
    assert len(set(chosen)) == rows
    padded = np.concatenate([gain, np.zeros((rows, rows))], axis=1)
    best = max(padded[range(rows), one].sum() for one in itertools.permutations(range(columns + rows), rows))
    assert padded[range(rows), chosen].sum() == pytest.approx(best)
