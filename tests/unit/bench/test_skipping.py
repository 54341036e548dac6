"""How the loss of answer is counted, and that the plot is one."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from bench.skipping.__main__ import Outcome, table, verdicts
from bench.skipping.answers import boxes_kept, held, labels_kept, moving_kept, overlap
from bench.skipping.plot import Point, svg


def row(index: int, *labels: str, at: float = 0.0) -> dict[str, Any]:
    return {"index": index, "objects": [{"label": label, "box": [at, 0, 10, 10]} for label in labels]}


def test_a_frame_that_was_not_sampled_has_the_answer_of_the_last_one_before_it() -> None:
    rows = [row(0, "a"), row(3, "b"), row(4)]
    assert [one["index"] for one in held(rows, 6)] == [0, 0, 0, 3, 4, 4]


def test_the_every_frame_answer_keeps_all_and_another_keeps_what_they_share() -> None:
    truth = [row(0, "a"), row(1, "a", "b"), row(2), row(3, "b")]
    assert labels_kept(truth, truth) == boxes_kept(truth, truth) == moving_kept(truth, truth) == 1.0
    told = held([row(0, "a"), row(2)], 4)
    assert labels_kept(truth, told) == pytest.approx(2 * 2 / (4 + 2))
    assert boxes_kept(truth, told) == pytest.approx(2 * 2 / (4 + 2))
    assert moving_kept(truth, told) == 0.75


def test_nothing_said_of_nothing_is_a_whole_answer() -> None:
    assert labels_kept([row(0)], [row(0)]) == boxes_kept([row(0)], [row(0)]) == 1.0


def test_a_box_that_has_moved_away_is_lost_though_its_label_is_kept() -> None:
    assert overlap([0, 0, 10, 10], [5, 0, 10, 10]) == pytest.approx(1 / 3)
    truth, told = (
        [row(0, "a", "a")],
        [{"index": 0, "objects": [*row(0, "a")["objects"], *row(0, "a", at=6)["objects"]]}],
    )
    assert boxes_kept(truth, told) == 0.5
    assert labels_kept(truth, told) == 1.0
    assert boxes_kept([row(0, "a")], [row(0, "b")]) == 0.0


def outcome(policy: str, kept: float, clip: str = "car_detection") -> Outcome:
    return Outcome(clip, "detect", "labels", policy, 0.1, kept)


@pytest.mark.parametrize(
    ("own", "other", "case"), [(0.96, 0.9, "kept"), (0.9, 0.8, "missed"), (0.9, 0.97, "stride is enough")]
)
def test_a_verdict_says_whether_the_bar_is_kept_where_a_stride_does_not_do(own: float, other: float, case: str) -> None:
    found = [outcome("adaptive, candidates 1 in 1, budget 0.1", own), outcome("stride 10", other)]
    (told,) = verdicts(found)
    assert (told["adaptive"], told["stride"], told["case"]) == (own, other, case)
    assert verdicts([outcome(one.policy, one.kept, "juggle") for one in found]) == []
    assert "| car_detection | stride 10 | 10.0 % |" in table(found)


def test_the_plot_is_an_svg_with_a_panel_for_each_answer() -> None:
    points = [Point(panel, family, share, 1 - share / 2) for panel in ("one", "two", "three", "four")
              for family in ("stride", "adaptive", "every", "keyframes") for share in (0.001, 0.1, 1.0)]  # fmt: skip
    root = ElementTree.fromstring(svg(points))
    assert root.tag.endswith("svg")
    assert len(root.findall("{*}g")) == 4
    assert len(root.findall(".//{*}polyline")) == 16
