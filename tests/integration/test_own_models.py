"""A user's model file and a card, on the command line: pictures and videos, with no code."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, load, save

from pipeline.__main__ import main
from pipeline.errors import ModelError
from pipeline.models.shelf import FolderShelf
from tests.media import Clip
from tests.model_packages import brightness_classifier, spot_detector


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    spots(folder)
    brightness_classifier(folder)
    monkeypatch.setenv("FQ_MODEL_DIR", str(folder))
    monkeypatch.setenv("FQ_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FQ_MODEL_THREADS", "1")
    return folder


def spots(root):
    """Write the detector with pictures letterboxed; return its weights file."""
    path = spot_detector(root)
    card = path.parent / "model.toml"
    card.write_text(card.read_text().replace("stretch", "letterbox_centre"))
    return path


def scene(number, width=320, height=160):
    """Return a dark picture with a bright square of 40 pixels that walks to the right."""
    picture = np.full((height, width, 3), 10, np.uint8)
    picture[40:80, 40 + 10 * number : 80 + 10 * number] = 250
    return picture


def film(folder, name, pictures):
    height, width = pictures[0].shape[:2]
    clip = Clip(name, frames=len(pictures), width=width, height=height, picture=lambda number, *_: pictures[number])
    return clip.write(folder)


def told(words, capsys):
    assert main([*map(str, words), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return lines[:-1], lines[-1]


def test_a_fresh_yolo_style_file_finds_things_on_a_picture_and_on_a_video(models, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "one.png"), scene(4))
    (row,), document = told([tmp_path / "one.png", "--pipeline", "detect", "--model", "spots"], capsys)
    assert document["models"][0]["name"] == "spots"
    (one,) = row["objects"]  # the input is a fifth of the picture: a field of the grid is 40 pixels wide
    assert (one["label"], one["score"]) == ("bright", pytest.approx(0.98, abs=0.02))
    assert one["box"] == pytest.approx([80, 40, 40, 40], abs=0.5)
    film(tmp_path, "walk.mp4", [scene(4 * n) for n in range(6)])
    rows, document = told([tmp_path / "walk.mp4", "--pipeline", "detect", "--model", "spots", "--stride", 1], capsys)
    assert [[round(one["box"][0] / 40) for one in row["objects"]] for row in rows] == [[n + 1] for n in range(6)]
    assert document["summary"]["labels"]["bright"]["frames"] == 6


def test_a_fresh_classifier_names_a_picture_and_the_stretches_of_a_video(models, tmp_path, capsys):
    light, dark = np.full((90, 120, 3), 240, np.uint8), np.full((90, 120, 3), 15, np.uint8)
    cv2.imwrite(str(tmp_path / "light.png"), light)
    words = ["--pipeline", "classify", "--model", "brightness"]
    (row,), document = told([tmp_path / "light.png", *words], capsys)
    assert (row["labels"][0]["label"], document["summary"]["label"]) == ("bright", "bright")
    film(tmp_path, "dusk.mp4", [light] * 5 + [dark] * 5)
    rows, document = told([tmp_path / "dusk.mp4", *words, "--stride", 1], capsys)
    assert [row["labels"][0]["label"] for row in rows] == ["bright"] * 5 + ["dark"] * 5
    assert [one["label"] for one in document["summary"]["timeline"]] == ["bright", "dark"]


def test_both_pass_the_self_check_and_a_broken_card_beside_them_is_told_whole(models, capsys):
    assert main(["models", "check", "spots", "brightness"]) == 0
    assert "spots: ok" in capsys.readouterr().out
    (models / "odd").mkdir()
    (models / "odd" / "model.toml").write_text('task = "detect"\n[output]\ndecoder = "ssd"\nstrides = [8]\n')
    assert main(["models", "check", "spots"]) == 1
    faults = capsys.readouterr().err
    for place in (
        "name:",
        "runtime:",
        "weights:",
        "input:",
        "output.priors:",
        "output.strides:",
        "output: give labels",
    ):
        assert place in faults, place


def test_weights_outside_the_package_are_not_read(models, tmp_path):
    path = spots(models)
    model = load(path)
    (tmp_path / "secret.bin").write_bytes(bytes(4 * 4 * 64))
    tensor = next(one for one in model.graph.initializer if one.name == "boxes")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../secret.bin"), ("offset", "0"), ("length", str(4 * 4 * 64))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError):
        FolderShelf([models], cache_dir=tmp_path / "cache", device="cpu", threads=1).load("spots")


def test_a_graph_with_an_operator_of_somebody_else_is_refused(models, tmp_path):
    path = spots(models)
    model = load(path)
    model.graph.node.append(helper.make_node("Anything", ["output0"], ["more"], domain="some.where"))
    save(model, path)
    with pytest.raises(ModelError, match="cannot be loaded"):
        FolderShelf([models], cache_dir=tmp_path / "cache", device="cpu", threads=1).load("spots")
