"""Models that break whoever runs them break the process of their check, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.errors import DeviceOutOfMemory, ModelError
from pipeline.models.card import ModelCard, load_card
from pipeline.models.check_process import Checked, check_apart
from tests.model_packages import brightness_classifier

MIB = 2**20


def checked(card: ModelCard, weights: Path, **changes: Any) -> Checked:
    limits: dict[str, Any] = {"memory_bytes": 1024 * MIB, "seconds": 60.0, "tick": lambda: None}
    return check_apart(card, weights, device="cpu", threads=1, **(limits | changes))


def unruly(folder: Path, opener: str, weights: str = "0", **limits: Any) -> Checked:
    """Check a network of ``unruly_networks``."""
    card = ModelCard.model_validate({
        "name": "unruly", "task": "classify", "runtime": "python", "entry": f"tests.fakes.unruly_networks:{opener}",
        "weights": {"file": "weights.npz"}, "input": {"width": 8, "height": 8},
        "output": {"decoder": "probabilities", "labels": ["a", "b"]},
    })  # fmt: skip
    (folder / "weights.npz").write_text(weights)
    return checked(card, folder / "weights.npz", **limits)


def script(folder: Path, nodes: list[Any], constants: dict[str, Any]) -> tuple[ModelCard, Path]:
    """Write the classifier of ``brightness_classifier`` with another graph, from ``input`` to ``logit``."""
    path = brightness_classifier(folder, max_batch=1)
    graph = helper.make_graph(
        nodes, "unruly",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return load_card(path.parent), path


def test_a_sound_model_passes_with_its_times(tmp_path: Path) -> None:
    path = brightness_classifier(tmp_path)
    found = checked(load_card(path.parent), path)
    assert (found.report.ok, found.report.faults, found.report.batch, found.on_gpu) == (True, (), 4, False)
    assert found.load_seconds > 0 < found.report.seconds


def test_what_does_not_fit_is_told_as_in_this_process(tmp_path: Path) -> None:
    path = brightness_classifier(tmp_path, side=8, card_side=16)
    with pytest.raises(ModelError, match="the card says") as caught:
        checked(load_card(path.parent), path)
    assert caught.value.code == "model.failed"


def test_what_is_told_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    path = brightness_classifier(tmp_path)
    card = load_card(path.parent)
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"cannot be loaded: .*brightness\.onnx") as caught:
        checked(card, path)
    assert str(tmp_path) not in caught.value.message


def test_a_graph_that_asks_for_more_than_its_share_of_memory_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Expand", ["input", "much"], ["wide"]),
        helper.make_node("ReduceMean", ["wide"], ["logit"], keepdims=0),
    ]
    card, path = script(tmp_path, nodes, {"much": np.array([2**30, 3, 8, 8])})  # 768 GiB
    with pytest.raises(DeviceOutOfMemory, match="brightness"):
        checked(card, path)
    with pytest.raises(DeviceOutOfMemory, match="needs more than"):  # of a kind that limits of a process do not count
        unruly(tmp_path, "shares", str(600 * MIB), memory_bytes=512 * MIB)


def test_a_graph_without_end_is_ended(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in ("go", "sum")], "body",
        [helper.make_tensor_value_info("turn", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
         helper.make_tensor_value_info("sum_out", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=0),
        helper.make_node("Loop", ["", "always", "mean"], ["logit"], body=body),
    ]
    card, path = script(tmp_path, nodes, {"axes": np.array([1, 2, 3]), "always": np.array(True)})
    with pytest.raises(ModelError, match="took more than 3 s") as caught:
        checked(card, path, seconds=3.0)
    assert caught.value.code == "model.check_timed_out"


def test_a_crash_is_the_models_own(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="ended by signal 11") as caught:
        unruly(tmp_path, "crashes")
    assert caught.value.code == "model.check_died"


def test_what_a_model_prints_is_not_taken_for_the_outcome(tmp_path: Path) -> None:
    assert unruly(tmp_path, "prints").report.ok


def test_no_file_grows_beyond_what_a_check_needs(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        unruly(tmp_path, "fills_disk", str(1024 * MIB))
    assert caught.value.code in {"model.failed", "model.check_died"}
    assert (tmp_path / "filled").stat().st_size < 200 * MIB


def test_our_secrets_are_not_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FQ_DATABASE_URL", "postgresql://someone:secret@here/there")
    with pytest.raises(ModelError, match=r"\bPATH\b") as caught:
        unruly(tmp_path, "tells_environment")
    assert "FQ_" not in caught.value.message


def test_who_stops_waiting_leaves_no_process_behind(tmp_path: Path) -> None:
    weights = tmp_path / "weights.npz"

    def stops() -> None:
        if weights.read_text() not in {"", "0"}:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unruly(tmp_path, "waits", tick=stops)
    with pytest.raises(ProcessLookupError):
        os.kill(int(weights.read_text()), 0)
