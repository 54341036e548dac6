"""Exact versions loaded, dropped and loaded again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ModelUnavailable, ParamsError
from pipeline.models.base import Model
from pipeline.models.card import load_card
from pipeline.models.pull import file_digest
from pipeline.models.shelf import FolderShelf, runs_on_gpu
from storage.model_rows import ModelVersion
from tests.fakes.memory_store import MemoryObjectStore
from tests.model_packages import brightness_classifier, write_card
from tests.services import REPOSITORY
from workers.model_files import ModelFiles, Package
from workers.model_shelf import VersionShelf
from workers.scratch import ScratchUnavailable

GREY = np.full((8, 8, 3), 150, dtype=np.uint8)


@dataclass
class Rows:
    """Versions as the database has them."""

    rows: dict[tuple[str, str], ModelVersion] = field(default_factory=dict)

    def version(self, name: str, version: str) -> ModelVersion | None:
        return self.rows.get((name, version))


@dataclass
class World:
    """A worker's folder and cache, the store, and the versions in the database."""

    folder: Path
    cache: Path
    store: MemoryObjectStore = field(default_factory=MemoryObjectStore)
    rows: Rows = field(default_factory=Rows)

    def add(self, path: Path, **changes: Any) -> dict[str, str]:
        """Put a package into store and database; return its pin."""
        card, digest = load_card(path.parent), file_digest(path)
        key = f"models/{digest}"
        self.store.put(key, path.read_bytes())
        fields: dict[str, Any] = {
            "name": card.name, "version": card.version, "digest": digest, "task": card.task, "active": False,
            "state": "checked", "card": card.as_json(), "object_key": key, "size_bytes": 1, "error": None,
            "measured": {}, "evaluation": None, "created_at": None, "checked_at": None, "activated_at": None,
        }  # fmt: skip
        self.rows.rows[card.name, card.version] = ModelVersion(**(fields | changes))
        return {"version": card.version, "digest": digest}

    def shelf(self, **limits: Any) -> VersionShelf:
        files = ModelFiles(
            FolderShelf([self.folder], cache_dir=self.cache), self.rows, self.store, cache_dir=self.cache
        )
        return VersionShelf(files, device="cpu", threads=1, **({"max_bytes": 2**20} | limits))


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "folder").mkdir()
    return World(tmp_path / "folder", tmp_path / "cache")


def label(shelf: VersionShelf, pin: dict[str, str] | None) -> str:
    view = shelf.pinned({"brightness": pin} if pin else {})
    return str(view.load("brightness").predict([GREY])[0][0]["label"])


def test_each_job_has_its_own_version_and_one_without_a_pin_what_the_folder_has(world: World, tmp_path: Path) -> None:
    brightness_classifier(world.folder, version="1", middle=100)
    there = world.add(brightness_classifier(tmp_path / "2", version="2", middle=200))
    shelf = world.shelf()
    assert [label(shelf, pin) for pin in (None, there, None)] == ["bright", "dark", "bright"]
    view = shelf.pinned({"brightness": there})
    assert (view.card("brightness").version, view.digest("brightness")) == ("2", there["digest"])
    assert [card.version for card in view.cards()] == ["2"]
    shelf.close()


def test_a_pin_to_what_the_folder_holds_takes_it_from_there(world: World) -> None:
    path = brightness_classifier(world.folder, middle=100)
    assert label(world.shelf(), {"version": "1", "digest": file_digest(path)}) == "bright"
    assert not world.cache.exists()


def test_weights_changed_under_a_version_are_not_taken_for_it(world: World) -> None:
    path = brightness_classifier(world.folder, middle=100)
    shelf, pin = world.shelf(), {"version": "1", "digest": file_digest(path)}
    assert shelf.pinned({"brightness": pin}).card("brightness").version == "1"
    brightness_classifier(world.folder, middle=200)
    with pytest.raises(ModelUnavailable, match="was changed under version 1"):
        label(shelf, pin)


def test_a_version_that_is_nowhere_says_so(world: World, tmp_path: Path) -> None:
    path = brightness_classifier(tmp_path / "2", version="2")
    pin = world.add(path)
    with pytest.raises(ParamsError) as unknown:
        label(world.shelf(), {"version": "3", "digest": "d"})
    assert unknown.value.code == "model.unknown"
    world.store.delete([f"models/{pin['digest']}"])
    with pytest.raises(ModelUnavailable, match="not in the object store"):
        label(world.shelf(), pin)
    world.store.put(f"models/{pin['digest']}", b"something else")
    with pytest.raises(ModelUnavailable, match="other weights"):
        label(world.shelf(), pin)
    world.add(path, object_key=None)
    with pytest.raises(ModelUnavailable, match="cannot be had"):
        label(world.shelf(), pin)
    assert not [file for file in world.cache.rglob("*") if file.is_file()]


def test_a_disk_that_takes_no_weights_is_nobodys_fault(world: World, tmp_path: Path) -> None:
    pin = world.add(brightness_classifier(tmp_path / "2", version="2"))
    world.cache.write_text("a file where the cache should be")
    with pytest.raises(ScratchUnavailable, match="full or broken"):
        label(world.shelf(), pin)


