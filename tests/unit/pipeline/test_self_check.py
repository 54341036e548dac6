"""The self-check, warm-up, and what many loads leave behind."""

from __future__ import annotations

import itertools
import json

import cv2
import numpy as np
import psutil
import pytest

from pipeline.errors import DeviceOutOfMemory, ModelError
from pipeline.models.card import Check, Input, ModelCard, Output, PriorMap, Weights
from pipeline.models.card_faults import DECODERS, NEEDED
from pipeline.models.check import read_picture, sample_picture, self_check
from pipeline.models.loaded import LoadedModel
from pipeline.models.shelf import FolderShelf, open_model
from tests.model_packages import brightness_classifier

CARD = ModelCard(
    name="m", task="classify", runtime="onnx", max_batch=4, weights=Weights(file="m.onnx"),
    input=Input(width=8, height=8, scale=1.0), output=Output(decoder="probabilities", labels=("dark", "bright")),
)  # fmt: skip


class Brightness:
    """A network in numpy: P(bright) = mean level / 255, or what ``spoil`` makes of it."""

    fixed_batch = None

    def __init__(self, spoil=lambda values: values):
        self.spoil, self.sizes = spoil, []

    def __call__(self, batch):
        self.sizes.append(len(batch))
        return {"output": self.spoil(batch.mean(axis=(1, 2, 3), keepdims=True)[:, 0, 0] / 255)}

    def close(self):
        pass


def report(spoil=lambda values: values, folder=None, card=CARD):
    return self_check(LoadedModel(card, Brightness(spoil)), folder)


def test_a_sound_model_passes_with_its_times():
    told = report()
    assert (told.ok, told.faults, told.picture, told.findings, told.batch) == (True, (), "generated", 2, 4)
    assert 0 < told.seconds <= told.first_seconds + told.batch_seconds
    assert json.loads(json.dumps(told.as_json()))["faults"] == []


#: what a model adds whose answer is never the one before
FICKLE = itertools.cycle((0.0, 0.5))


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda values: values * np.nan, "not a number"),
        (lambda values: np.zeros((len(values), 5), np.float32), "5 classes, the card labels 2"),
        (lambda values: values[:1], "one entry per picture"),
        (lambda values: values / len(values), "a batch of 4 gives other findings"),
        (lambda values: values + next(FICKLE), "different findings each time"),
    ],
)
def test_what_does_not_fit_is_told(spoil, fault):
    told = report(spoil)
    assert not told.ok
    assert fault in "; ".join(told.faults)


#: what decoders call the outputs that they read
OUTPUTS = (
    *("boxes", "scores", "classes", "count", "masks", "logits", "locations", "centerness", "rows", "prototypes"),
    *(f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)),
)
NEEDS = {"strides": (8,), "priors": (PriorMap(stride=8, sizes=((4, 4),)),)}


class Shapeless:
    """A network whose outputs have all one form, whatever their name."""

    fixed_batch = None

    def __init__(self, names, rest, value):
        self.names, self.rest, self.value = names, rest, value

    def __call__(self, batch):
        return {name: np.full((len(batch), *self.rest), self.value, np.float32) for name in self.names}

    def close(self):
        pass


@pytest.mark.parametrize(
    ("task", "decoder"), [(task, one) for task in ("detect", "classify", "segment") for one in DECODERS[task]]
)
@pytest.mark.parametrize("value", [0.9, np.nan, np.inf, -1e30])
def test_outputs_of_any_form_are_findings_or_the_models_fault(task, decoder, value):
    needed = {name: NEEDS[name] for name in [NEEDED.get(decoder)] if name}
    output = Output(decoder=decoder, labels=("a", "b"), **needed)
    card = CARD.model_copy(update={"task": task, "output": output})
    picture = np.zeros((8, 8, 3), np.uint8)
    for names in (("output",), OUTPUTS):
        for rest in ((), (1,), (0, 6), (6, 1), (1, 6), (4, 4), (6, 2, 2), (1, 1, 1), (2, 2, 2, 2)):
            try:
                (found,) = LoadedModel(card, Shapeless(names, rest, value)).predict([picture])
            except ModelError:
                continue
            assert all(np.isfinite([one["score"], *one.get("box", ())]).all() for one in found)


def test_out_of_memory_is_no_fault_of_the_model():
    def full(values):
        raise MemoryError

    with pytest.raises(DeviceOutOfMemory):
        report(full)


@pytest.mark.parametrize(
    ("label", "score", "ok"), [("bright", 0.9, True), ("dark", 0.5, False), ("bright", 1.0, False)]
)
def test_a_cards_own_sample_must_give_its_label(tmp_path, label, score, ok):
    cv2.imwrite(str(tmp_path / "white.png"), np.full((20, 30, 3), 250, np.uint8))
    card = CARD.model_copy(update={"check": Check(picture="white.png", label=label, min_score=score)})
    told = report(folder=tmp_path, card=card)
    assert (told.ok, told.picture) == (ok, "white.png")
    if not ok:
        assert f"'{label}' has score" in told.faults[0]


def test_a_sample_that_is_not_there_or_no_picture_is_a_fault(tmp_path):
    card = CARD.model_copy(update={"check": Check(picture="white.png", label="bright")})
    assert "cannot be read" in report(folder=tmp_path, card=card).faults[0]
    (tmp_path / "white.png").write_bytes(b"no picture")
    assert read_picture(tmp_path / "white.png") is None
    assert "cannot be read" in report(folder=tmp_path, card=card).faults[0]


def test_the_made_picture_is_the_same_each_time_and_never_of_the_inputs_size():
    assert (sample_picture(CARD) == sample_picture(CARD)).all()
    assert sample_picture(CARD).shape == (32, 32, 3)


def test_a_network_for_a_pipelines_own_use_is_checked_on_its_raw_outputs():
    card = CARD.model_copy(update={"task": "tensors", "output": Output(decoder="raw")})
    assert report(card=card).ok
    assert "is not finite" in report(lambda values: values + np.inf, card=card).faults[0]


def test_a_model_is_run_once_when_it_is_loaded_and_a_misfit_shows_there(tmp_path):
    network = Brightness()
    open_model(CARD, tmp_path, tmp_path / "m.onnx", "cpu", 1, runtime=lambda *_: network)
    assert network.sizes == [1]
    spoiled = Brightness(lambda values: np.zeros((len(values), 3), np.float32))
    with pytest.raises(ModelError, match="3 classes"):
        open_model(CARD, tmp_path, tmp_path / "m.onnx", "cpu", 1, runtime=lambda *_: spoiled)


def test_fifty_swaps_of_models_leave_memory_where_it_was(tmp_path):
    for name in ("a", "b"):
        brightness_classifier(tmp_path, name=name, side=64)
    shelf = FolderShelf([tmp_path], cache_dir=tmp_path / "cache", device="cpu", threads=1, max_loaded=1)
    pictures = [np.full((48, 64, 3), 200, np.uint8)] * 4

    def swap(times):
        for place in range(times):
            assert shelf.load("ab"[place % 2]).predict(pictures)[0][0]["label"] == "bright"
        return psutil.Process().memory_info().rss

    settled = swap(10)
    assert swap(50) - settled < 16 * 1024**2
    shelf.close()
