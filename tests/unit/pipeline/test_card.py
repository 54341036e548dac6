"""Model cards."""

from __future__ import annotations

import tomllib

import pytest

from pipeline.models.card import CardError, Output, load_card
from pipeline.models.card_faults import DECODERS, NEEDED, OPTIONS, SUPPRESSED
from pipeline.models.decoders import CLASSIFIERS, DETECTORS, SEGMENTERS
from pipeline.models.shelf import BUILT_IN

MINIMAL = """
name = "mine"
task = "classify"
runtime = "onnx"
[weights]
file = "mine.onnx"
[input]
width = 32
height = 24
[output]
decoder = "softmax"
labels = ["dark", "bright"]
"""


def card_of(folder, text, **files):
    (folder / "model.toml").write_text(text)
    for name, content in files.items():
        (folder / name).write_text(content)
    return load_card(folder)


def test_a_card_needs_little(tmp_path):
    card = card_of(tmp_path, MINIMAL)
    assert (card.name, card.version, card.lane, card.max_batch, card.licence) == ("mine", "1", "cpu", 1, "unstated")
    assert (card.input.layout, card.input.colour, card.input.resize) == ("NCHW", "RGB", "stretch")
    assert card.output.labels == ("dark", "bright")


def test_labels_may_stand_in_a_file_one_a_line(tmp_path):
    text = MINIMAL.replace('labels = ["dark", "bright"]', 'labels_file = "labels.txt"')
    assert card_of(tmp_path, text, **{"labels.txt": "dark\n\n bright \r\n"}).output.labels == ("dark", "bright")


def test_every_fault_is_named_at_once(tmp_path):
    bad = """
name = "Not Good"
task = "classify"
runtime = "pickle"
lane = "cpu"
max_batch = 0
colour = "RGB"
[weights]
file = "../../etc/passwd"
url = "http://plain.example/x"
[input]
width = 0
std = [1.0, 0.0, 1.0]
[output]
decoder = "yunet"
"""
    with pytest.raises(CardError) as caught:
        card_of(tmp_path, bad)
    message = str(caught.value)
    fields = "name runtime max_batch colour weights.file weights.url weights.sha256 input.width input.height input.std"
    for fault in [*(f"{field}:" for field in fields.split()), "output: give labels", "output.decoder:"]:
        assert fault in message, fault
    assert caught.value.code == "model.card_invalid"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('labels = ["dark", "bright"]', 'labels_file = "absent.txt"', "labels_file"),
        ('labels = ["dark", "bright"]', 'labels_file = "../secret.txt"', "not a plain file name"),
        ('labels = ["dark", "bright"]', 'labels = ["a"]\nlabels_file = "b.txt"', "not both"),
        ('decoder = "softmax"', 'decoder = "yolov8"', "a classify model takes one of softmax"),
        ('file = "mine.onnx"', 'file = "mine.onnx"\nsha256 = "abc"', "weights.sha256"),
        ("width = 32", "width = ", "Invalid value"),
        ("width = 32", "width = 32\nscale = inf", "input.scale: Input should be a finite number"),
        ("width = 32", "width = 32\nmean = [0.5, nan, 0.5]", "input.mean.1: Input should be a finite number"),
        ("width = 32", f"width = {'[' * 5000}", "recursion"),
        ('labels = ["dark", "bright"]', 'labels = ["dark", "bri\\u0000ght"]', "output.labels: must not hold"),
        ('decoder = "softmax"', 'decoder = "softmax"\nnames = { "a\\u0000" = "b" }', "output.names: must not hold"),
        (
            'decoder = "softmax"',
            'decoder = "softmax"\nstrides = [8]',
            "output.strides: decoder softmax does not take it",
        ),
        ('decoder = "softmax"', 'decoder = "softmax"\nstrides = [0]', "output.strides.0: Input should be greater"),
        ('runtime = "onnx"', 'runtime = "torchscript"\nprecision = "int8"', "precision: int8 needs runtime onnx"),
        ('runtime = "onnx"', 'runtime = "onnx"\nentry = "a:b"', "entry: needed for runtime python, and only there"),
        ("[input]", '[check]\npicture = "a.png"\nlabel = "blue"\n[input]', "check.label: 'blue' is not one of"),
    ],
)
def test_a_fault_is_told_where_it_is(tmp_path, old, new, fault):
    with pytest.raises(CardError, match=fault):
        card_of(tmp_path, MINIMAL.replace(old, new))


@pytest.mark.parametrize(("decoder", "needed"), sorted(NEEDED.items()))
def test_what_a_decoder_cannot_do_without_is_asked_for(tmp_path, decoder, needed):
    text = MINIMAL.replace('task = "classify"', 'task = "detect"').replace('"softmax"', f'"{decoder}"')
    with pytest.raises(CardError, match=f"output.{needed}: decoder {decoder} needs it"):
        card_of(tmp_path, text)


def test_an_ssds_priors_stand_in_its_card(tmp_path):
    text = MINIMAL.replace('task = "classify"', 'task = "detect"').replace('"softmax"', '"ssd"')
    card = card_of(tmp_path, text + "[[output.priors]]\nstride = 8\nsizes = [[10, 12], [20, 20]]\n")
    assert card.output.priors[0].sizes == ((10, 12), (20, 20))


def test_a_folder_without_a_card_and_a_card_that_is_not_text_are_told(tmp_path):
    with pytest.raises(CardError, match="No such file"):
        load_card(tmp_path)
    (tmp_path / "model.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match=r"model\.toml"):
        load_card(tmp_path)


def test_cards_and_decoders_know_the_same_names():
    assert set(DECODERS["detect"]) == set(DETECTORS)
    assert set(DECODERS["classify"]) == set(CLASSIFIERS)
    assert set(DECODERS["segment"]) == set(SEGMENTERS)
    decoders = {name for names in DECODERS.values() for name in names}
    assert decoders >= set().union(*OPTIONS.values(), SUPPRESSED, NEEDED)
    assert set(OPTIONS) <= set(Output.model_fields)


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in BUILT_IN.glob("*/model.toml")), ids=lambda path: path.name
)
def test_a_card_that_comes_with_the_project_is_pinned_and_says_its_licence(folder):
    card = load_card(folder)
    assert card.name == folder.name
    assert card.weights.url or (folder / card.weights.file).is_file()  # fetched, or trained here
    assert card.weights.sha256
    assert card.weights.bytes
    assert card.licence not in {"", "unstated"}
    assert not list(folder.glob("*.onnx"))  # third-party weights are fetched, never kept
    assert card.as_json()["name"] == tomllib.loads((folder / "model.toml").read_text())["name"]
