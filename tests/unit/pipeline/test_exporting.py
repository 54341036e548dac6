"""Packages in other formats: equal to what they were made of, or not written."""

from __future__ import annotations

import json
import tomllib
import warnings

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.errors import ModelError, ParamsError
from pipeline.models import equality
from pipeline.models.card import load_card
from pipeline.models.card_text import card_text
from pipeline.models.exporting import export
from pipeline.models.shelf import FolderShelf
from tests.model_packages import brightness_classifier, write_card

CARD = """
name = "{runtime}-net"
version = "3"
task = "classify"
runtime = "{runtime}"
max_batch = 4
licence = "MIT"
description = "Two words: \\"a\\", ü"
{entry}
[weights]
file = "{file}"
[input]
width = 32
height = 24
mean = [0.5, 0.4, 0.3]
[output]
decoder = "softmax"
labels = ["a", "b", "c"]
names = {{ output = "logits" }}
"""
MODEL_PY = """
import torch
from safetensors.torch import load_file

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 16, 3, stride=2, padding=1), torch.nn.BatchNorm2d(16)
        self.more, self.head = torch.nn.Conv2d(16, 16, 3, stride=2, padding=1), torch.nn.Linear(16, 3)

    def forward(self, x):
        y = self.more(self.norm(self.conv(x)).relu()).relu().mean((2, 3))
        return {"features": y, "logits": self.head(y) * 4}

class Forward:
    fixed_batch = None

    def __init__(self, weights):
        self.module = Net().eval()
        self.module.load_state_dict(load_file(str(weights)))

    def __call__(self, batch):
        with torch.inference_mode():
            return {name: value.numpy() for name, value in self.module(torch.from_numpy(batch)).items()}

    def close(self):
        self.module = None

def open_network(weights, device, threads):
    return Forward(weights)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Return a folder with one network as python, torchscript and export packages."""
    import torch
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("packages")
    space = {}
    exec(MODEL_PY, space)
    torch.manual_seed(1)
    net = space["Net"]().eval()
    entry = 'entry = "model.py:open_network"'
    folder = write_card(root / "python", CARD.format(runtime="python", file="net.safetensors", entry=entry))
    (folder / "model.py").write_text(MODEL_PY)
    save_file(net.state_dict(), str(folder / "net.safetensors"))
    sample = torch.zeros(2, 3, 24, 32)

    class Logits(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)["logits"]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = write_card(root / "torchscript", CARD.format(runtime="torchscript", file="net.pt", entry=""))
        torch.jit.save(torch.jit.trace(Logits(net), sample), str(folder / "net.pt"))
        folder = write_card(root / "export", CARD.format(runtime="export", file="net.pt2", entry=""))
        free = ({0: torch.export.Dim("n", min=1, max=64)},)
        torch.export.save(torch.export.export(net, (sample,), dynamic_shapes=free), folder / "net.pt2")
    return root


def shelf_of(*folders, cache):
    return FolderShelf(folders, cache_dir=cache, device="cpu", threads=1)


PICTURES = [np.random.default_rng(n).integers(0, 256, (40, 50, 3), dtype=np.uint8) // (1 + n % 3) for n in range(12)]


@pytest.mark.parametrize(
    ("runtime", "to"),
    [("export", "onnx"), ("export", "int8"), ("python", "torchscript"), ("python", "int8"), ("torchscript", "onnx")],
)
def test_a_copy_in_another_format_tells_the_same_and_is_a_package_of_its_own(packages, tmp_path, runtime, to):
    shelf = shelf_of(packages, cache=tmp_path)
    report = export(shelf, f"{runtime}-net", to, tmp_path / "out" / "copy", pictures=PICTURES)
    assert (report["equal"], report["samples"], report["of"]) == (True, 12, f"{runtime}-net")
    assert report["max_difference"] <= (1e-4 if to != "int8" else 0.5)
    assert json.loads((tmp_path / "out" / "copy" / "export.json").read_text()) == report
    copies = shelf_of(tmp_path / "out", cache=tmp_path)
    card = copies.card("copy")
    assert (card.runtime, card.precision, card.output.labels) == (
        "torchscript" if to == "torchscript" else "onnx", "int8" if to == "int8" else "fp32", ("a", "b", "c"),
    )  # fmt: skip
    assert (card.licence, card.version, card.entry, card.weights.sha256) == ("MIT", "3", None, copies.digest("copy"))
    one, other = shelf.load(f"{runtime}-net").predict(PICTURES), copies.load("copy").predict(PICTURES)
    scores = [{each["label"]: each["score"] for each in found} for found in (*one, *other)]
    tolerance = 0.05 if to == "int8" else 2e-4
    for mine, its in zip(scores[:12], scores[12:], strict=True):
        assert its == pytest.approx(mine, abs=tolerance)
    shelf.close()
    copies.close()


def test_without_pictures_int8_is_dynamic_and_compared_on_made_ones(tmp_path):
    brightness_classifier(tmp_path / "in", side=32)
    report = export(shelf_of(tmp_path / "in", cache=tmp_path), "brightness", "int8", tmp_path / "copy")
    assert (report["how"], report["samples"], report["agreement"]) == ("dynamic", 16, 1.0)


def test_a_copy_that_is_not_equal_is_not_written(packages, tmp_path, monkeypatch):
    monkeypatch.setattr(equality, "SAME_VALUE", 0.0)
    with pytest.raises(ModelError, match="is not equal: outputs differ by"):
        export(shelf_of(packages, cache=tmp_path), "torchscript-net", "onnx", tmp_path / "out" / "copy")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_converted_is_told(packages, tmp_path):
    brightness_classifier(tmp_path / "in")
    shelf = shelf_of(tmp_path / "in", packages, cache=tmp_path)
    with pytest.raises(ParamsError, match="shows no torch module"):
        export(shelf, "brightness", "torchscript", tmp_path / "copy")
    with pytest.raises(ParamsError, match="is there already"):
        export(shelf, "python-net", "onnx", tmp_path / "in")
    with pytest.raises(ModelError, match="name"):  # a folder's name becomes the card's
        export(shelf, "python-net", "torchscript", tmp_path / "Not A Name")


def test_a_card_written_again_reads_the_same(packages, tmp_path):
    for name in ("python", "torchscript"):
        card = load_card(packages / name)
        write_card(tmp_path / name, card_text(card))
        assert load_card(tmp_path / name) == card
    assert tomllib.loads(card_text(card))["output"]["names"] == {"output": "logits"}


def test_the_command_line_exports_benches_and_checks(packages, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FQ_MODEL_DIR", str(packages))
    monkeypatch.setenv("FQ_MODEL_CACHE", str(tmp_path))
    monkeypatch.setenv("FQ_MODEL_THREADS", "1")
    assert main(["models", "export", "torchscript-net", "--to", "onnx", "--out", str(tmp_path / "own" / "fast")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["equal"] is True
    monkeypatch.setenv("FQ_MODEL_DIR", str(tmp_path / "own"))
    assert main(["models", "check", "fast"]) == 0
    assert "fast: ok (3 findings on a made picture" in capsys.readouterr().out
    assert main(["models", "bench", "fast", "--seconds", "0.1"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [one["batch"] for one in told["batches"]] == [1, 4]
    assert all(0 < one["p50_ms"] <= one["p95_ms"] for one in told["batches"])
    assert told["rss_bytes"] > 10_000_000
    assert main(["models", "export", "fast", "--to", "torchscript"]) == 1
    assert "error model.not_exportable" in capsys.readouterr().err
