"""MesoNet in torch against ONNX graphs: made here of the same arrays, and the shared ones of the published weights."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest

from pipeline.deepfake.mesonet import open_h5
from pipeline.errors import ModelError
from pipeline.models.shelf import open_shelf
from tests.unit.pipeline.deepfake.keras_files import INCEPTION, MESO4, Reference, write_weights

TOLERANCE = 1e-4


def p_real(network, pictures):
    """Run ours on NHWC pictures."""
    return network(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))["p_real"]


def pictures_of(shared):
    """Every portrait of the shared data, as whole pictures and as their middle, 256 x 256, values 0 to 1."""
    made = []
    for path in sorted((shared / "data/images/faces").glob("**/*.[jp][pn]g")):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        for one in (image, image[height // 4 : -height // 4, width // 4 : -width // 4]):
            made.append(cv2.resize(one, (256, 256), interpolation=cv2.INTER_AREA))
    assert len(made) == 12
    return np.stack(made).astype(np.float32) / 255


@pytest.mark.parametrize("convolutions", [MESO4, INCEPTION], ids=["meso4", "mesoinception4"])
@pytest.mark.parametrize("first", [1, 5, 9])  # 9: conv2d_10 comes after conv2d_9, not after conv2d_1
def test_the_torch_network_is_the_one_the_keras_file_describes(tmp_path, convolutions, first):
    layers = write_weights(tmp_path / "w.h5", convolutions, first=first, seed=first)
    pictures = np.random.default_rng(7).random((3, 256, 256, 3), dtype=np.float32)
    expected = Reference(layers, convolutions)(pictures)
    assert np.ptp(expected) > 1e-4  # a network that says the same of everything would prove nothing
    assert 0.02 < expected.min() < expected.max() < 0.98
    network = open_h5(tmp_path / "w.h5", "cpu", 1)
    assert np.abs(p_real(network, pictures) - expected).max() <= TOLERANCE
    network.close()
    with pytest.raises(ModelError, match="closed"):
        p_real(network, pictures)


@pytest.mark.parametrize(("weights", "graph"), [("Meso4_DF", "meso4_df"), ("Meso4_F2F", "meso4_f2f")])
def test_the_published_weights_give_what_their_onnx_gives(shared, weights, graph):
    folder, pictures = shared / "models/mesonet", pictures_of(shared)
    session = onnxruntime.InferenceSession(str(folder / f"{graph}.onnx"), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"input": pictures})[0]
    assert np.ptp(expected) > 0.1
    assert np.abs(p_real(open_h5(folder / f"{weights}.h5", "cpu", 1), pictures) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("name", ["mesonet", "mesonet-f2f", "mesoinception", "mesoinception-f2f"])
def test_each_card_loads_and_tells_fake_and_real(shared, tmp_path, name):
    shelf = open_shelf(cache_dir=tmp_path, mirror=str(shared / "models"), device="cpu", threads=1)
    crop = np.full((256, 256, 3), 90, np.uint8)
    found = shelf.load(name).predict([crop, crop])
    assert found[0] == found[1]
    assert {one["label"] for one in found[0]} == {"fake", "real"}
    assert sum(one["score"] for one in found[0]) == pytest.approx(1, abs=1e-3)
    shelf.close()


def _drop(layers):
    del layers["dense_2"]


def _narrow(layers):
    layers["conv2d_3"]["kernel"] = layers["conv2d_3"]["kernel"][:3, :3]


def _unnamed(layers):
    layers["batch_normalization_4"].pop("gamma")


@pytest.mark.parametrize(
    ("change", "says"),
    [(_drop, "1 layers dense"), (_narrow, r"of shape \(16, 8, 3, 3\)"), (_unnamed, "gamma of a layer is absent")],
)
def test_weights_of_another_network_are_refused(tmp_path, change, says):
    write_weights(tmp_path / "w.h5", MESO4, change=change)
    with pytest.raises(ModelError, match=says):
        open_h5(tmp_path / "w.h5", "cpu", 1)


def test_a_file_that_is_no_weights_file_is_refused(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"no HDF5 at all")
    with pytest.raises(ModelError, match="no file of Keras weights"):
        open_h5(tmp_path / "w.h5", "cpu", 1)
    write_weights(tmp_path / "three.h5", MESO4[:3])
    with pytest.raises(ModelError, match="3 layers conv2d"):
        open_h5(tmp_path / "three.h5", "cpu", 1)
