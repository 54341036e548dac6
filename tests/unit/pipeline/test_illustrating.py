"""Pictures of results, through the real cage: what they show, how large they get, and what may go wrong."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline import illustrating
from pipeline.cage import Cage
from pipeline.drawing import colour_of
from pipeline.errors import MediaError
from pipeline.illustrating import Shown, illustrate, wishes
from pipeline.marks import Moment, box_mark
from tests.fakes.fake_pipeline import FakePipeline
from tests.media import Clip, read_barcode

BOTH = {"artifacts": ["annotated", "thumbnails"]}


class Seeing(FakePipeline):
    """Marks one box on every frame, and holds two moments worth keeping."""

    def __init__(self, moments=(), fault: Exception | None = None) -> None:
        super().__init__()
        self._moments = moments
        self._fault = fault

    def marks(self, row, params):
        if self._fault is not None:
            raise self._fault
        return [box_mark((40, 50, 60, 14), "thing", "thing")]

    def moments(self, summary, params):
        return self._moments


@pytest.fixture(scope="module")
def cage():
    with Cage() as cage:
        yield cage


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return Clip("clip.mp4", frames=50).write(tmp_path_factory.mktemp("clip"))


def row(index, carried_from=None):
    return {"index": index, "pts_seconds": index / 25, "carried_from": carried_from}


def shown(pipeline, path, cage, rows, params=BOTH) -> Shown:
    return Shown(pipeline, path, cage.probe(path), params, {}, lambda: iter(rows))


def look(path: Path):
    with Image.open(path) as image:
        return np.asarray(image)


def pictures(path: Path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        return found, float(stream.duration * stream.time_base)


def test_a_film_holds_every_sampled_frame_at_its_time_with_its_marks(tmp_path, cage, clip):
    rows = [row(index) for index in range(0, 50, 5)]
    made = illustrate(shown(Seeing(), clip, cage, rows, {"artifacts": ["annotated"]}), cage, tmp_path)
    assert ([one.name for one in made.artifacts], made.warnings) == (["annotated.mp4"], [])
    found, length = pictures(made.artifacts[0].path)
    assert [read_barcode(picture) for _, picture in found] == list(range(0, 50, 5))
    assert [time for time, _ in found] == pytest.approx([index / 25 for index in range(0, 50, 5)], abs=2e-5)
    assert length == pytest.approx(2.0, abs=2e-5)
    plain = next(iter(cage.frames(clip, np.array([25]), width=160))).image
    assert abs(found[5][1].astype(int) - plain)[48:53, 45:95].max() > 60
    assert "10 of 10 sampled frames" in made.artifacts[0].caption


def test_frames_that_were_passed_over_are_shown_by_the_one_whose_result_they_carry(tmp_path, cage, clip):
    rows = [row(0), row(5, 0), row(10, 0), row(15), row(20, 15), row(25, 15)]
    made = illustrate(shown(Seeing(), clip, cage, rows, {"artifacts": ["annotated"]}), cage, tmp_path)
    found, length = pictures(made.artifacts[0].path)
    assert [(read_barcode(picture), time) for time, picture in found] == [(0, 0.0), (15, pytest.approx(0.6, abs=2e-5))]
    assert length == pytest.approx(1.2, abs=2e-5)


def test_thumbnails_are_cut_around_their_box_in_the_order_the_pipeline_gives(tmp_path, cage, clip):
    moments = [Moment(30, "late", (0.0, 0.0, 20.0, 20.0)), Moment(5, "early, whole\npicture"), Moment(30, "again")]
    made = illustrate(
        shown(Seeing(moments), clip, cage, [row(5), row(30)], {"artifacts": ["thumbnails"]}), cage, tmp_path
    )
    assert [(one.name, one.caption) for one in made.artifacts] == [
        ("thumbnail-01.jpg", "late"), ("thumbnail-02.jpg", "early, whole picture"), ("thumbnail-03.jpg", "again"),
    ]  # fmt: skip
    images = [look(one.path) for one in made.artifacts]
    assert [image.shape for image in images] == [(25, 25, 3), (96, 160, 3), (96, 160, 3)]
    assert [read_barcode(image) for image in images[1:]] == [5, 30]


def test_a_still_becomes_a_picture_no_larger_than_its_bound(tmp_path, cage, monkeypatch):
    monkeypatch.setattr(illustrating, "STILL_SIDE", 200)
    path = tmp_path / "tall.png"
    Image.new("RGB", (150, 600), (90, 90, 90)).save(path)
    made = illustrate(shown(Seeing(), path, cage, [row(0)], {"artifacts": ["annotated"]}), cage, tmp_path)
    image = look(made.artifacts[0].path)
    assert (made.artifacts[0].name, made.artifacts[0].content_type) == ("annotated.jpg", "image/jpeg")
    assert image.shape[:2] == (200, 50)
    assert abs(image[10, 20].astype(int) - 90).max() > 60
    assert abs(image[60:].astype(int) - 90).max() < 10


def test_a_long_film_is_thinned_evenly_and_its_caption_says_so(tmp_path, cage, clip, monkeypatch):
    monkeypatch.setattr(illustrating, "MAX_FILM_PICTURES", 5)
    rows = [row(index) for index in range(49)]
    made = illustrate(shown(Seeing(), clip, cage, rows, {"artifacts": ["annotated"]}), cage, tmp_path)
    found, length = pictures(made.artifacts[0].path)
    assert [read_barcode(picture) for _, picture in found] == [0, 12, 24, 36, 48]
    assert length == pytest.approx(49 / 25, abs=1e-4)
    assert made.artifacts[0].caption.startswith("5 of 49 sampled frames")


def test_a_film_that_takes_too_long_ends_early_and_says_so(tmp_path, cage, clip):
    asked = iter([False, False, True])
    rows = [row(index) for index in range(0, 50, 5)]
    made = illustrate(
        shown(Seeing(), clip, cage, rows, {"artifacts": ["annotated"]}), cage, tmp_path, enough=lambda: next(asked)
    )
    found, length = pictures(made.artifacts[0].path)
    assert [read_barcode(picture) for _, picture in found] == [0, 5, 10]
    assert length == pytest.approx(0.6, abs=2e-5)
    assert [warning["code"] for warning in made.warnings] == ["artifacts.shortened"]


def test_what_cannot_be_drawn_is_a_warning_without_a_word_of_this_machine(tmp_path, cage, clip):
    faulty = Seeing([Moment(5, "kept")], fault=OSError(2, "No such file", "/secret/place"))
    made = illustrate(shown(faulty, clip, cage, [row(0)]), cage, tmp_path)
    assert made.warnings == [{"code": "artifacts.failed", "message": "annotated: FileNotFoundError"}]
    assert [one.name for one in made.artifacts] == ["thumbnail-01.jpg"]
    assert len(made.errors) == 1
    again = illustrate(shown(Seeing(fault=MediaError("broken")), clip, cage, [row(0)]), cage, tmp_path)
    assert again.warnings == [{"code": "artifacts.failed", "message": "annotated: broken"}]


def test_what_stops_the_work_passes_through_and_leaves_the_cage_free(tmp_path, cage, clip):
    def stop():
        raise InterruptedError("canceled")

    wanted = shown(Seeing(), clip, cage, [row(index) for index in range(50)])
    with pytest.raises(InterruptedError):
        illustrate(wanted, cage, tmp_path, tick=stop, stops=lambda error: isinstance(error, InterruptedError))
    assert cage.probe(clip).kind == "video"


def test_nothing_is_made_that_was_not_asked_for_or_that_the_pipeline_cannot_show(tmp_path, cage, clip):
    assert illustrate(shown(Seeing(), clip, cage, [row(0)], {}), cage, tmp_path).artifacts == []
    assert wishes(FakePipeline(), BOTH) == ()
    assert wishes(Seeing(), {"artifacts": ["thumbnails"]}) == ("thumbnails",)


def test_a_box_outside_the_picture_gives_the_whole_picture(tmp_path, cage, clip):
    moments = [Moment(5, "", (1e9, 1e9, 5.0, 5.0)), Moment(5, "", (float("nan"), 0.0, 1.0, 1.0))]
    made = illustrate(shown(Seeing(moments), clip, cage, [row(5)], {"artifacts": ["thumbnails"]}), cage, tmp_path)
    assert [look(one.path).shape for one in made.artifacts] == [(96, 160, 3)] * 2


def test_thumbnails_are_at_most_a_dozen(tmp_path, cage, clip):
    moments = [Moment(index, "") for index in range(40)]
    made = illustrate(shown(Seeing(moments), clip, cage, [row(0)], {"artifacts": ["thumbnails"]}), cage, tmp_path)
    assert [one.name for one in made.artifacts][-1] == "thumbnail-12.jpg"
    assert len(made.artifacts) == 12


def test_every_frame_is_shown_with_the_marks_of_the_last_one_looked_at(tmp_path, cage, clip):
    class Telling(Seeing):
        def marks(self, row, params):
            return [box_mark((40, 50, 60, 14), group=str(row["index"] // 10))]

    params = {"artifacts": ["every_frame"]}
    made = illustrate(shown(Telling(), clip, cage, [row(10), row(20), row(30)], params), cage, tmp_path)
    found, length = pictures(made.artifacts[0].path)
    assert [read_barcode(picture) for _, picture in found] == list(range(10, 31))
    assert [time for time, _ in found] == pytest.approx([number / 25 for number in range(21)], abs=2e-5)
    assert length == pytest.approx(20 / 25 + 10 / 25, abs=2e-5)
    seen = [picture[50, 60].astype(int) for _, picture in found]
    for number, colour in ((9, colour_of("1")), (10, colour_of("2")), (19, colour_of("2")), (20, colour_of("3"))):
        assert abs(seen[number] - colour).max() < 60, number
    assert made.artifacts[0].caption == "21 of 21 frames, from second 0.4 on"


def test_too_many_frames_leave_the_film_with_the_sampled_ones(tmp_path, cage, clip, monkeypatch):
    monkeypatch.setattr(illustrating, "MAX_EVERY_FRAME", 20)
    rows = [row(10), row(20), row(30)]
    made = illustrate(shown(Seeing(), clip, cage, rows, {"artifacts": ["every_frame"]}), cage, tmp_path)
    assert [read_barcode(picture) for _, picture in pictures(made.artifacts[0].path)[0]] == [10, 20, 30]
    assert made.artifacts[0].caption.startswith("3 of 3 sampled frames")


def test_a_video_without_a_single_row_gives_no_film_and_no_fault_of_ours(tmp_path, cage, clip):
    made = illustrate(shown(Seeing(), clip, cage, [], {"artifacts": ["annotated"]}), cage, tmp_path)
    assert (made.artifacts, [one["code"] for one in made.warnings]) == ([], [])


def test_a_single_sampled_frame_stands_as_long_as_the_video(tmp_path, cage, clip):
    made = illustrate(shown(Seeing(), clip, cage, [row(0)], {"artifacts": ["annotated"]}), cage, tmp_path)
    assert pictures(made.artifacts[0].path)[1] == pytest.approx(2.0, abs=1e-3)
