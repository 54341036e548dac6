"""Weights files as Keras 2 writes them, and the same network as an ONNX graph that shares no code with ours."""

from __future__ import annotations

import h5py
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

#: (kernel side, channels in, channels out, dilation) of each convolution in the order in which the authors made them
MESO4 = [(3, 3, 8, 1), (5, 8, 8, 1), (5, 8, 16, 1), (5, 16, 16, 1)]
#: per inception layer: 1x1; 1x1 and 3x3; 1x1 and 3x3 dilated by 2; 1x1 and 3x3 dilated by 3
INCEPTION = [
    *[(1, 3, 1, 1), (1, 3, 4, 1), (3, 4, 4, 1), (1, 3, 4, 1), (3, 4, 4, 2), (1, 3, 2, 1), (3, 2, 2, 3)],
    *[(1, 11, 2, 1), (1, 11, 4, 1), (3, 4, 4, 1), (1, 11, 4, 1), (3, 4, 4, 2), (1, 11, 2, 1), (3, 2, 2, 3)],
    *[(5, 12, 16, 1), (5, 16, 16, 1)],
]


def write_weights(path, convolutions, *, first=1, seed=1, change=None):
    """Write random weights; ``first`` is the number Keras has got to. Return the arrays by layer."""
    drawn = np.random.default_rng(seed)
    inception = len(convolutions) == 16
    norms = [11, 12, 16, 16] if inception else [8, 8, 16, 16]
    layers = {}
    for number, (side, inner, outer, _) in enumerate(convolutions, start=first):
        kernel = drawn.normal(0, 1.2 / np.sqrt(side * side * inner), (side, side, inner, outer))
        layers[f"conv2d_{number}"] = {"kernel": kernel, "bias": drawn.normal(0, 0.2, outer)}
    for number, width in enumerate(norms, start=first):
        layers[f"batch_normalization_{number}"] = {
            "gamma": drawn.uniform(0.5, 1.5, width), "beta": drawn.normal(0, 0.3, width),
            "moving_mean": drawn.normal(0, 0.3, width), "moving_variance": drawn.uniform(0.005, 0.5, width),
        }  # fmt: skip
    for number, (inner, outer) in enumerate([(1024, 16), (16, 1)], start=first):
        kernel = drawn.normal(0, 0.1 / np.sqrt(inner), (inner, outer))  # keeps the sigmoid where it tells differences
        layers[f"dense_{number}"] = {"kernel": kernel, "bias": drawn.normal(0, 0.2, outer)}
    if change is not None:
        change(layers)
    with h5py.File(path, "w") as held:
        for layer, arrays in layers.items():
            for name, values in arrays.items():
                held[f"{layer}/{layer}/{name}:0"] = values.astype(np.float32)
        held.create_group("flatten_1")
    return layers


class Reference:
    """The network as an ONNX graph: NHWC in as Keras has it, P(real) out."""

    def __init__(self, layers, convolutions):
        self._layers = {name: {k: v.astype(np.float32) for k, v in one.items()} for name, one in layers.items()}
        self._kinds = {
            kind: sorted((n for n in layers if n.startswith(kind)), key=lambda name: int(name.rsplit("_", 1)[1]))
            for kind in ("conv2d", "batch_normalization", "dense")
        }
        self._convolutions, self._nodes, self._constants = convolutions, [], []
        graph = helper.make_graph(
            self._build(), "meso",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 256, 256, 3])],
            [helper.make_tensor_value_info("p_real", TensorProto.FLOAT, ["n", 1])],
            self._constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, pictures):
        """pictures: float32, (n, 256, 256, 3). Returns P(real), (n, 1)."""
        return self._session.run(None, {"input": pictures})[0]

    def _build(self):
        at = self._node("Transpose", ["input"], perm=[0, 3, 1, 2])
        places = iter(range(len(self._convolutions)))
        for block, pool in enumerate((2, 2, 2, 4)):
            if len(self._convolutions) == 16 and block < 2:
                branches = [self._conv(at, next(places))]
                branches += [self._conv(self._conv(at, next(places)), next(places)) for _ in range(3)]
                at = self._node("Concat", branches, axis=1)
            else:
                at = self._conv(at, next(places))
            arrays = self._layers[self._kinds["batch_normalization"][block]]
            names = [self._constant(arrays[one]) for one in ("gamma", "beta", "moving_mean", "moving_variance")]
            at = self._node("BatchNormalization", [at, *names], epsilon=1e-3)
            at = self._node("MaxPool", [at], kernel_shape=[pool, pool], strides=[pool, pool], auto_pad="SAME_UPPER")
        at = self._node("Flatten", [self._node("Transpose", [at], perm=[0, 2, 3, 1])], axis=1)
        at = self._node("LeakyRelu", [self._dense(at, 0)], alpha=0.1)
        self._nodes.append(helper.make_node("Sigmoid", [self._dense(at, 1)], ["p_real"]))
        return self._nodes

    def _conv(self, at, place):
        arrays, (side, _, _, dilation) = self._layers[self._kinds["conv2d"][place]], self._convolutions[place]
        names = [self._constant(arrays["kernel"].transpose(3, 2, 0, 1)), self._constant(arrays["bias"])]
        found = self._node("Conv", [at, *names], dilations=[dilation] * 2, pads=[dilation * (side // 2)] * 4)
        return self._node("Relu", [found])

    def _dense(self, at, place):
        arrays = self._layers[self._kinds["dense"][place]]
        return self._node("Gemm", [at, self._constant(arrays["kernel"]), self._constant(arrays["bias"])])

    def _constant(self, values):
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(self, kind, inputs, **attributes):
        name = f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name
