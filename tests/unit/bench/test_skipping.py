"""How the loss of answer is counted, and that the plot is one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.skipping.__main__ import Outcome, Remembering, points, table, verdicts
from bench.skipping.answers import (
    ANSWERS,
    Told,
    boxes_kept,
    caption_kept,
    counted_kept,
    curve_kept,
    eaten_kept,
    energy_kept,
    held,
    labels_kept,
    moving_kept,
    overlap,
    score_kept,
    things_kept,
)
from bench.skipping.cases import CASES, POLICIES, named
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


def face(score: float, weight: float = 1.0) -> dict[str, float]:
    return {"score": score, "weight": weight}


def test_a_curve_is_off_by_its_difference_and_wholly_where_only_one_sees_a_face() -> None:
    truth = [{"faces": [face(0.2), face(0.8, 3.0)]}, {"faces": []}, {"faces": [face(0.5)]}, {"faces": []}]
    other = [{"faces": [face(0.45)]}, {"faces": []}, {"faces": []}, {"faces": [face(0.1, 0.0)]}]
    assert curve_kept(truth, truth) == 1.0
    assert curve_kept(truth, other) == pytest.approx(1 - (abs(0.65 - 0.45) + 0 + 1 + 0) / 4)


def test_a_video_s_score_is_worth_nothing_under_another_label() -> None:
    def kept(label: str, score: float | None) -> float:
        return score_kept({"label": "real", "score": 0.3}, {"label": label, "score": score})

    assert kept("real", 0.2) == pytest.approx(0.9)
    assert kept("uncertain", 0.3) == 0.0
    assert score_kept({"label": "no_face", "score": None}, {"label": "no_face", "score": None}) == 1.0


def meal(kcal: float, eaten: dict[str, float] | None = None, **counts: int) -> dict[str, Any]:
    foods = [{"label": name, "eaten_share": {"value": share}} for name, share in (eaten or {}).items()]
    return {
        "items": [{"label": name, "count": {"value": float(count)}} for name, count in counts.items()],
        "containers": [{"label": "cup", "count": 1}], "unknown": [], "totals": {"kcal": {"value": kcal}},
        "eaten": None if eaten is None else {"items": foods},
    }  # fmt: skip


def test_meals_are_compared_by_what_was_counted_their_energy_and_what_was_eaten() -> None:
    truth, other = meal(200, {"rice": 0.5, "salad": 0.2}, apple=3), meal(150, {"rice": 0.4}, apple=1, cake=1)
    assert counted_kept(truth, other) == pytest.approx(2 * 2 / (4 + 3))
    assert energy_kept(truth, other) == pytest.approx(0.75)
    assert eaten_kept(truth, other) == pytest.approx(1 - (0.1 + 1) / 2)
    assert eaten_kept(meal(1), meal(2)) is None
    assert energy_kept(meal(0), meal(0)) == counted_kept(truth, truth) == eaten_kept(truth, truth) == 1.0


def test_descriptions_are_compared_by_coloured_things_in_frames_and_by_what_the_caption_counts() -> None:
    def seen(*things: tuple[str, str | None]) -> dict[str, Any]:
        return {"objects": [{"label": a, "colour": b and {"name": b}} for a, b in things]}

    assert things_kept([seen(("cup", "red"), ("cup", None))], [seen(("cup", "red"), ("cup", "blue"))]) == 0.5
    truth = {"objects": {"cup": {"max": 3}, "cat": {"max": 9}}, "evidence": [{"label": "cup"}]}
    other = {"objects": {"cup": {"max": 2}, "dog": {"max": 1}}, "evidence": [{"label": "cup"}, {"label": "dog"}]}
    assert caption_kept(truth, other) == pytest.approx(2 * 2 / (3 + 3))
    assert caption_kept(truth, truth) == 1.0


def test_each_system_s_answers_keep_all_of_an_answer_that_is_the_same() -> None:
    rows = [{"objects": [{"label": "a", "box": [0, 0, 1, 1], "colour": None}], "faces": [face(0.4)]}]
    summary = {"label": "real", "score": 0.4, **meal(10, {"a": 0.5}, a=1), "objects": {}, "evidence": []}
    same = Told(rows, summary)
    assert {kept(same, same) for each in ANSWERS.values() for kept in each.values()} == {1.0}
    assert {case.pipeline for case in CASES} == set(ANSWERS)


def outcome(policy: str, kept: float, *, still: bool = True) -> Outcome:
    return Outcome("car_detection", "detect", "labels", policy, 0.1, kept, still)


@pytest.mark.parametrize(
    ("own", "other", "case"), [(0.96, 0.9, "kept"), (0.9, 0.8, "missed"), (0.9, 0.97, "stride is enough")]
)
def test_a_verdict_says_whether_the_bar_is_kept_where_a_stride_does_not_do(own: float, other: float, case: str) -> None:
    found = [outcome("budget 0.1", own), outcome("stride 10", other)]
    (verdict,) = verdicts(found)
    assert (verdict["adaptive"], verdict["stride"], verdict["case"]) == (own, other, case)
    assert verdicts([outcome(one.policy, one.kept, still=False) for one in found]) == []
    assert "| car_detection | frames inferred | 10.0 % | 10.0 % |" in table(found)
    assert f"| | detect: labels | {own:.3f} | {other:.3f} |" in table(found)


def test_every_policy_has_a_name_of_its_own_and_budgets_are_plotted_as_adaptive() -> None:
    names = [named(one) for one in POLICIES]
    assert len(set(names)) == len(POLICIES)
    assert {point.family for point in points([outcome("budget 0.1", 0.5)])} == {"adaptive"}
    assert points([outcome("adaptive, 1 in 5", 0.5)]) == []


def test_an_answer_of_which_nothing_is_lost_is_not_plotted() -> None:
    assert points([outcome("stride 2", 1.0), outcome("stride 5", 0.9995)]) == []
    assert len(points([outcome("stride 2", 1.0), outcome("stride 5", 0.99)])) == 2


def test_the_plot_is_an_svg_with_a_panel_for_each_answer() -> None:
    drawn = [Point("clip", answer, family, share, 1 - share / 2) for answer in ("one", "two", "three", "four")
             for family in ("stride", "adaptive", "every", "keyframes") for share in (0.001, 0.1, 1.0)]  # fmt: skip
    root = ElementTree.fromstring(svg(drawn))
    assert root.tag.endswith("svg")
    assert len(root.findall("{*}g")) == 4
    assert len(root.findall(".//{*}polyline")) == 16


class Counting:
    """A pipeline without state that counts how often it was asked."""

    def __init__(self, state: Any) -> None:
        self.state, self.inferred, self.observed = state, 0, 0

    def infer(self, frames: Any, params: Any, shelf: Any) -> list[int]:
        self.inferred += len(frames)
        return [frame.index for frame in frames]

    def observe(self, state: Any, frame: Any, inferred: int, params: Any) -> dict[str, Any]:
        self.observed += 1
        return {"found": inferred}


@pytest.mark.parametrize("state", [None, object()])
def test_a_frame_is_inferred_once_and_its_row_made_once_where_no_other_frame_has_a_part_in_it(state: Any) -> None:
    asked: Any = Counting(state)
    pipeline = Remembering(asked)
    frames: Any = [SimpleNamespace(index=index) for index in (0, 5, 9)]
    for chosen in (frames, frames[1:], frames[:1]):
        for frame, item in zip(chosen, pipeline.infer(chosen, {}, None), strict=True):  # type: ignore[arg-type]
            row = pipeline.observe(state, frame, item, {})
            assert row == {"found": frame.index}
            row["carried_from"] = None
    assert (asked.inferred, asked.observed) == (3, 3 if state is None else 6)
