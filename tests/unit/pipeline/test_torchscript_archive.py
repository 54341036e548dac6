"""TorchScript files that would do more than calculate are refused before they have done it."""

from __future__ import annotations

import resource
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import ModelError, ModelUnavailable
from pipeline.models.card import ModelCard
from pipeline.models.shelf import open_model

CARD = ModelCard.model_validate({
    "name": "script", "task": "classify", "runtime": "torchscript", "weights": {"file": "script.pt"},
    "input": {"width": 8, "height": 8}, "output": {"decoder": "softmax", "labels": ["a", "b"]},
})  # fmt: skip
SOURCE = """
def inner(self, x: Tensor) -> Tensor:
    {inner}
    return x
def forward(self, x: Tensor) -> Tensor:
    {outer}
    return x.mean([1, 2, 3])[:, None] + torch.zeros(2)
"""
SAVES = "torch.save(x, {target!r})"
MAPS = "x = x + torch.from_file({target!r}, shared=True, size=64).sum()"
RESTORED = """
def __getstate__(self) -> Tuple[int, bool]:
    return (0, self.training)
def __setstate__(self, state: Tuple[int, bool]) -> None:
    torch.save(torch.zeros(2), {target!r})
    self.training = state[1]
"""


def saved(path: Path, source: str, **words: str) -> Path:
    """Write a module with the methods of this TorchScript source."""
    module: Any = type("Script", (torch.jit.ScriptModule,), {})()  # torch compiles each class but once
    module.define(source.format(**words))
    module.save(str(path))
    return path


def opened(path: Path) -> Any:
    return open_model(CARD, path.parent, path, "cpu", 1)


def test_a_program_that_only_calculates_runs(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pt", SOURCE, inner="x = x * 2", outer="x = self.inner(x)")
    found = opened(path).run(np.full((3, 3, 8, 8), 2, dtype=np.float32))
    assert found["output"].tolist() == [[4.0, 4.0]] * 3


@pytest.mark.parametrize("act", [SAVES, MAPS])
@pytest.mark.parametrize("words", [
    {"inner": "pass", "outer": "{act}"},
    {"inner": "{act}", "outer": "x = self.inner(x)"},
    {"inner": "{act}", "outer": "pass"},
    {"inner": "if bool(x.sum() > 1e9):\n        {act}", "outer": "x = self.inner(x)"},
])  # fmt: skip
def test_a_program_that_reaches_files_is_refused_before_it_runs(
    tmp_path: Path, act: str, words: dict[str, str]
) -> None:
    target = tmp_path / "written"
    act = act.format(target=str(target))
    path = saved(tmp_path / "m.pt", SOURCE, **{name: word.format(act=act) for name, word in words.items()})
    with pytest.raises(ModelError, match=r"calls aten::(save|from_file)"):
        opened(path)
    assert not target.exists()


def test_what_torch_would_run_while_it_loads_is_refused_unread(tmp_path: Path) -> None:
    target = tmp_path / "written"
    path = saved(tmp_path / "m.pt", SOURCE + RESTORED, inner="pass", outer="pass", target=str(target))
    with pytest.raises(ModelError, match="__setstate__"):
        opened(path)
    assert not target.exists()
    with pytest.warns(DeprecationWarning, match="jit.load"):
        torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    assert target.exists()  # so it is no matter of taste


def test_torch_reads_the_very_archive_that_was_looked_through(tmp_path: Path) -> None:
    target = tmp_path / "written"
    harmless = saved(tmp_path / "a.pt", SOURCE, inner="pass", outer="x = x * 2")
    harmful = saved(tmp_path / "b.pt", SOURCE + RESTORED, inner="pass", outer="pass", target=str(target))
    both = tmp_path / "m.pt"
    both.write_bytes(harmful.read_bytes() + harmless.read_bytes())
    assert opened(both).run(np.ones((1, 3, 8, 8), np.float32))["output"].tolist() == [[2.0, 2.0]]
    assert not target.exists()


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pt", SOURCE, inner="pass", outer="pass")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[0], b"another")
    with pytest.raises(ModelError, match="twice"):
        opened(path)


def test_a_disk_without_room_is_told_as_such_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pt", SOURCE, inner="pass", outer="pass")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(ModelUnavailable, match="no room"):
            opened(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert opened(path).card.name == "script"
    assert [one.name for one in tmp_path.iterdir()] == ["m.pt"]
