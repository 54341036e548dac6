"""Programs of torch.export: they run with a card alone, and a file made to run code is refused unread."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.models.card import Input, ModelCard, Output, Weights
from pipeline.models.export_archive import write_checked
from pipeline.models.shelf import open_model

GRAPH = "models/model.json"


def card(**changes):
    return ModelCard(
        name="m", task="classify", runtime="export", max_batch=8, weights=Weights(file="m.pt2"),
        input=Input(width=16, height=16), output=Output(decoder="softmax", labels=("a", "b")),
    ).model_copy(update=changes)  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return the archive of a small network and what the network itself says of eight pictures."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.BatchNorm2d(8)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, x):
            y = torch.nn.functional.interpolate(self.norm(self.conv(x)).relu(), scale_factor=2.0)
            return self.head(torch.cat([y, y.flip(2)], dim=2).mean((2, 3))) * x.shape[2] / 16

    torch.manual_seed(0)
    net = Net().eval()
    path = tmp_path_factory.mktemp("export") / "m.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        free = ({0: torch.export.Dim("n", min=1, max=64)},)
        torch.export.save(torch.export.export(net, (torch.zeros(2, 3, 16, 16),), dynamic_shapes=free), path)
    pictures = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    with torch.inference_mode():
        logits = net(torch.from_numpy(pictures.transpose(0, 3, 1, 2) / np.float32(255)))
        truth = torch.softmax(logits, dim=1).numpy()
    return path, pictures, truth


def changed(source: Path, target: Path, **members) -> Path:
    """Copy an archive; members: by name inside it, bytes or what makes new bytes of the old, None to leave it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            inner = name.partition("/")[2]
            change = members.pop(inner, b"") if inner in members else old.read(name)
            if change is not None:
                new.writestr(name, change(old.read(name)) if callable(change) else change)
        for inner, content in members.items():
            new.writestr(f"model/{inner}", content)
    return target


def edited(**places):
    """Return what changes every string under these keys of the graph."""

    def walk(value, key=""):
        if isinstance(value, dict):
            return {name: walk(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [walk(one, key) for one in value]
        return places[key] if key in places and isinstance(value, str) else value

    return lambda old: json.dumps(walk(json.loads(old))).encode()


def test_an_exported_program_runs_with_a_card_alone_as_the_network_itself(exported):
    path, pictures, truth = exported
    model = open_model(card(), path.parent, path, "cpu", 1)
    found = [{one["label"]: one["score"] for one in each} for each in model.predict(list(pictures))]
    assert [[one["a"], one["b"]] for one in found] == pytest.approx(truth, abs=1e-4)
    assert model.predict([pictures[0]])[0][0]["score"] == pytest.approx(truth[0].max(), abs=1e-4)
    model.close()


def test_a_program_of_another_size_than_its_card_is_told(exported):
    path, _, _ = exported
    with pytest.raises(ModelError, match=r"the card says \[n, 3, 16, 24\]"):
        open_model(card(input=Input(width=24, height=16)), path.parent, path, "cpu", 1)


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("target", "torch.os.system"),
        ("target", "torch.serialization.os.system"),
        ("target", "torch.ops.load_library"),
        ("target", "torch.ops.aten.from_file.default"),
        ("target", "_operator.methodcaller"),
        ("expr_str", "__import__('os').system('touch sprung')"),
        ("expr_str", "Symbol('s77').func.__globals__"),
        ("expr_str", "exec(chr(97))"),
        ("expr_str", "9**9**9**9"),
        ("expr_str", "9**99999999"),
        ("name", "x):\n import os; os.system('touch sprung')\ndef g(y"),
        ("in_spec", '[1, {"type": "os.system", "context": "null", "children_spec": []}]'),
    ],
)
def test_a_graph_that_names_more_than_tensors_is_refused(exported, tmp_path, monkeypatch, key, value):
    monkeypatch.chdir(tmp_path)
    path = changed(exported[0], tmp_path / "m.pt2", **{GRAPH: edited(**{key: value})})
    with pytest.raises(ModelError) as caught:
        open_model(card(), tmp_path, path, "cpu", 1)
    assert not (tmp_path / "sprung").exists()
    assert "torch.export" in caught.value.message + str(caught.value.advice)


