"""Model packages made on the spot: a card and weights, as a user would bring them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BRIGHTNESS_CARD = """
name = "{name}"
version = "{version}"
task = "classify"
runtime = "onnx"
max_batch = {max_batch}
[weights]
file = "brightness.onnx"
[input]
width = {side}
height = {side}
scale = 1.0
[output]
decoder = "sigmoid"
labels = ["dark", "bright"]
"""


def write_card(folder: Path, text: str) -> Path:
    """Make ``folder`` with this card in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").write_text(text)
    return folder


def brightness_classifier(
    root: Path,
    *,
    name: str = "brightness",
    side: int = 8,
    card_side: int | None = None,
    batch: int | str = "n",
    max_batch: int = 4,
    version: str = "1",
    middle: float = 128,
) -> Path:
    """Write a package whose model says how bright a picture is: P(bright) = sigmoid(0.1 x (mean level - middle))."""
    folder = write_card(
        root / name, BRIGHTNESS_CARD.format(name=name, version=version, side=card_side or side, max_batch=max_batch)
    )
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("ReduceMean", ["pooled", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "middle"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "slope"], ["logit"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
        numpy_helper.from_array(np.array(middle, np.float32), "middle"),
        numpy_helper.from_array(np.array(0.1, np.float32), "slope"),
    ]
    graph = helper.make_graph(
        nodes, "brightness",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [batch])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path = folder / "brightness.onnx"
    onnx.save(model, path)
    return path


SPOTS_CARD = """
name = "spots"
version = "{version}"
task = "detect"
runtime = "onnx"
max_batch = 4
[weights]
file = "spots.onnx"
[input]
width = 64
height = 64
resize = "stretch"
[output]
decoder = "yolov8"
labels_file = "labels.txt"
"""
SPOTS_LABELS = "bright\ndark\n"


def spot_detector(root: Path, *, version: str = "1", gain: float = 1.0) -> Path:
    """Write a package with a head as YOLOv8 has it, (n, 4 + 2 classes, 64 places): how bright each 8 x 8 cell is.

    P(bright) = gain x level of the cell, as 0 to 1; P(dark) is never above 0.01.
    """
    folder = write_card(root / "spots", SPOTS_CARD.format(version=version))
    (folder / "labels.txt").write_text(SPOTS_LABELS)
    places = (np.arange(8, dtype=np.float32) + 0.5) * 8
    across, down = np.meshgrid(places, places)
    eights = np.full(64, 8, np.float32)
    boxes = np.stack([across.ravel(), down.ravel(), eights, eights])[None]
    constants = [
        numpy_helper.from_array(boxes, "boxes"),
        numpy_helper.from_array(np.array([1]), "colours"),
        numpy_helper.from_array(np.array([0, 1, 64]), "flat"),
        numpy_helper.from_array(np.array(gain, np.float32), "gain"),
        numpy_helper.from_array(np.array(0.01, np.float32), "little"),
        numpy_helper.from_array(np.array(0, np.float32), "nothing"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["images", "colours"], ["grey"], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["cells", "flat"], ["levels"]),
        helper.make_node("Mul", ["levels", "gain"], ["bright"]),
        helper.make_node("Mul", ["levels", "little"], ["dark"]),
        helper.make_node("Mul", ["levels", "nothing"], ["none"]),
        helper.make_node("Add", ["none", "boxes"], ["places"]),
        helper.make_node("Concat", ["places", "bright", "dark"], ["output0"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "spots",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 6, 64])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path = folder / "spots.onnx"
    onnx.save(model, path)
    return path
