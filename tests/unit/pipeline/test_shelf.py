"""The shelf of model packages; weights here are a tiny graph made on the spot."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pipeline.errors import DeviceOutOfMemory, ModelError, ModelUnavailable, ParamsError
from pipeline.models.card import CardError
from pipeline.models.shelf import FolderShelf, open_shelf, open_weights
from tests.model_packages import brightness_classifier, write_card


@pytest.fixture
def folders(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path


def shelf_of(folders, *names, **options):
    return FolderShelf(
        [folders / name for name in names or ("one", "two")],
        cache_dir=folders / "cache",
        device="cpu",
        threads=1,
        **options,
    )


def test_the_built_in_shelf_has_a_detector_and_a_face_finder(tmp_path):
    shelf = open_shelf(cache_dir=tmp_path)
    assert {"fastestdet", "yunet"} <= {card.name for card in shelf.cards()}
    assert shelf.faults == {}
    assert shelf.weights("yunet") is None
    assert shelf.digest("yunet") == shelf.card("yunet").weights.sha256


def test_a_users_package_goes_before_a_built_in_one_of_the_same_name(tmp_path):
    brightness_classifier(tmp_path, name="yunet")
    shelf = open_shelf(model_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert shelf.card("yunet").task == "classify"
    assert shelf.card("fastestdet").task == "detect"


def test_an_unknown_model_is_told_with_those_there_are(folders):
    brightness_classifier(folders / "one")
    with pytest.raises(ParamsError) as caught:
        shelf_of(folders).card("other")
    assert caught.value.code == "model.unknown"
    assert "brightness" in caught.value.advice


def test_a_broken_card_hides_no_other_and_says_what_is_wrong_when_asked_for(folders):
    brightness_classifier(folders / "one")
    write_card(folders / "one" / "broken", "name = 3")
    shelf = shelf_of(folders)
    assert [card.name for card in shelf.cards()] == ["brightness"]
    assert set(shelf.faults) == {"broken"}
    with pytest.raises(CardError, match="task"):
        shelf.load("broken")


def test_a_model_is_loaded_once_and_runs_with_only_a_card_and_a_file(folders):
    path = brightness_classifier(folders / "one")
    shelf = shelf_of(folders)
    model = shelf.load("brightness")
    assert shelf.load("brightness") is model
    assert model.predict([np.full((5, 9, 3), 250, np.uint8)])[0][0]["label"] == "bright"
    assert shelf.digest("brightness") == hashlib.sha256(path.read_bytes()).hexdigest()
    shelf.close()
    assert shelf.load("brightness") is not model
    shelf.close()


def test_no_more_models_stay_loaded_than_allowed_and_the_longest_unused_goes(folders):
    for name in ("a", "b", "c"):
        brightness_classifier(folders / "one", name=name)
    shelf = shelf_of(folders, max_loaded=2)
    first, second = shelf.load("a"), shelf.load("b")
    assert shelf.load("a") is first
    shelf.load("c")
    assert shelf.load("a") is first
    assert shelf.load("b") is not second
    shelf.close()


def test_a_model_told_to_go_goes(folders):
    brightness_classifier(folders / "one")
    shelf = shelf_of(folders)
    model = shelf.load("brightness")
    shelf.evict("brightness")
    shelf.evict("brightness")
    assert shelf.load("brightness") is not model


def test_weights_that_are_nowhere_are_unavailable(folders):
    brightness_classifier(folders / "one").unlink()
    shelf = shelf_of(folders)
    assert shelf.digest("brightness") is None
    with pytest.raises(ModelUnavailable):
        shelf.load("brightness")


def test_a_file_that_is_no_model_is_a_model_error(folders):
    brightness_classifier(folders / "one").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        shelf_of(folders).load("brightness")


def test_a_graph_of_another_size_than_its_card_is_told(folders):
    brightness_classifier(folders / "one", side=8, card_side=16)
    with pytest.raises(ModelError, match=r"the card says \[n, 3, 16, 16\]"):
        shelf_of(folders).load("brightness")


def test_out_of_memory_while_loading_makes_room_and_tries_once_more(folders):
    for name in ("a", "b"):
        brightness_classifier(folders / "one", name=name)
    calls = ["nothing yet"]

    def full_once(card, folder, path, device, threads):
        calls.append(card.name)
        if calls in (["b"], ["a"]):
            raise DeviceOutOfMemory("full")
        return open_weights(card, folder, path, device, threads)

    shelf = shelf_of(folders, runtime=full_once)
    shelf.load("a")
    calls.clear()
    assert shelf.load("b").predict([np.zeros((4, 4, 3), np.uint8)])[0][0]["label"] == "dark"
    assert calls == ["b", "b"]
    shelf.close()
    calls.clear()
    with pytest.raises(DeviceOutOfMemory):  # nothing else is loaded: there is no room to make
        shelf.load("a")