def pickled_weights(old):
    config = json.loads(old)
    for facts in config["config"].values():
        facts["use_pickle"] = True
    return json.dumps(config).encode()


@pytest.mark.parametrize(
    "members",
    [
        {"data/weights/model_weights_config.json": pickled_weights},
        {"data/constants/opaque_obj_0": b"x"},
        {"data/constants/model.pt": b"x"},
        {"data/weights/model.pt": b"x"},
        {"serialized_exported_program.json": b"{}"},
        {"extra/run.py": b""},
        {"data/weights/../../../../etc/cron.d/x": b""},
        {GRAPH: None},
        {GRAPH: b"{"},
        {GRAPH: b"[" * 200_000},
    ],
    ids=lambda members: next(iter(members)),
)
def test_an_archive_that_holds_more_or_less_than_plain_tensors_is_refused(exported, tmp_path, members):
    path = changed(exported[0], tmp_path / "m.pt2", **members)
    with pytest.raises(ModelError):
        write_checked(path, io.BytesIO(), "m")


def test_samples_and_source_notes_never_reach_torch(exported, tmp_path):
    trap = pickle.dumps(Trap(tmp_path / "sprung"), protocol=2)
    notes = edited(stack_trace="x", torch_fn="os.system;x", nn_module_stack="a,b,c")
    path = changed(exported[0], tmp_path / "m.pt2", **{"data/sample_inputs/model.pt": trap, GRAPH: notes})
    out = io.BytesIO()
    write_checked(path, out, "m")
    with zipfile.ZipFile(out) as archive:
        assert archive.read("model/data/sample_inputs/model.pt") == b""
        assert b"os.system" not in archive.read(f"model/{GRAPH}")
    open_model(card(), tmp_path, path, "cpu", 1).close()
    assert not (tmp_path / "sprung").exists()


def test_a_member_that_is_there_twice_or_compressed_is_refused(exported, tmp_path):
    with zipfile.ZipFile(exported[0]) as old, zipfile.ZipFile(tmp_path / "twice", "w") as new:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in [*old.namelist(), next(one for one in old.namelist() if one.endswith(GRAPH))]:
                new.writestr(name, old.read(name))
    with pytest.raises(ModelError, match="twice"):
        write_checked(tmp_path / "twice", io.BytesIO(), "m")
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("model/data/weights/weight_0", bytes(30_000_000))
    with pytest.raises(ModelError, match="compressed"):
        write_checked(tmp_path / "bomb", io.BytesIO(), "m")


@pytest.mark.parametrize("runtime", ["onnx", "torchscript", "export"])
@pytest.mark.parametrize("kind", ["empty", "noise", "cut", "text", "zip"])
def test_a_file_that_is_no_model_is_refused_by_every_runtime(exported, tmp_path, runtime, kind):
    path = tmp_path / "m.pt2"
    whole = exported[0].read_bytes()
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("a/code/x.py", "1")
        archive.writestr("a/constants.pkl", "1")
    path.write_bytes({
        "empty": b"", "noise": np.random.default_rng(0).bytes(200_000), "cut": whole[: len(whole) // 2],
        "text": b"hello\n" * 1000, "zip": (tmp_path / "zip").read_bytes(),
    }[kind])  # fmt: skip
    with pytest.raises(ModelError) as caught:
        open_model(card(runtime=runtime), tmp_path, path, "cpu", 1)
    assert len(caught.value.message) < 700


def test_a_torchscript_archive_that_unpacks_to_much_more_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt2", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a/code/x.py", bytes(80 * 1024**2))
        bomb.writestr("a/constants.pkl", "1")
    with pytest.raises(ModelError, match="unpacks to"):
        open_model(card(runtime="torchscript"), tmp_path, tmp_path / "m.pt2", "cpu", 1)
