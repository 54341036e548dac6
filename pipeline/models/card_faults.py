"""What is wrong between the fields of a card; standard library only, for those who read cards without arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: decoders by the task whose findings they make
DECODERS: Mapping[str, tuple[str, ...]] = {
    "detect": (
        "yunet", "fastestdet", "yolov5", "yolov8", "yolox", "fcos", "ssd", "detr", "boxes_scores", "detections", "nms",
    ),
    "classify": ("softmax", "sigmoid", "probabilities"),
    "segment": ("yolov5_seg", "yolov8_seg", "instances", "semantic"),
    "text": ("text",),
    "tensors": ("raw",),
}  # fmt: skip
#: decoders of exports that suppress by themselves
SUPPRESSED = frozenset({"nms", "detections", "detr", "instances", "semantic"})
#: options of ``output`` that only some decoders take
OPTIONS: Mapping[str, frozenset[str]] = {
    "activation": frozenset({"yolox", "fcos", "ssd", "detr", "semantic"}),
    "box_format": frozenset({"yolov5", "yolov8", "yolov5_seg", "yolov8_seg", "boxes_scores", "detections", "instances"}
                            | {"detr", "nms"}),
    "box_units": frozenset({"yolov5", "yolov8", "yolov5_seg", "yolov8_seg", "boxes_scores", "detections", "instances"}
                           | {"detr", "nms", "fcos"}),
    "strides": frozenset({"yolox", "fcos"}),
    "cell_offset": frozenset({"fcos"}),
    "priors": frozenset({"ssd"}),
    "variances": frozenset({"ssd"}),
    "masks": frozenset({"instances"}),
    "mask_threshold": frozenset({"yolov5_seg", "yolov8_seg", "instances"}),
    "split_parts": frozenset({"semantic"}),
    "background": frozenset({"boxes_scores", "detections", "detr", "instances", "semantic", "ssd"}),
}  # fmt: skip
#: tasks of runtime transformers, and the decoder of each
MOUNTED: Mapping[str, str] = {"text": "text", "detect": "detr", "segment": "instances"}
#: options without which a decoder cannot read
NEEDED: Mapping[str, str] = {"yolox": "strides", "fcos": "strides", "ssd": "priors"}


def cross_faults(data: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between fields; on the raw data, so that it is told together with faults of the fields."""
    faults = []
    runtime, weights, output = data.get("runtime"), data.get("weights"), data.get("output")
    if (runtime == "python") != (data.get("entry") is not None):
        faults.append("entry: needed for runtime python, and only there")
    if data.get("precision") == "int8" and runtime != "onnx":
        faults.append("precision: int8 needs runtime onnx (a quantized file)")
    if data.get("task") == "text" and runtime != "transformers":
        faults.append("runtime: task text needs runtime transformers")
    if runtime == "transformers":
        faults += _mounted_faults(data, weights, output)
    if isinstance(weights, Mapping) and weights.get("url") and not weights.get("sha256"):
        faults.append("weights.sha256: needed where there is a url")
    if isinstance(output, Mapping):
        faults += _output_faults(data, output)
    return faults


def _mounted_faults(data: Mapping[str, Any], weights: Any, output: Any) -> list[str]:
    faults = []
    task = str(data.get("task"))
    if task not in MOUNTED:
        faults.append(f"task: runtime transformers is for {', '.join(MOUNTED)}")
    elif isinstance(output, Mapping) and output.get("decoder") != MOUNTED[task]:
        faults.append(f"output.decoder: a {task} model of runtime transformers takes {MOUNTED[task]}")
    if not isinstance(weights, Mapping):
        return faults
    if weights.get("url"):
        faults.append("weights.url: runtime transformers reads the folder of the card, mounted by the operator")
    if not str(weights.get("file", "")).endswith((".safetensors", ".safetensors.index.json")):
        faults.append("weights.file: runtime transformers takes safetensors only")
    return faults


def _output_faults(data: Mapping[str, Any], output: Mapping[str, Any]) -> list[str]:
    faults = []
    task, decoder, labels = str(data.get("task")), output.get("decoder"), output.get("labels")
    if not labels and task not in {"tensors", "text"}:
        faults.append("output: give labels or labels_file")
    if task in DECODERS and decoder not in DECODERS[task]:
        faults.append(f"output.decoder: a {task} model takes one of {', '.join(DECODERS[task])}")
        return faults
    for option, takers in OPTIONS.items():
        if option in output and decoder not in takers:
            faults.append(f"output.{option}: decoder {decoder} does not take it, only {', '.join(sorted(takers))}")
    needed = NEEDED.get(str(decoder))
    if needed is not None and not output.get(needed):
        faults.append(f"output.{needed}: decoder {decoder} needs it")
    if output.get("box_units") == "strides" and decoder != "fcos":
        faults.append("output.box_units: strides is for decoder fcos only")
    if output.get("activation") == "classes" and decoder != "semantic":
        faults.append("output.activation: classes is for decoder semantic only")
    if output.get("batched") is False and data.get("max_batch", 1) != 1:
        faults.append("max_batch: 1 where output.batched is false")
    faults += _check_faults(data.get("check"), labels)
    return faults


def _check_faults(check: Any, labels: Any) -> list[str]:
    if not isinstance(check, Mapping) or not isinstance(labels, list):
        return []
    wanted = check.get("label")
    if isinstance(wanted, str) and wanted not in labels:
        return [f"check.label: {wanted!r} is not one of output.labels"]
    return []