def test_a_card_of_a_newer_release_is_told_as_such(world: World, tmp_path: Path) -> None:
    path = brightness_classifier(tmp_path / "2", version="2")
    pin = world.add(path, card={**load_card(path.parent).as_json(), "runtime": "of tomorrow"})
    with pytest.raises(ModelUnavailable, match="means nothing to this worker"):
        label(world.shelf(), pin)


def test_code_of_a_version_that_the_folder_no_longer_holds_is_not_guessed(world: World, tmp_path: Path) -> None:
    path = brightness_classifier(tmp_path / "1")
    card = {**load_card(path.parent).as_json(), "runtime": "python", "entry": "model.py:open_network"}
    pin = world.add(path, card=card, object_key=None)
    with pytest.raises(ModelUnavailable, match="its code lies there"):
        label(world.shelf(), pin)


@pytest.mark.parametrize(("limits", "expected"), [({"max_loaded": 2}, "1232"), ({"max_bytes": 0}, "121312")])
def test_the_least_recently_used_version_goes_first(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int], expected: str
) -> None:
    pins = {v: world.add(brightness_classifier(tmp_path / v, version=v)) for v in "123"}
    shelf, loads, load = world.shelf(**limits), [], VersionShelf._load

    def noted(self: VersionShelf, package: Package, path: Path) -> Model:
        loads.append(package.card.version)
        return load(self, package, path)

    monkeypatch.setattr(VersionShelf, "_load", noted)
    for version in "121312":
        label(shelf, pins[version])
    assert "".join(loads) == expected


def test_only_a_runtime_that_uses_the_gpu_here_leaves_memory_behind(tmp_path: Path) -> None:
    card = load_card(brightness_classifier(tmp_path).parent)
    script = card.model_copy(update={"runtime": "torchscript"})

    def onnx(*providers: str) -> dict[str, Any]:
        return {"onnxruntime": SimpleNamespace(get_available_providers=lambda: list(providers))}

    def torch(begun: bool) -> dict[str, Any]:
        return {"torch": SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: begun))}

    assert runs_on_gpu(card, "auto", onnx("CUDAExecutionProvider", "CPUExecutionProvider"))
    assert not runs_on_gpu(card, "auto", onnx("CPUExecutionProvider"))
    assert not runs_on_gpu(card, "auto", torch(begun=True))
    assert runs_on_gpu(script, "auto", torch(begun=True))
    assert not runs_on_gpu(script, "auto", torch(begun=False))
    assert not runs_on_gpu(script, "auto", {})
    assert not runs_on_gpu(card, "cpu", onnx("CUDAExecutionProvider", "CPUExecutionProvider"))


#: loads two models in turn, one at a time, and tells the resident bytes after each swap
SWAPS = """
import json, sys
from pathlib import Path
import numpy as np, psutil
from pipeline.models.card import load_card
from pipeline.models.shelf import FolderShelf, runs_on_gpu
from workers.model_files import ModelFiles, Package
from workers.model_shelf import VersionShelf

root = Path(sys.argv[1])
files = ModelFiles(FolderShelf([root], cache_dir=root), None, None, cache_dir=root)
shelf = VersionShelf(files, device="cpu", threads=1, max_bytes=0)
packages = [shelf.files.package(name, None) for name in ("one", "two")]
picture, held = np.zeros((64, 64, 3), np.uint8), []
for swap in range(int(sys.argv[2])):
    shelf.open(packages[swap % 2]).predict([picture])
    held.append(psutil.Process().memory_info().rss)
    assert len(shelf._loaded) == 1
print(json.dumps(held))
"""
SWAP_WEIGHTS_BYTES = 8 * 2**20
#: resident bytes that fifty swaps may leave behind: the weights of two models, where each swap drops those of one
SWAP_GROWTH_BYTES = 16 * 2**20


def heavy(root: Path, name: str) -> None:
    """A classifier with 8 MiB of weights, all of them used."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    numbers = np.random.default_rng(len(name)).normal(size=(3 * 64 * 64, 171)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ],
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 171])],
        [numpy_helper.from_array(numbers, "weights")],
    )
    labels = json.dumps([f"l{place}" for place in range(171)])
    folder = write_card(
        root / name,
        f'name = "{name}"\ntask = "classify"\nruntime = "onnx"\n[weights]\nfile = "m.onnx"\n'
        f'[input]\nwidth = 64\nheight = 64\n[output]\ndecoder = "softmax"\nlabels = {labels}\n',
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "m.onnx")
    assert (folder / "m.onnx").stat().st_size > SWAP_WEIGHTS_BYTES


def test_fifty_swaps_of_models_leave_nothing_in_memory(tmp_path: Path) -> None:
    heavy(tmp_path, "one")
    heavy(tmp_path, "two")
    command = [sys.executable, "-c", SWAPS, str(tmp_path), "60"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    held = json.loads(done.stdout.splitlines()[-1])
    assert len(held) == 60
    assert median(held[-10:]) - median(held[:10]) < SWAP_GROWTH_BYTES, held
