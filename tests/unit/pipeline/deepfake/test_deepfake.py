"""The deepfake pipeline around any detector and classifier: frames in, rows out."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import ModelError, ParamsError
from pipeline.frame import Frame
from pipeline.marks import Mark, Moment
from pipeline.pipelines.deepfake import Deepfake
from pipeline.spec import ParamsInvalid, canonical_params
from tests.fakes.fake_shelf import FakeShelf, card_of

#: the classifier's input, by which the shelf below knows its pictures from the detector's
SIDE = 8
POINTS = [[20, 22], [32, 22], [26, 28], [22, 36], [30, 36]]


def params(**given):
    # min_quality 0: the pictures below are flat colours, which hold no detail at all
    chosen = {"detector": "finder", "classifier": "judge", "min_quality": 0}
    return canonical_params(Deepfake.spec.params_schema, {**chosen, **given})


def shelf_of(faces, labels=("fake", "real"), judge=None):
    """A detector that finds ``faces`` in every picture; a classifier by which P(fake) is how red a crop is."""

    def find(image):
        if image.shape[:2] != (SIDE, SIDE):
            return faces
        redness = round(float(image[:, :, 0].mean()) / 255, 4)
        return judge(image) if judge else [{"label": "fake", "score": redness}, {"label": "real", "score": 1 - redness}]

    finder = card_of("finder", labels=("face", "dog"), min_score=0.5)
    return FakeShelf(finder, card_of("judge", task="classify", labels=labels), find=find)


def face(x=10, y=10, size=30, score=0.9, label="face", **more):
    return {"label": label, "score": score, "box": [x, y, size * 0.8, size], **more}


def frame(red=128, scale=1.0, size=(100, 300), index=0):
    image = np.zeros((*size, 3), np.uint8)
    image[:, :, 0] = red
    return Frame(image, index, index, float(index), scale)


def rows_of(faces, frames=None, shelf=None, **given):
    pipeline, filled = Deepfake(), params(**given)
    frames = frames or [frame()]
    found = pipeline.infer(frames, filled, shelf or shelf_of(faces))
    return [pipeline.observe(None, one, item, filled) for one, item in zip(frames, found, strict=True)]


def test_the_defaults_are_yunet_and_mesonet():
    filled = canonical_params(Deepfake.spec.params_schema, {})
    assert (filled["detector"], filled["classifier"], filled["fake_label"]) == ("yunet", "mesonet", "fake")


@pytest.mark.parametrize(
    "bad",
    [{"detector": "../x"}, {"classifier": None}, {"crop": 1}, {"fake_above": 1.5}, {"max_faces": 0}, {"other": 1},
     {"track_gap_seconds": 0}, {"whole_below": -1}, {"min_score": 2}, {"min_quality": 1.1}],
)  # fmt: skip
def test_params_have_limits(bad):
    with pytest.raises(ParamsInvalid):
        params(**bad)


def test_where_no_face_is_found_no_classifier_is_loaded():
    shelf = shelf_of([face(label="dog")])
    assert rows_of([], [frame(), frame()], shelf) == [{"faces": []}] * 2
    assert shelf.seen == [[(100, 300, 3)] * 2]


def test_all_faces_of_a_batch_go_to_the_classifier_together():
    shelf = shelf_of([face(), face(x=150)])
    rows = rows_of([], [frame(red=255), frame(red=0), frame(red=51)], shelf)
    assert shelf.seen == [[(100, 300, 3)] * 3, [(SIDE, SIDE, 3)] * 6]
    assert [[one["score"] for one in row["faces"]] for row in rows] == [[1.0] * 2, [0.0] * 2, [0.2] * 2]
    assert [[one["label"] for one in row["faces"]] for row in rows] == [["fake"] * 2, ["real"] * 2, ["real"] * 2]


def test_a_batch_without_faces_asks_the_classifier_for_nothing_and_gives_empty_rows():
    assert rows_of([], [frame(), frame()]) == [{"faces": []}, {"faces": []}]


def test_each_face_is_judged_by_its_own_place_and_nothing_else():
    picture = frame(red=0)
    picture.image[:, 150:, 0] = 255
    (row,) = rows_of([face(x=10), face(x=200, size=40)], [picture])
    assert [(one["box"][0], one["score"]) for one in row["faces"]] == [(200, 1.0), (10, 0.0)]  # largest first


def test_boxes_and_landmarks_are_in_source_pixels_and_crop_pixels_in_the_frames():
    found = [face(keypoints=POINTS)]
    (full,) = rows_of(found)[0]["faces"]
    (one,) = rows_of(found, [frame(scale=0.5)])[0]["faces"]
    assert one["box"] == [20, 20, 48, 60]
    assert one["keypoints"] == [[2 * x, 2 * y] for x, y in POINTS]
    assert one["crop_pixels"] == full["crop_pixels"] == pytest.approx(14 * 2.86, abs=0.1)
    assert one["confidence"] == 0.9
    assert 0 < one["weight"] <= 1


def test_what_is_no_face_or_not_sure_enough_is_left_out():
    found = [face(label="dog"), face(x=100, score=0.55), face(x=150, score=0.4), face(x=200, score=0.9)]
    assert len(rows_of(found)[0]["faces"]) == 2
    assert len(rows_of(found, min_score=0.3)[0]["faces"]) == 3
    assert [one["box"][0] for one in rows_of(found, face_label="dog")[0]["faces"]] == [10]


def test_no_more_faces_than_asked_for_the_largest_first():
    found = [face(size=10), face(x=100, size=30), face(x=200, size=20)]
    assert [one["box"][3] for one in rows_of(found, max_faces=2)[0]["faces"]] == [30, 20]


def test_a_picture_that_is_a_crop_already_is_judged_whole():
    picture = frame(red=0, size=(60, 60))
    picture.image[:, :, 0] = np.linspace(0, 255, 60)[None].round()
    whole, scene = rows_of([face(x=14, size=40)], [picture]), rows_of([face(x=14, size=40)], [picture], whole_below=0)
    assert whole[0]["faces"][0]["crop_pixels"] == 60
    assert scene[0]["faces"][0]["crop_pixels"] == pytest.approx(0.36 * 40 * 2.86, abs=0.1)


def test_without_a_detector_every_picture_is_one_face():
    shelf = shelf_of([face()])
    (row,) = rows_of([], [frame(red=255, size=(90, 80))], shelf, detector=None)
    assert shelf.seen == [[(SIDE, SIDE, 3)]]
    (one,) = row["faces"]
    assert (one["box"], one["score"], "confidence" in one) == ([0, 0, 80, 90], 1.0, False)
    assert [used["name"] for used in Deepfake().models_used(params(detector=None), shelf)] == ["judge"]


def test_models_and_their_cost_are_those_that_the_params_name():
    assert [one["name"] for one in Deepfake().models_used(params(), shelf_of([]))] == ["finder", "judge"]
    assert Deepfake().cost_seconds(params(), shelf_of([])) == 0.5


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ({"detector": "judge"}, "params.invalid", "is a classify model"),
        ({"classifier": "finder"}, "params.invalid", "is a detect model"),
        ({"classifier": "absent"}, "model.unknown", "absent"),
        ({"fake_label": "forged"}, "params.invalid", "no label 'forged'"),
        ({"face_label": "cat"}, "params.invalid", "no label 'cat'"),
        ({"fake_above": 0.3, "real_below": 0.5}, "params.invalid", "must not be above"),
    ],
)
def test_models_labels_and_thresholds_that_do_not_fit_are_refused(given, code, says):
    with pytest.raises(ParamsError, match=says) as caught:
        Deepfake().check(params(**given), shelf_of([]))
    assert caught.value.code == code


def test_another_label_may_mean_fake():
    shelf = shelf_of([face()], ("forged", "sound"), lambda image: [{"label": "forged", "score": 0.7}])
    Deepfake().check(params(fake_label="forged"), shelf)
    assert rows_of([], shelf=shelf, fake_label="forged")[0]["faces"][0]["score"] == 0.7
    with pytest.raises(ModelError, match="no score for 'fake'"):
        rows_of([], shelf=shelf)


def test_thresholds_decide_on_the_label():
    labels = [
        rows_of([face()], [frame(red)], fake_above=0.8, real_below=0.2)[0]["faces"][0]["label"]
        for red in (0, 51, 52, 203, 204, 255)
    ]
    assert labels == ["real", "real", "uncertain", "uncertain", "fake", "fake"]


def test_of_a_face_without_detail_nothing_is_told():
    flat = rows_of([face()], [frame(255)], min_quality=0.04)[0]["faces"][0]
    assert (flat["score"], flat["label"]) == (1.0, "uncertain")
    noisy = frame(0)
    noisy.image[:] = np.random.default_rng(2).integers(0, 40, noisy.image.shape)
    (sharp,) = rows_of([face()], [noisy], min_quality=0.04)[0]["faces"]
    assert sharp["weight"] > 0.04 > flat["weight"]
    assert sharp["label"] == "real"


def test_faces_are_marked_and_the_worst_moments_kept():
    (row,) = rows_of([face(keypoints=POINTS)], [frame(255)])
    box, points = Deepfake().marks(row, params())
    assert box == Mark("box", ((10, 10), (34, 40)), "fake, P(fake) 1.00", "fake")
    assert points == Mark("points", tuple(map(tuple, POINTS)), group="fake")
    worst = [{"index": 7, "seconds": 1.25, "track": 0, "score": 0.913, "weight": 1.0, "box": [1, 2, 3, 4]}]
    assert Deepfake().moments({"worst": worst}, params()) == [Moment(7, "P(fake) 0.91 at 1.25 s", (1, 2, 3, 4))]
    assert Deepfake().marks({"faces": []}, params()) == []
