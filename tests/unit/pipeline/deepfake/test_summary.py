"""From rows to a verdict: tracks, votes, curve, worst moments."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.deepfake.followed import KEPT_FACES, FollowedFaces
from pipeline.pipelines.deepfake import Deepfake
from pipeline.spec import canonical_params
from tests.fakes.fake_cage import FakeMedia


def params(**given):
    return canonical_params(Deepfake.spec.params_schema, given)


def face(score, x=0, weight=1.0, size=100):
    return {"box": [x, 0, size, size], "score": score, "weight": weight}


def row(seconds, *faces, **more):
    return {"index": round(seconds * 10), "pts_seconds": seconds, "faces": list(faces), **more}


def told_of(rows, media=None, **given):
    return Deepfake().summarize(iter(rows), (media or FakeMedia(frames=50)).info(), params(**given))


def still(*faces, **given):
    return told_of([row(0.0, *faces)], FakeMedia(kind="image"), **given)


def test_a_summary_tells_every_field_that_is_explained():
    assert list(still(face(0.9))) == list(Deepfake.spec.summary_fields)
    assert list(still()) == list(Deepfake.spec.summary_fields)


def test_a_picture_without_a_face_says_so():
    told = still()
    assert (told["label"], told["score"], told["faces"], told["worst"]) == ("no_face", None, [], [])
    assert told["curve"]["points"] == [{"seconds": 0, "score": None, "peak": None, "faces": 0}]
    assert told_of([])["label"] == "no_face"


@pytest.mark.parametrize(
    ("scores", "label", "score"),
    [
        ([0.1], "real", 0.1),
        ([0.5], "uncertain", 0.5),
        ([0.9], "fake", 0.9),
        ([0.1, 0.9], "fake", 0.9),
        ([0.1, 0.5], "uncertain", 0.5),
        ([0.5, 0.7], "fake", 0.7),
        ([0.4, 0.0], "real", 0.4),
        ([0.6], "fake", 0.6),
    ],
)
def test_one_fake_face_makes_a_picture_fake_and_all_must_be_real(scores, label, score):
    told = still(*[face(one, x=200 * place) for place, one in enumerate(scores)])
    assert (told["label"], told["score"], told["faces_found"]) == (label, score, len(scores))


def test_thresholds_are_the_jobs():
    assert still(face(0.3), fake_above=0.25, real_below=0.2)["label"] == "fake"
    assert still(face(0.3), real_below=0.2)["label"] == "uncertain"


def test_a_face_is_followed_and_voted_on_over_time():
    rows = [row(place / 10, face(0.8, x=3 * place), face(0.1, x=600 - 3 * place)) for place in range(20)]
    told = told_of(rows)
    assert told["faces_found"] == 2
    assert [(one["label"], one["frames"], one["first_seconds"], one["last_seconds"]) for one in told["faces"]] == [
        ("fake", 20, 0.0, 1.9),
        ("real", 20, 0.0, 1.9),
    ]
    assert (told["label"], told["score"]) == ("fake", 0.8)
    assert told["seconds_with_faces"] == pytest.approx(2.0)


def test_a_few_wild_frames_do_not_turn_a_verdict():
    rows = [row(place / 10, face(1.0 if place % 20 == 7 else 0.1)) for place in range(100)]
    told = told_of(rows)
    assert (told["label"], told["score"]) == ("real", 0.1)
    assert told["worst"][0]["score"] == 1.0  # but they are shown


def test_small_or_blurred_frames_of_a_face_count_less():
    rows = [row(place / 10, face(0.9, weight=0.02) if place % 2 else face(0.1, weight=1.0)) for place in range(40)]
    (one,) = told_of(rows)["faces"]
    assert one["label"] == "real"
    assert one["quality"] == pytest.approx(0.51)
    assert (one["low"], one["high"]) == (0.1, 0.1)


def test_a_face_far_in_the_background_does_not_decide():
    rows = [row(place / 10, face(0.1), face(0.99, x=500, weight=0.05, size=20)) for place in range(20)]
    told = told_of(rows, min_quality=0)
    assert (told["label"], told["score"]) == ("real", 0.1)
    assert [(one["label"], one["counts"]) for one in told["faces"]] == [("real", True), ("fake", False)]
    assert [one["box"] for one in told["faces"]] == [[0, 0, 100, 100], [500, 0, 20, 20]]


def test_a_face_too_small_or_blurred_to_be_judged_is_uncertain_and_decides_only_where_no_other_can():
    poor = face(0.99, x=500, weight=0.08)
    alone = told_of([row(place / 10, poor) for place in range(20)])
    assert (alone["label"], alone["score"]) == ("uncertain", 0.99)
    assert [(one["label"], one["counts"]) for one in alone["faces"]] == [("uncertain", True)]
    beside = told_of([row(place / 10, poor, face(0.1, weight=0.12)) for place in range(20)])
    assert (beside["label"], beside["score"]) == ("real", 0.1)
    assert [(one["label"], one["counts"]) for one in beside["faces"]] == [("real", True), ("uncertain", False)]
    assert still(poor, min_quality=0)["label"] == "fake"


def test_a_lone_find_in_a_video_is_told_but_does_not_decide():
    rows = [row(place / 10, *([face(0.99)] if place == 5 else [])) for place in range(20)]
    told = told_of(rows)
    assert (told["label"], told["score"]) == ("no_face", None)
    assert [(one["frames"], one["counts"]) for one in told["faces"]] == [(1, False)]
    assert told_of(rows[4:7])["label"] == "fake"  # of three frames one is a third


def test_one_who_leaves_for_long_comes_back_as_another():
    rows = [row(place / 10, *([] if 10 <= place < 30 else [face(0.1)])) for place in range(40)]
    assert told_of(rows)["faces_found"] == 2
    assert told_of(rows, track_gap_seconds=3)["faces_found"] == 1


@pytest.mark.parametrize("gap", [0.5, 5.0, 600.0])
def test_frames_far_apart_are_followed_from_one_to_the_next(gap):
    assert told_of([row(place * gap, face(0.2)) for place in range(12)])["faces_found"] == 1


@pytest.mark.parametrize("gap", [0.1, 0.7, 1.0, 3.0])
def test_one_who_stays_is_one_face_however_unevenly_it_is_looked_at(gap):
    # sums of such times are not exact: each looks a hair longer than the gap now and then
    random = np.random.default_rng(1)
    times = np.round(np.cumsum(random.choice([gap, 5.0, 0.033367, 0.5], 300)), 6).tolist()
    assert told_of([row(at, face(0.2)) for at in times], track_gap_seconds=gap)["faces_found"] == 1


def test_the_curve_tells_each_second():
    rows = [
        row(0.0, face(0.2, weight=1.0), face(0.8, x=300, weight=0.5)),
        row(0.5, face(0.2, weight=1.0)),
        row(1.2),
        row(2.1, face(0.9, weight=0.1)),
    ]
    assert told_of(rows)["curve"] == {
        "bin_seconds": 1,
        "points": [
            {"seconds": 0, "score": 0.32, "peak": 0.8, "faces": 2},
            {"seconds": 1, "score": None, "peak": None, "faces": 0},
            {"seconds": 2, "score": 0.9, "peak": 0.9, "faces": 1},
        ],
    }


def test_the_worst_moments_are_one_per_face_and_second_highest_first():
    rows = [row(place / 10, face(place / 100), face(0.05, x=400)) for place in range(80)]
    worst = told_of(rows)["worst"]
    assert [(one["index"], one["track"], one["score"]) for one in worst] == [
        (79, 0, 0.79), (69, 0, 0.69), (59, 0, 0.59), (49, 0, 0.49), (39, 0, 0.39),
    ]  # fmt: skip
    assert worst[0]["box"] == [0, 0, 100, 100]


def test_a_worst_moment_just_before_a_second_is_not_taken_for_one_of_the_next():
    # 1.9996 is told as 2.0, and is of second 1 all the same
    many = [row(3.0 + place, face(0.1)) for place in range(60)]
    worst = told_of([row(1.9996, face(0.9)), row(2.5, face(0.8)), *many])["worst"]
    assert [one["score"] for one in worst[:2]] == [0.9, 0.8]


def test_a_result_that_is_repeated_counts_for_the_vote_but_is_no_moment_of_its_own():
    rows = [row(place / 10, face(0.7), carried_from=None if place == 0 else 0) for place in range(20)]
    told = told_of(rows)
    assert (told["inferred"], told["faces"][0]["frames"], len(told["worst"])) == (1, 20, 1)


def test_a_summary_of_hours_and_crowds_stays_small():
    def crowd():
        for second in range(3600):
            yield row(float(second), *[face(0.5, x=(second % 7) * 2000 + 200 * n, weight=0.3) for n in range(3)])

    told = told_of(crowd())
    assert told["faces_found"] > 3000
    assert (len(told["faces"]), told["truncated"]) == (100, ["faces"])
    assert len(told["curve"]["points"]) <= 600
    assert len(json.dumps(told)) < 80_000
    followed = FollowedFaces(params())
    for second in range(2500):
        followed.step(float(second), [face(0.5, x=(second % 7) * 2000)])
    assert len(followed._present) <= 3
    assert len(followed._gone) <= 2 * KEPT_FACES
