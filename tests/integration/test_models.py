"""Real weights and real media: what the built-in models find, and models a user brings with only a card."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.cage import Cage
from pipeline.errors import ModelError
from pipeline.models.shelf import FolderShelf, open_shelf
from pipeline.pipelines.catalog import load_pipelines
from pipeline.run import Work, plan_input, run_works
from tests.model_packages import brightness_classifier, write_card


@pytest.fixture(scope="module")
def cage():
    with Cage() as one:
        yield one


@pytest.fixture(scope="module")
def shelf(shared, tmp_path_factory):
    one = open_shelf(cache_dir=tmp_path_factory.mktemp("cache"), mirror=str(shared / "models"), device="cpu", threads=1)
    yield one
    one.close()


def run(name, path, cage, shelf, segment_seconds=30.0, **params):
    pipeline = load_pipelines([name])[name]
    plan = plan_input(pipeline, path, params, cage, shelf, segment_seconds=segment_seconds)
    works = [Work(str(n), path, span, plan.media) for n, span in enumerate(plan.ranges)]
    found = list(run_works(pipeline, works, params, cage, shelf, checkpoint=lambda done, total: None))
    assert [result.error for result in found] == [None] * len(works)
    rows = [row for result in found for row in result.rows]
    return rows, pipeline.summarize(iter(rows), plan.media, params), len(works)


# -- the models that come with the project


@pytest.mark.parametrize(
    ("picture", "faces"),
    [
        ("faces/two_people.jpg", 2),
        ("faces/portrait_obama.jpg", 1),
        ("faces/astronaut.png", 1),
        ("faces/hopper.jpg", 1),
        ("scenes/cat.png", 0),
        ("scenes/truck.jpg", 0),
        ("food/tray1/food_image.jpg", 0),
    ],
)
def test_yunet_finds_the_faces_there_are(shared, cage, shelf, picture, faces):
    rows, _, _ = run("detect", shared / "data" / "images" / picture, cage, shelf, model="yunet")
    assert len(rows[0]["objects"]) == faces
    assert all(len(one["keypoints"]) == 5 for one in rows[0]["objects"])


def test_a_face_lies_in_its_box_in_source_pixels_with_the_eyes_above_the_mouth(shared, cage, shelf):
    rows, _, _ = run("detect", shared / "data" / "images" / "faces" / "two_people.jpg", cage, shelf, model="yunet")
    for face in rows[0]["objects"]:
        x, y, width, height = face["box"]
        points = np.array(face["keypoints"])
        assert ((points >= [x, y]) & (points <= [x + width, y + height])).all()
        assert points[:2, 1].max() < points[3:, 1].min()
    assert max(face["box"][0] for face in rows[0]["objects"]) > 640  # the picture is 1126 wide, the frame only 640


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("food/fruit.jpg", "apple .93, apple .87, apple .86, banana .85, orange .81, banana .72"),
        ("scenes/truck.jpg", "truck .86"),
        ("scenes/cat.png", "cat .82"),
        ("food/coffee.png", "cup .81, cup .67, bowl .57"),
        ("faces/two_people.jpg", "person .91, person .88, chair .57"),
    ],
)
def test_fastestdet_finds_what_its_sheet_says(shared, cage, shelf, picture, expected):
    rows, summary, _ = run("detect", shared / "data" / "images" / picture, cage, shelf, width=4096)
    found = rows[0]["objects"]
    labels, scores = zip(*(one.split() for one in expected.split(", ")), strict=True)
    assert [one["label"] for one in found] == list(labels)
    assert [one["score"] for one in found] == pytest.approx([float(score) for score in scores], abs=0.02)
    assert summary["objects"] == len(labels)


def test_a_video_is_searched_alike_in_one_piece_and_in_many(shared, cage, shelf):
    path = shared / "data" / "videos" / "one_by_one_person.mp4"
    params = {"sampler": {"policy": "fps", "fps": 1}}
    whole, summary, _ = run("detect", path, cage, shelf, **params)
    cut, cut_summary, pieces = run("detect", path, cage, shelf, segment_seconds=0.5, **params)
    assert pieces > 2
    assert cut == whole
    assert cut_summary == summary
    assert summary["labels"]["person"]["max"] >= 1
    assert summary["labels"]["person"]["frames"] > 20


def test_motion_of_a_real_video_does_not_depend_on_where_it_is_cut(shared, cage, shelf):
    path = shared / "data" / "videos" / "one_by_one_person.mp4"
    whole, summary, _ = run("motion", path, cage, shelf)
    cut, cut_summary, pieces = run("motion", path, cage, shelf, segment_seconds=0.2)
    assert pieces > 3
    assert (cut, cut_summary) == (whole, summary)
    assert summary["moving"]["seconds_with_motion"] > 20
    assert summary["still"]
    assert summary["scene_cuts"] == []


def test_motion_finds_the_changes_between_three_stills(shared, cage, shelf):
    _, summary, _ = run("motion", shared / "data" / "videos" / "meal_tray1_before_after.mp4", cage, shelf)
    assert summary["scene_cuts"] == pytest.approx([3.0, 6.0], abs=0.25)
    assert [round(one["to_seconds"] - one["from_seconds"]) for one in summary["still"]] == [3, 3, 3]


# -- a user's own


def test_a_users_onnx_classifier_runs_on_image_and_video_with_only_a_card(shared, cage, tmp_path):
    brightness_classifier(tmp_path)
    own = open_shelf(model_dir=tmp_path, cache_dir=tmp_path / "cache", device="cpu", threads=1)
    images = shared / "data" / "images"
    for picture, label in ((images / "ocr" / "all_black.jpg", "dark"), (images / "ocr" / "plain_12pt.png", "bright")):
        rows, summary, _ = run("classify", picture, cage, own, model="brightness")
        assert (rows[0]["labels"][0]["label"], summary["label"]) == (label, label)
    rows, summary, _ = run("classify", shared / "data" / "videos" / "coffee_pour.mp4", cage, own, model="brightness")
    assert len(rows) == 58
    assert summary["label"] == "bright"
    own.close()


@pytest.mark.parametrize("batch", [1, 3, "n"])
def test_exports_with_a_fixed_batch_give_the_same_as_those_without(tmp_path, batch):
    brightness_classifier(tmp_path, batch=batch)
    own = FolderShelf([tmp_path], cache_dir=tmp_path / "cache", device="cpu", threads=1)
    pictures = [np.full((9, 7, 3), level, np.uint8) for level in (0, 120, 128, 140, 255)]
    found = own.load("brightness").predict(pictures)
    scores = [next(one["score"] for one in each if one["label"] == "bright") for each in found]
    assert scores == pytest.approx([0.0, 0.31, 0.5, 0.7685, 1.0], abs=2e-3)
    assert own.load("brightness").predict([]) == []


TORCHSCRIPT_CARD = """
name = "{name}"
task = "{task}"
runtime = "torchscript"
max_batch = 4
[weights]
file = "model.pt"
[input]
width = 16
height = 16
scale = 0.00392156862745098
resize = "stretch"
[output]
{output}
"""


def save_script(folder: Path, module) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), str(folder / "model.pt"))


def torch_package(root: Path, name: str, task: str, output: str) -> Path:
    return write_card(root / name, TORCHSCRIPT_CARD.format(name=name, task=task, output=output))


def test_a_users_torchscript_classifier_runs_with_only_a_card(shared, cage, tmp_path):
    import torch

    class Redness(torch.nn.Module):
        def forward(self, x):
            return x.mean(dim=[2, 3]) * 20

    folder = torch_package(tmp_path, "redness", "classify", 'decoder = "softmax"\nlabels = ["red", "green", "blue"]')
    save_script(folder, Redness())
    own = open_shelf(model_dir=tmp_path, cache_dir=tmp_path / "cache", device="cpu", threads=1)
    red = np.zeros((30, 20, 3), np.uint8)
    red[..., 0] = 200
    assert own.load("redness").predict([red, red[..., ::-1]])[1][0]["label"] == "blue"
    _, summary, _ = run("classify", shared / "data" / "images" / "food" / "fruit.jpg", cage, own, model="redness")
    assert summary["label"] == "red"
    own.close()


def test_a_users_torchscript_detector_runs_with_only_a_card(tmp_path):
    import torch

    class Brightest(torch.nn.Module):
        """One box of 4 x 4 around the brightest pixel, in the layout of yolov8, next to a second output."""

        def forward(self, x):
            flat = x.mean(dim=1).flatten(1)
            score, place = flat.max(dim=1)
            four = torch.full_like(score, 4.0)
            centre_x, centre_y = (place % 16).float() + 0.5, torch.div(place, 16, rounding_mode="floor").float() + 0.5
            return torch.stack([centre_x, centre_y, four, four, score], dim=1).unsqueeze(2), flat

    folder = torch_package(
        tmp_path, "spot", "detect", 'decoder = "yolov8"\nlabels = ["spot"]\nnames = { output = "0" }'
    )
    save_script(folder, Brightest())
    own = open_shelf(model_dir=tmp_path, cache_dir=tmp_path / "cache", device="cpu", threads=1)
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[20:22, 40:44] = 255
    (found,) = own.load("spot").predict([picture])[0]
    assert (found["label"], found["score"], found["box"]) == ("spot", 1.0, [34.0, 17.0, 16.0, 8.0])
    own.close()


class Trap:
    """Unpickled by a careless loader, it would leave a file behind."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_a_pickled_module_is_refused_unopened(tmp_path):
    import torch

    folder = torch_package(tmp_path, "trap", "classify", 'decoder = "softmax"\nlabels = ["a", "b"]')
    torch.save(Trap(tmp_path / "sprung"), folder / "model.pt")
    own = open_shelf(model_dir=tmp_path, cache_dir=tmp_path / "cache", device="cpu")
    with pytest.raises(ModelError, match="not a TorchScript archive"):
        own.load("trap")
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_hidden_in_a_torchscript_archive_is_not_run(tmp_path):
    import torch

    folder = torch_package(tmp_path, "trap", "classify", 'decoder = "softmax"\nlabels = ["a", "b"]')
    save_script(folder, torch.nn.Identity())
    trapped = pickle.dumps(Trap(tmp_path / "sprung"), protocol=2)
    with zipfile.ZipFile(folder / "model.pt") as good, zipfile.ZipFile(tmp_path / "evil", "w") as evil:
        for name in good.namelist():
            evil.writestr(name, trapped if name.endswith("/data.pkl") else good.read(name))
    (tmp_path / "evil").replace(folder / "model.pt")
    own = open_shelf(model_dir=tmp_path, cache_dir=tmp_path / "cache", device="cpu")
    with pytest.raises(ModelError, match="cannot be loaded"):
        own.load("trap")
    assert not (tmp_path / "sprung").exists()


# -- the command line, on a real file


def test_the_command_line_runs_a_file_and_prints_rows_and_summary(shared, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FQ_MODEL_CACHE", str(tmp_path))
    monkeypatch.setenv("FQ_MODEL_MIRROR", str(shared / "models"))
    cups = str(shared / "data" / "videos" / "cups.mp4")
    assert main([cups, "--stride", "30", "--json", "--out", str(tmp_path / "rows.gz")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["index"] for line in lines[:-1]] == list(range(0, 300, 30))
    assert lines[-1]["summary"]["frames"] == 10
    assert main([cups, "--stride", "100", "--pipeline", "detect"]) == 0
    assert "counts_over_time" in capsys.readouterr().out
    assert main([cups, "--explain", "--pipeline", "detect", "--model", "yunet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["models"][0]["name"]) == (60, "yunet")


def test_the_command_line_ends_with_the_code_of_a_bad_input(shared, capsys):
    assert main([str(shared / "data" / "videos" / "edge" / "audio_only.mp4")]) == 1
    assert "error media.no_video" in capsys.readouterr().err
