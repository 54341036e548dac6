"""The motion pipeline on made pictures, where what moves is known."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.frame import Frame
from pipeline.pipelines.motion import Motion
from pipeline.pipelines.motion_picture import cut_score, look_at
from pipeline.run import Work, plan_input, run_works
from pipeline.spec import canonical_params
from tests.fakes.fake_cage import FakeCage, FakeMedia

HEIGHT, WIDTH = 90, 160
EVERY_FRAME = {"sampler": {"policy": "stride", "stride": 1}}


def scenery(seed=1, height=HEIGHT, width=WIDTH):
    """A picture with structure, the same for the same seed."""
    noise = np.random.default_rng(seed).integers(40, 216, (9, 16, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST)


def walker(place, seed=1):
    """Scenery with a white block that moves 4 pixels a frame, 20 wide and 30 high."""
    image = scenery(seed)
    x = 10 + 4 * place
    image[40:70, x : x + 20] = 255
    return image


def observed(pictures, params=None, scale=1.0):
    motion = Motion()
    filled = canonical_params(motion.spec.params_schema, params or {})
    state = motion.start(None, filled)
    frames = [Frame(image, place, place, place / 10, scale) for place, image in enumerate(pictures)]
    items = motion.infer(frames, filled, None)
    return [motion.observe(state, frame, item, filled) for frame, item in zip(frames, items, strict=True)]


def test_a_moving_block_is_boxed_where_it_is():
    rows = observed([walker(place) for place in range(20)])
    (found,) = rows[15]["objects"]
    x, y, width, height = found["box"]
    assert found["label"] == "moving"
    assert abs(x + width - (10 + 4 * 15 + 20)) <= 3
    assert (abs(y - 40), abs(height - 30)) <= (3, 4)
    assert 0.01 < rows[15]["activity"] < 0.2


def test_boxes_are_in_source_pixels_however_small_the_frame():
    big = observed([walker(place) for place in range(12)])
    small = observed(
        [cv2.resize(walker(place), (80, 45), interpolation=cv2.INTER_AREA) for place in range(12)], scale=0.5
    )
    for one, other in zip(big[11]["objects"][0]["box"], small[11]["objects"][0]["box"], strict=True):
        assert abs(one - other) <= 5


def test_nothing_moves_in_a_still_scene_and_it_says_so():
    rows = observed([scenery()] * 6)
    assert [row["is_still"] for row in rows] == [False] + [True] * 5
    assert all(row["objects"] == [] and row["activity"] == 0 for row in rows)


def test_grain_does_not_count_as_motion():
    random = np.random.default_rng(0)
    pictures = [np.clip(scenery() + random.normal(0, 6, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8) for _ in range(9)]
    assert all(row["objects"] == [] and row["activity"] < 0.001 for row in observed(pictures))


def test_a_cut_is_told_on_its_first_frame_and_motion_is_not_measured_across_it():
    rows = observed([scenery(1)] * 5 + [scenery(2)] * 5)
    assert [place for place, row in enumerate(rows) if row["is_cut"]] == [5]
    assert all(row["objects"] == [] for row in rows)


def test_motion_is_not_a_cut():
    assert not any(row["is_cut"] for row in observed([walker(place) for place in range(20)]))


def test_a_change_of_exposure_is_not_a_cut():
    brighter = np.clip(scenery().astype(np.int16) + 35, 0, 255).astype(np.uint8)
    rows = observed([scenery()] * 3 + [brighter] * 3)
    assert not any(row["is_cut"] for row in rows)
    assert not any(row["objects"] for row in rows)
    assert [row["is_still"] for row in rows] == [False, True, True, False, True, True]


def test_what_moves_while_the_exposure_changes_is_still_found():
    rows = observed(
        [np.clip(walker(place).astype(np.int16) - 3 * place, 0, 255).astype(np.uint8) for place in range(14)]
    )
    assert [len(row["objects"]) for row in rows[7:]] == [1] * 7  # before that, the window remembers its start too
    assert max(row["activity"] for row in rows) < 0.2


def test_a_cut_to_and_from_black_is_a_cut():
    black = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    rows = observed([scenery()] * 3 + [black] * 3 + [scenery()] * 3)
    assert [place for place, row in enumerate(rows) if row["is_cut"]] == [3, 6]
    assert [row["is_black"] for row in rows] == [False] * 3 + [True] * 3 + [False] * 3
    assert not any(row["is_blurred"] for row in rows)


def test_a_blurred_picture_is_told_from_a_sharp_one():
    soft = cv2.GaussianBlur(scenery(), (0, 0), 8)
    assert [row["is_blurred"] for row in observed([scenery(), soft])] == [False, True]


def test_pictures_of_another_size_count_as_another_scene():
    assert cut_score(np.zeros((9, 16), np.uint8), np.zeros((16, 9), np.uint8)) == 1.0


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (2, 1080), (3, 5)])
def test_pictures_of_any_shape_are_looked_at(shape):
    rows = observed([np.full((*shape, 3), level, dtype=np.uint8) for level in (10, 200, 10)])
    assert [row["is_cut"] for row in rows] == [False, True, True]
    json.dumps(rows, allow_nan=False)


def test_more_boxes_than_asked_for_are_left_out_smallest_first():
    def many(place):
        image = scenery()
        for n in range(5):
            size = 6 + 3 * n
            image[12 + place : 12 + place + size, 6 + 30 * n : 6 + 30 * n + size] = 255 if place else 0
        return image

    rows = observed([scenery()] * 4 + [many(1)], {"max_boxes": 2, "min_area": 0.0})
    boxes = [one["box"] for one in rows[4]["objects"]]
    assert len(boxes) == 2
    assert boxes[0][2] * boxes[0][3] >= boxes[1][2] * boxes[1][3]
    assert boxes[0][0] > 100  # the largest is the rightmost


def test_looking_keeps_levels():
    look = look_at(np.full((HEIGHT, WIDTH, 3), 77, dtype=np.uint8))
    assert (look.luma, look.bright, look.blur) == (77.0, 77.0, 0.0)


# -- segments


def clip(place):
    """A walker whose scene changes every 37 frames; two seconds of black in between."""
    if 90 <= place < 110:
        return np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    return walker(place % 30, seed=place // 37)


def run(folder, segment_seconds, sampler, frames=180, gop=12):
    cage = FakeCage(clip=FakeMedia(frames=frames, gop=gop, rate=10, picture=clip))
    path = cage.files(folder)["clip"]
    motion, params = Motion(), {"sampler": sampler}
    plan = plan_input(motion, path, params, cage, None, segment_seconds=segment_seconds)
    works = [Work(str(n), path, span, plan.media) for n, span in enumerate(plan.ranges)]
    found = list(run_works(motion, works, params, cage, None, checkpoint=lambda done, total: None))
    assert [result.error for result in found] == [None] * len(works)
    return plan, [row for result in found for row in result.rows]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.02, 0.3), st.integers(1, 7))
def test_rows_and_summary_do_not_depend_on_where_the_input_is_cut(tmp_path, segment_seconds, stride):
    sampler = {"policy": "stride", "stride": stride}
    plan, whole = run(tmp_path, 1e9, sampler)
    pieces, cut = run(tmp_path, segment_seconds, sampler)
    assert len(plan.ranges) == 1
    assert cut == whole
    motion = Motion()
    assert motion.summarize(iter(cut), pieces.media, {}) == motion.summarize(iter(whole), plan.media, {})


def test_an_input_is_really_cut_in_the_test_above(tmp_path):
    assert len(run(tmp_path, 0.05, {"policy": "stride", "stride": 1})[0].ranges) > 5


# -- summary


def summary(tmp_path, sampler=EVERY_FRAME["sampler"]):
    plan, rows = run(tmp_path, 1e9, sampler)
    return Motion().summarize(iter(rows), plan.media, {})


def test_a_summary_tells_cuts_black_stretches_and_motion_in_seconds(tmp_path):
    told = summary(tmp_path)
    assert told["frames"] == 180
    assert told["duration_seconds"] == 18.0
    assert told["scene_cuts"] == [3.7, 7.4, 9.0, 11.0, 11.1, 14.8]
    assert told["black"] == [{"from_seconds": 9.0, "to_seconds": 11.0}]
    assert told["moving"]["max_boxes"] >= 1
    assert 12 < told["moving"]["seconds_with_motion"] < 16
    assert [point["seconds"] for point in told["activity_curve"]["points"]] == list(range(18))
    assert told["activity_curve"]["points"][9]["activity"] == 0.0


def test_every_field_of_a_summary_is_explained(tmp_path):
    assert set(summary(tmp_path)) == set(Motion.spec.summary_fields)


def test_a_still_has_a_summary_too():
    media = FakeMedia(frames=1, kind="image").info()
    rows = observed([np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)])
    told = Motion().summarize([{"pts_seconds": 0.0, **rows[0]}], media, {})
    assert (told["frames"], told["duration_seconds"], told["scene_cuts"]) == (1, 0.0, [])
    assert told["black"] == [{"from_seconds": 0.0, "to_seconds": 0.0}]


def test_no_rows_give_an_empty_summary():
    told = Motion().summarize([], FakeMedia(kind="image").info(), {})
    assert told["frames"] == 0
    json.dumps(told, allow_nan=False)


def test_a_summary_of_a_very_long_input_stays_small():
    media = FakeMedia(frames=1).info()
    row = {"objects": [], "activity": 0.1, "luma": 1.0, "blur": 1.0, "is_black": False, "is_blurred": False}
    rows = (
        {"index": n, "pts_seconds": n / 2, "is_cut": n % 2 == 1, "is_still": n % 8 < 4, **row}
        for n in range(6 * 3600 * 2)
    )
    told = Motion().summarize(rows, media, {})
    assert 300 <= len(told["activity_curve"]["points"]) <= 600
    assert len(told["scene_cuts"]) == len(told["still"]) == 1000
    assert told["truncated"] == ["scene_cuts", "still"]
    assert len(json.dumps(told)) < 150_000


def test_black_between_two_scenes_is_cut_off_and_leaves_no_ghosts():
    dim = (scenery() // 4).astype(np.uint8)  # darker than what exposure alone evens out
    black = np.zeros_like(dim)
    rows = observed([dim] * 4 + [black] * 4 + [dim] * 4, EVERY_FRAME)
    assert [place for place, row in enumerate(rows) if row["is_cut"]] == [4, 8]
    assert all(row["objects"] == [] and row["activity"] == 0 for row in rows)


def test_what_moves_is_marked_and_the_moments_are_the_most_motion_and_the_cuts():
    pictures = [walker(place) for place in range(12)] + [scenery(seed=7)] * 3
    rows = [{"index": n, "pts_seconds": n / 10, **row} for n, row in enumerate(observed(pictures))]
    marks = Motion().marks(rows[10], {})
    assert [mark.kind for mark in marks] == ["box", "text"]
    assert "cut" in Motion().marks(rows[12], {})[-1].text
    told = Motion().summarize(iter(rows), FakeMedia().info(), {})
    most, cut = Motion().moments(told, {})
    assert rows[most.index]["activity"] == max(row["activity"] for row in rows) == told["activity"]["peak"]
    assert list(most.box) == rows[most.index]["objects"][0]["box"]
    assert (cut.index, cut.box) == (12, None)


def test_where_nothing_moves_there_is_no_moment():
    rows = [{"index": n, "pts_seconds": n / 10, **row} for n, row in enumerate(observed([scenery()] * 5))]
    told = Motion().summarize(iter(rows), FakeMedia().info(), {})
    assert told["activity"] == {"mean": 0.0, "peak": 0.0, "peak_index": None, "peak_seconds": None, "peak_box": None}
    assert list(Motion().moments(told, {})) == []
