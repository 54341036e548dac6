"""Models that a function makes of the weights, and networks that a pipeline runs as they are."""

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.models.card import CardError, load_card
from pipeline.models.shelf import FolderShelf

CARD = """
name = "doubler"
task = "tensors"
runtime = "python"
entry = "{entry}"
max_batch = 2
[weights]
file = "factor.npz"
[input]
width = 4
height = 4
[output]
decoder = "raw"
"""
CODE = """
import numpy as np

class Doubler:
    fixed_batch = None
    def __init__(self, factor):
        self.factor = factor
        self.sizes = []
    def __call__(self, batch):
        self.sizes.append(len(batch))
        return {"values": batch.reshape(len(batch), -1) * self.factor, "size": np.float32(len(batch))}
    def close(self):
        self.factor = None

def open_doubler(weights, device, threads):
    with np.load(weights, allow_pickle=False) as held:
        return Doubler(np.float32(held["factor"]))
"""


def package(folder, entry="model.py:open_doubler", code=CODE):
    folder = folder / "doubler"
    folder.mkdir()
    (folder / "model.toml").write_text(CARD.format(entry=entry))
    (folder / "model.py").write_text(code)
    np.savez(folder / "factor.npz", factor=2.0)
    return folder


def shelf_over(tmp_path):
    return FolderShelf([tmp_path], cache_dir=tmp_path / "cache")


def test_a_file_beside_the_card_makes_the_network_and_batches_stay_within_its_bound(tmp_path):
    package(tmp_path)
    batch = np.arange(5 * 3, dtype=np.float32).reshape(5, 3)
    model = shelf_over(tmp_path).load("doubler")
    np.testing.assert_array_equal(model.run(batch)["values"], batch * 2)
    assert model._forward.sizes == [2, 2, 1]


def test_a_module_of_an_installed_package_makes_the_network(tmp_path, monkeypatch):
    (tmp_path / "installed_networks.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    package(tmp_path, entry="installed_networks:open_doubler", code="")
    model = shelf_over(tmp_path).load("doubler")
    assert model.run(np.ones((1, 2), np.float32))["values"].tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize("entry", ["model.py:absent", "absent.py:open_doubler", "no_such_module:open_doubler"])
def test_an_entry_that_is_not_there_is_a_model_error_and_names_the_model(tmp_path, entry):
    package(tmp_path, entry=entry)
    with pytest.raises(ModelError, match="doubler"):
        shelf_over(tmp_path).load("doubler")


def test_an_entry_that_another_module_holds_is_refused(tmp_path):
    package(tmp_path, entry="model.py:open_elsewhere", code="from shutil import rmtree as open_elsewhere\n")
    with pytest.raises(ModelError, match=r"open_elsewhere is not a function of model.py"):
        shelf_over(tmp_path).load("doubler")
    assert (tmp_path / "doubler" / "factor.npz").is_file()


def test_a_network_for_pipelines_tells_no_findings_and_takes_no_empty_batch(tmp_path):
    package(tmp_path)
    model = shelf_over(tmp_path).load("doubler")
    with pytest.raises(ModelError, match="tells no findings"):
        model.predict([np.zeros((4, 4, 3), np.uint8)])
    with pytest.raises(ModelError, match="empty batch"):
        model.run(np.zeros((0, 3), np.float32))


def test_an_entry_belongs_to_the_python_runtime_alone(tmp_path):
    folder = package(tmp_path)
    text = (folder / "model.toml").read_text()
    for wrong in (text.replace('"python"', '"onnx"'), text.replace('entry = "model.py:open_doubler"\n', "")):
        (folder / "model.toml").write_text(wrong)
        with pytest.raises(CardError, match="entry: needed for runtime python, and only there"):
            load_card(folder)
