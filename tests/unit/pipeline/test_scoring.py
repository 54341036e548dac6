"""What a model is worth on pictures whose truth is known."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.errors import ParamsError
from pipeline.models.scoring import average_precision, classifier_figures, detector_figures
from pipeline.models.truth import TrueObject, read_truth
from tests.model_packages import brightness_classifier


def found(label, score, *box):
    return {"label": label, "score": score, "box": list(box)}


def ap(scores, hits, total):
    return average_precision(np.asarray(scores, float), np.asarray(hits, bool), total)


def test_average_precision_is_cocos():
    assert ap([0.9, 0.8], [True, True], 2) == 1.0
    assert ap([], [], 3) == 0.0
    assert ap([0.9], [True], 2) == pytest.approx(51 / 101, abs=1e-4)  # recall 0.5 is reached, 1 never
    assert ap([0.9, 0.8, 0.7], [True, False, True], 2) == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-4)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40), st.integers(0, 5))
def test_average_precision_lies_between_0_and_1_and_falls_with_what_was_missed(told, missed):
    scores, hits = [one[0] for one in told], [one[1] for one in told]
    total = sum(hits)
    value = ap(scores, hits, total + missed)
    assert 0 <= value <= 1
    assert ap(scores, hits, total + missed + 1) <= value or total + missed == 0


TRUTH = {
    "1.png": [TrueObject("cat", (0, 0, 10, 10)), TrueObject("dog", (20, 20, 10, 10))],
    "2.png": [TrueObject("cat", (5, 5, 20, 20), crowd=True)],
}


def test_each_object_is_hit_once_and_a_crowd_is_neither_missed_nor_wrong():
    told = {
        "1.png": [found("cat", 0.9, 0, 0, 10, 10), found("cat", 0.8, 1, 0, 10, 10), found("dog", 0.7, 40, 40, 5, 5)],
        "2.png": [found("cat", 0.95, 5, 5, 20, 20)],
    }
    report = detector_figures(told, TRUTH, ("cat", "dog"), min_score=0.5)
    assert report["labels"]["cat"] == {"objects": 1, "ap50": 1.0, "precision": 0.5, "recall": 1.0}
    assert report["labels"]["dog"] == {"objects": 1, "ap50": 0.0, "precision": 0.0, "recall": 0.0}
    assert report["map50"] == 0.5


def test_a_label_that_the_card_lacks_counts_as_missed_and_is_named():
    report = detector_figures({"1.png": [], "2.png": []}, TRUTH, ("cat",), min_score=0.5)
    assert (report["map50"], report["labels_not_in_card"]) == (0.0, ["dog"])


def test_a_classifier_is_judged_by_its_best_label_and_by_label():
    told = {
        "1": [found("a", 0.9), found("b", 0.1)],
        "2": [found("a", 0.6), found("b", 0.4)],
        "3": [found("b", 0.6)],
    }
    report = classifier_figures(told, {"1": "a", "2": "b", "3": "c"}, ("a", "b"))
    assert (report["accuracy"], report["accuracy_top5"]) == (pytest.approx(1 / 3, abs=1e-4), pytest.approx(0.6667))
    assert report["labels"]["a"] == {"pictures": 1, "precision": 0.5, "recall": 1.0}
    assert report["labels_not_in_card"] == ["c"]
    assert {"true": "b", "told": "a", "pictures": 1} in report["most_mixed_up"]


@pytest.mark.parametrize(
    ("task", "text", "fault"),
    [
        ("classify", "name,label\n", "must name the columns file and label"),
        ("classify", "file,label\n1.png,\n", "line 2 lacks a file or a label"),
        ("classify", "file,label\n1.png,a\n1.png,b\n", "line 3 gives 1.png a second label"),
        ("classify", "file,label\n", "names no picture"),
        ("classify", f"file,label\n{'x' * 200_000},a\n", "is no CSV"),
        ("detect", "[]", "is not COCO JSON"),
        ("detect", "{", "is not COCO JSON"),
        ("detect", '{"images": [], "annotations": [], "categories": []}', "names no picture"),
        ("tensors", "", "neither objects nor labels"),
    ],
)
def test_a_ground_truth_with_faults_is_told_where_they_are(tmp_path, task, text, fault):
    (tmp_path / "truth").write_text(text)
    with pytest.raises(ParamsError, match=fault):
        read_truth(tmp_path / "truth", task)


def test_coco_is_read(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0}],
    }))  # fmt: skip
    truth = read_truth(tmp_path / "t.json", "segment")
    assert truth.objects == {"a.png": [TrueObject("cat", (1, 2, 3, 4))], "b.png": []}


def test_the_command_line_evaluates_and_keeps_the_report_beside_the_card(tmp_path, monkeypatch, capsys):
    brightness_classifier(tmp_path / "models")
    for name, level in (("night.png", 20), ("day.png", 230), ("dusk.png", 100)):
        cv2.imwrite(str(tmp_path / name), np.full((20, 30, 3), level, np.uint8))
    (tmp_path / "truth.csv").write_text("file,label\nnight.png,dark\nday.png,bright\ndusk.png,bright\n")
    monkeypatch.setenv("FQ_MODEL_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("FQ_MODEL_CACHE", str(tmp_path / "cache"))
    words = ["models", "evaluate", "brightness", "--pictures", str(tmp_path), "--truth"]
    assert main([*words, str(tmp_path / "truth.csv")]) == 0
    assert "accuracy 0.6667 on 3 pictures" in capsys.readouterr().out
    report = json.loads((tmp_path / "models" / "brightness" / "evaluation.json").read_text())
    assert (report["accuracy"], report["model"], len(report["digest"])) == (0.6667, "brightness", 64)
    (tmp_path / "other.csv").write_text("file,label\nabsent.png,dark\n")
    assert main([*words, str(tmp_path / "other.csv")]) == 1
    assert "error media.undecodable" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "truth.csv"), "--out", str(tmp_path / "absent" / "report.json")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert main(["models", "export", "brightness", "--to", "int8", "--out", "/proc/none/copy"]) == 1
    assert "error params.invalid" in capsys.readouterr().err
    (tmp_path / "outside.csv").write_text("file,label\n../../../../../etc/passwd,dark\n")
    assert main([*words, str(tmp_path / "outside.csv")]) == 1
    assert "error media.undecodable" in capsys.readouterr().err
