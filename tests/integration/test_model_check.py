"""A worker's check of versions, on real rows, weights and runtime, without the process around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.models.card import load_card
from pipeline.models.pull import file_digest
from pipeline.models.shelf import FolderShelf
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.model_checks import CHECK_TRIES, CheckResult, ModelChecks
from storage.model_rows import ModelVersion, NewVersion
from storage.models import Models
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.sql_queue import SqlQueue
from tests.model_packages import brightness_classifier, write_card
from workers.flags import SharedFlags
from workers.heartbeat import Pulse
from workers.model_check import ModelCheck
from workers.model_files import ModelFiles
from workers.model_shelf import VersionShelf
from workers.serving import register_models
from workers.watchdog import Watchdog


class Bench:
    """One worker's check, with a folder, a store and a database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.models, self.store, self.folder = Models(database), MemoryObjectStore(), folder
        SqlQueue(database).register("w")
        self.pulse = SimpleNamespace(worker_id="w", registered=True, draining=False)
        self.flags = SharedFlags()
        folders = FolderShelf([folder / "own"], cache_dir=folder / "cache")
        files = ModelFiles(folders, self.models, self.store, cache_dir=folder / "cache")
        self.check = ModelCheck(
            checks=ModelChecks(database), shelf=VersionShelf(files, device="cpu", threads=1, max_bytes=2**20),
            tasks=("classify",), host="here", pulse=cast(Pulse, self.pulse), flags=self.flags, load_seconds=60.0,
            memory_bytes=2**31,
            watchdog=Watchdog(cast(Any, None), arm=lambda *_, **__: None, disarm=lambda: None),
        )  # fmt: skip

    def add(self, path: Path) -> None:
        card, digest = load_card(path.parent), file_digest(path)
        self.store.put(f"models/{digest}", path.read_bytes())
        new = NewVersion(card.name, card.version, digest, card.task, card.as_json(), object_key=f"models/{digest}")
        self.models.add(new)

    def version(self, number: str = "1") -> ModelVersion:
        found = self.models.version("brightness", number)
        assert found is not None
        return found


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path)


@contextmanager
def stopping(bench: Bench) -> Iterator[None]:
    """The worker is told to stop as soon as the weights flow."""
    fetch = bench.store.fetch

    def stops(*arguments: Any, **options: Any) -> Any:
        bench.flags.stop_here()
        options["tick"]()
        return fetch(*arguments, **options)

    bench.store.fetch = stops  # type: ignore[method-assign]
    yield
    bench.store.fetch = fetch  # type: ignore[method-assign]
    bench.flags._stop_here = False


def test_what_passes_serves_with_the_figures_of_this_machine(bench: Bench) -> None:
    for number in ("1", "2"):
        bench.add(brightness_classifier(bench.folder / number, version=number))
    assert bench.check.run_due() == 2
    assert [(row.version, row.state, row.active) for row in bench.models.versions("brightness")] == [
        ("2", "checked", False), ("1", "checked", True),
    ]  # fmt: skip
    figures = bench.version().measured["here/cpu"]
    assert (figures["batch"], figures["seconds"] > 0, figures["load_seconds"] > 0) == (4, True, True)
    assert bench.check.run_due() == 0


def test_scores_that_are_no_numbers_are_refused_and_not_kept_loaded(bench: Bench) -> None:
    bench.add(brightness_classifier(bench.folder / "1", middle=float("nan")))
    assert bench.check.run_due() == 1
    row = bench.version()
    assert (row.state, row.active) == ("refused", False)
    assert "not a number" in str(row.error)
    assert bench.check.shelf.loaded() == []


def test_weights_that_need_more_memory_than_a_check_may_take_are_refused_with_the_setting(bench: Bench) -> None:
    card = (brightness_classifier(bench.folder / "1").parent / "model.toml").read_text()
    entry = 'runtime = "python"\nentry = "tests.fakes.unruly_networks:grows"'
    path = write_card(bench.folder / "2", card.replace('runtime = "onnx"', entry)) / "brightness.onnx"
    path.write_text(str(2**32))
    bench.add(path)
    assert bench.check.run_due() == 1
    error = bench.version().error or {}
    assert (error["code"], "FQ_MODEL_CHECK_BYTES" in error["advice"]) == ("device.out_of_memory", True)


def test_weights_that_vanished_from_the_store_are_refused_with_the_reason(bench: Bench) -> None:
    bench.add(brightness_classifier(bench.folder / "1"))
    bench.store.delete([str(bench.version().object_key)])
    assert bench.check.run_due() == 1
    assert bench.version().error == {
        "code": "model.unavailable",
        "message": "the weights of brightness 1 are not in the object store any more",
        "advice": "Add them again as a new version.",
    }


def test_a_store_that_is_down_refuses_nothing(bench: Bench) -> None:
    bench.add(brightness_classifier(bench.folder / "1"))
    bench.store.down = True
    for _ in range(5):
        assert bench.check.run_due() == 0
    assert bench.version().state == "added"
    bench.store.down = False
    assert bench.check.run_due() == 1
    assert bench.version().state == "checked"


def test_a_database_that_is_away_when_a_check_ends_is_no_fault_of_the_weights(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(brightness_classifier(bench.folder / "1"))
    settle = ModelChecks.settle
    monkeypatch.setattr(ModelCheck, "_result", lambda *_: CheckResult())  # what it finds does not matter here

    def away(*_: Any) -> bool:
        raise DatabaseUnavailable("gone for a moment")

    monkeypatch.setattr(ModelChecks, "settle", away)
    for _ in range(CHECK_TRIES + 1):
        assert bench.check.run_due() == 0
    monkeypatch.setattr(ModelChecks, "settle", settle)
    assert bench.check.run_due() == 1
    assert bench.version().state == "checked"


def test_a_worker_that_stops_or_drains_leaves_the_check_to_others(bench: Bench) -> None:
    bench.add(brightness_classifier(bench.folder / "1"))
    bench.pulse.draining = True
    assert bench.check.run_due() == 0
    bench.pulse.draining = False
    for _ in range(4):
        with stopping(bench):
            assert bench.check.run_due() == 0
    assert bench.version().state == "added"
    assert bench.check.run_due() == 1
    assert bench.version().state == "checked"


def test_a_model_of_the_folder_is_measured_when_it_was_used_and_only_once(bench: Bench) -> None:
    brightness_classifier(bench.folder / "own")
    (bench.folder / "own" / "brightness" / "evaluation.json").write_text('{"accuracy": 0.75}')
    shelf = bench.check.shelf
    shelf.files.folders = FolderShelf([bench.folder / "own"], cache_dir=bench.folder / "cache")
    register_models(bench.models, shelf.files.folders)
    bench.check.measure_loaded()
    row = bench.version()
    assert (row.active, row.measured, row.evaluation) == (True, {}, {"accuracy": 0.75})
    pins = bench.models.pins(["brightness"])
    shelf.pinned(pins).load("brightness")
    bench.check.measure_loaded()
    first = bench.version().measured
    assert first["here/cpu"]["pictures_per_second"] > 0
    bench.check.measured.clear()  # as a new process of the same machine
    bench.check.measure_loaded()
    assert bench.version().measured == first
