"""``python -m pipeline`` without a file: usage, lists and the care of models."""

from __future__ import annotations

import glob
import json

import pytest

from pipeline.__main__ import main
from tests.media import Clip
from tests.model_packages import brightness_classifier, write_card


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("FQ_MODEL_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("FQ_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FQ_DEVICE", "cpu")


def test_the_list_names_every_pipeline_with_its_parameters(capsys):
    assert main(["--list"]) == 0
    told = capsys.readouterr().out
    for word in ("motion", "detect", "classify", "threshold", "max_objects", "(required)", "stride"):
        assert word in told


@pytest.mark.skipif(bool(glob.glob("/dev/nvidia*")), reason="there is a GPU here")
def test_what_decodes_and_why_is_told_before_and_after_a_run(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FQ_DECODE_DEVICE", "cuda")
    clip = str(Clip("clip.mp4", frames=10).write(tmp_path))
    assert main([clip, "--explain"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decoder"] == {"asked": "cuda", "fault": "there is no /dev/nvidia*", "did": None}
    assert main([clip, "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["decoder"] == {"on": "cpu", "why": "absent", "cpu_ratio": None, "wall_ratio": None}


@pytest.mark.parametrize("arguments", [[], ["absent.mp4"], ["--nonsense"], ["models"], ["models", "burn"]])
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--pipeline", "nothing"], "pipeline.unknown"),
        (["--params", "{"], "params.invalid"),
        (["--params", "[]"], "params.invalid"),
        (["--params", '{"threshold": 999}'], "params.invalid"),
        (["--pipeline", "classify"], "params.invalid"),
        (["--stride", "0"], "params.invalid"),
    ],
)
def test_wrong_params_end_with_1_and_a_stable_code(arguments, code, capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file"), *arguments]) == 1
    assert f"error {code}:" in capsys.readouterr().err


def test_a_wrong_setting_is_named(monkeypatch, capsys):
    monkeypatch.setenv("FQ_BATCH_SIZE", "many")
    monkeypatch.setenv("FQ_MODEL_THREADS", "-1")
    assert main(["--list"]) == 2
    told = capsys.readouterr().err
    assert "FQ_BATCH_SIZE" in told
    assert "FQ_MODEL_THREADS" in told


def test_models_are_listed_pulled_and_checked(capsys, tmp_path):
    brightness_classifier(tmp_path / "models")
    assert main(["models", "list"]) == 0
    told = capsys.readouterr().out
    assert "to be pulled" in told
    assert "brightness" in told
    assert main(["models", "check", "brightness"]) == 0
    assert "brightness: ok" in capsys.readouterr().out
    assert main(["models", "pull", "brightness"]) == 0
    assert "brightness.onnx" in capsys.readouterr().out


def test_a_pull_that_cannot_be_done_ends_with_1_and_goes_on_with_the_others(capsys, tmp_path):
    brightness_classifier(tmp_path / "models", name="a").unlink()
    brightness_classifier(tmp_path / "models", name="b")
    assert main(["models", "pull", "a", "b", "unknown"]) == 1
    told = capsys.readouterr()
    assert "b: " in told.out
    assert "error model.unavailable: a" in told.err
    assert "error model.unknown:" in told.err


def test_a_check_names_every_broken_card(capsys, tmp_path):
    write_card(tmp_path / "models" / "broken", "name = 3")
    brightness_classifier(tmp_path / "models")
    assert main(["models", "check", "brightness"]) == 1
    assert "task: Field required" in capsys.readouterr().err


def test_pictures_of_a_result_are_written_beside_it(capsys, tmp_path):
    clip = Clip("clip.mp4", frames=20).write(tmp_path)
    assert main([str(clip), "--artifacts", str(tmp_path / "new" / "folder"), "--stride", "2"]) == 0
    assert "annotated.mp4" in capsys.readouterr().out
    written = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert written[0] == "annotated.mp4"
    (tmp_path / "file").touch()
    assert main([str(clip), "--artifacts", str(tmp_path / "file")]) == 1
    assert "error params.invalid: --artifacts" in capsys.readouterr().err
