"""A vote: weighted, trimmed, bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.deepfake.votes import BINS, TRIMMED, Vote

SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=60)


def vote_of(scores):
    vote = Vote()
    for score, weight in scores:
        vote.add(score, weight)
    return vote


def trimmed_mean(scores):
    """The same by sorting every score: a tenth of the weight away at either end."""
    ranked = sorted(scores)
    values, weights = np.array(ranked).T
    ends = np.cumsum(weights)
    low, high = TRIMMED * ends[-1], (1 - TRIMMED) * ends[-1]
    kept = np.clip(np.minimum(ends, high) - np.maximum(ends - weights, low), 0, None)
    return float((kept * values).sum() / kept.sum())


@given(SCORES)
@settings(max_examples=100, deadline=None)
def test_a_vote_is_the_trimmed_mean_to_within_a_bin(scores):
    vote = vote_of(scores)
    assert vote.mean() == pytest.approx(trimmed_mean(scores), abs=1 / BINS)
    assert min(scores)[0] - 1e-9 <= vote.quantile(0.1) <= vote.quantile(0.9) <= max(scores)[0] + 1e-9
    assert vote.weight == pytest.approx(sum(weight for _, weight in scores))


@given(st.floats(0, 1), st.lists(st.floats(0.01, 1), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_one_score_said_often_is_told_as_it_is(score, weights):
    assert vote_of([(score, weight) for weight in weights]).mean() == pytest.approx(score, abs=1e-9)


def test_a_few_frames_gone_wrong_do_not_move_a_vote():
    sound = [(0.05, 1.0)] * 95
    assert vote_of([*sound, *[(1.0, 1.0)] * 5]).mean() == pytest.approx(0.05)
    assert vote_of([*sound, *[(1.0, 1.0)] * 40]).mean() > 0.2


def test_small_or_blurred_faces_count_less():
    assert vote_of([(0.9, 1.0)] * 10 + [(0.1, 0.02)] * 30).mean() > 0.85
    assert vote_of([(0.9, 0.02)] * 30 + [(0.1, 1.0)] * 10).mean() < 0.15


def test_memory_does_not_grow_with_the_frames():
    drawn = np.random.default_rng(3)
    vote = vote_of([(float(score), 0.5) for score in drawn.random(20_000)])
    assert len(vote._bins) <= BINS
    assert vote.mean() == pytest.approx(0.5, abs=0.02)
