"""Model packages made on the spot: a card and weights, as a user would bring them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BRIGHTNESS_CARD = """
name = "{name}"
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
) -> Path:
    """Write a package whose model says how bright a picture is: P(bright) = sigmoid(0.1 x (mean level - 128))."""
    folder = write_card(root / name, BRIGHTNESS_CARD.format(name=name, side=card_side or side, max_batch=max_batch))
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("ReduceMean", ["pooled", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "middle"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "slope"], ["logit"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
        numpy_helper.from_array(np.array(128, np.float32), "middle"),
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
