"""Mounted image-text models: tiny ones of random weights, saved as the library saves them, loaded with a card alone.

They need the optional library: pip install -r deploy/requirements/hub.txt.
"""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from pipeline.errors import ModelError, ModelUnavailable
from pipeline.models.card import CardError, load_card
from pipeline.models.check import self_check
from pipeline.models.shelf import FolderShelf
from tests.model_packages import write_card

CARD = """
name = "{name}"
task = "text"
runtime = "transformers"
max_batch = 2
[weights]
file = "model.safetensors"
[output]
decoder = "text"
"""
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", "a", "cat", "dog", "red", "what", "is", "this",
         "?", "of", "picture", "<image>", "<s>", "</s>"]  # fmt: skip
PICTURES = [np.random.default_rng(n).integers(0, 256, (30 + n, 50, 3), dtype=np.uint8) for n in range(3)]


def library():
    return pytest.importorskip("transformers", reason="optional: pip install -r deploy/requirements/hub.txt")


def save(root, name, model, processor):
    folder = write_card(root / name, CARD.format(name=name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def blip(root, name, kind):
    """Write a BLIP of one layer each; kind: ConditionalGeneration or QuestionAnswering."""
    import torch

    hub = library()
    torch.manual_seed(3)
    tokens = hub.BertTokenizer(vocab={word: place for place, word in enumerate(WORDS)})
    small = {"hidden_size": 16, "intermediate_size": 32, "projection_dim": 16, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    special = {"bos_token_id": 5, "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3}
    config = hub.BlipConfig(
        text_config={**small, **special, "vocab_size": len(WORDS), "encoder_hidden_size": 16},
        vision_config={**small, "image_size": 32, "patch_size": 8}, projection_dim=16, image_text_hidden_size=16,
    )  # fmt: skip
    images = hub.BlipImageProcessorPil(size={"height": 32, "width": 32})
    return save(root, name, getattr(hub, f"BlipFor{kind}")(config), hub.BlipProcessor(images, tokens))


def llava(root, name):
    """Write a LLaVA of one layer each, which chats about one picture."""
    hub = library()
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(3)
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens = hub.PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = hub.LlavaConfig(
        vision_config=hub.CLIPVisionConfig(**small, image_size=32, patch_size=8, projection_dim=16),
        text_config=hub.LlamaConfig(**small, vocab_size=len(WORDS), num_key_value_heads=2, pad_token_id=0),
        image_token_index=WORDS.index("<image>"), vision_feature_layer=-1,
    )  # fmt: skip
    images = hub.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = hub.LlavaProcessor(
        images, tokens, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template="{% for turn in messages %}{% for part in turn.content %}{% if part.type == 'image' %}<image> "
        "{% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}",
    )  # fmt: skip
    return save(root, name, hub.LlavaForConditionalGeneration(config), processor)


def shelf_of(root):
    return FolderShelf([root], cache_dir=root / "cache", device="cpu", threads=1)


def test_a_captioner_describes_each_picture_the_same_each_time(tmp_path):
    blip(tmp_path, "captions", "ConditionalGeneration")
    model = shelf_of(tmp_path).load("captions")
    said = model.describe(PICTURES)
    assert len(said) == 3
    assert all(isinstance(one, str) for one in said)
    assert model.describe(PICTURES) == said
    with pytest.raises(ModelError, match="captions only"):
        model.describe(PICTURES, "what is this ?")
    with pytest.raises(ModelError, match="tells no findings"):
        model.predict(PICTURES)
    assert self_check(model).ok


def test_an_answerer_answers_questions_and_makes_no_captions(tmp_path):
    blip(tmp_path, "answers", "QuestionAnswering")
    model = shelf_of(tmp_path).load("answers")
    assert len(model.describe(PICTURES, "what is this ?")) == 3
    with pytest.raises(ModelError, match="questions only"):
        model.describe(PICTURES)
    assert self_check(model).ok


def test_a_chatting_model_does_both_and_does_not_repeat_the_question(tmp_path):
    llava(tmp_path, "chat")
    model = shelf_of(tmp_path).load("chat")
    for prompt in (None, "what is this ?"):
        said = model.describe(PICTURES, prompt)
        assert len(said) == 3
        assert not any(one.startswith(("<image> what", "what is this ?")) for one in said)
    assert self_check(model).ok


def test_a_folder_that_brings_its_own_code_or_pickled_weights_is_refused(tmp_path):
    folder = blip(tmp_path, "captions", "ConditionalGeneration")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(ModelError, match="Python code of its own"):
        shelf_of(tmp_path).load("captions")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="cannot be loaded"):
        shelf_of(tmp_path).load("captions")


def test_weights_without_their_folder_are_told(tmp_path):
    write_card(tmp_path / "lost", CARD.format(name="lost"))
    (tmp_path / "lost" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"no config\.json"):
        shelf_of(tmp_path).load("lost")


def test_without_the_library_the_model_is_unavailable_with_how_to_get_it(tmp_path, monkeypatch):
    folder = write_card(tmp_path / "m", CARD.format(name="m"))
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "config.json").write_text('{"model_type": "blip"}')
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ModelUnavailable) as caught:
        shelf_of(tmp_path).load("m")
    assert "hub.txt" in caught.value.advice


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"model.safetensors"', '"pytorch_model.bin"', "takes safetensors only"),
        ('file = "m', 'url = "https://x/y"\nsha256 = "%s"\nfile = "m' % ("a" * 64), "mounted by the operator"),
        ('"transformers"', '"onnx"', "task text needs runtime transformers"),
        ('task = "text"', 'task = "tensors"', "task: runtime transformers is for text, detect, segment"),
    ],
)
def test_a_card_for_mounted_models_is_held_to_what_they_are(tmp_path, old, new, fault):
    write_card(tmp_path, CARD.format(name="m").replace(old, new))
    with pytest.raises(CardError, match=fault):
        load_card(tmp_path)


GROUNDED_CARD = """
name = "{task}-words"
task = "{task}"
runtime = "transformers"
max_batch = 2
[weights]
file = "model.safetensors"
[input]
width = 128
height = 128
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[output]
labels = ["red cat", "dog"]
score_floor = 0.0
{output}
"""
READ = {
    "detect": 'decoder = "detr"\nactivation = "none"',
    "segment": 'decoder = "instances"\nbox_units = "parts"',
}


def grounded(root, task):
    """Write a Grounding DINO and, for segment, a SAM 2 of a few layers each."""
    hub = library()
    import torch

    torch.manual_seed(3)
    folder = write_card(root / f"{task}-words", GROUNDED_CARD.format(task=task, output=READ[task]))
    hub.BertTokenizer(vocab={word: place for place, word in enumerate([*WORDS, "."])}).save_pretrained(folder)
    layers = {f"{part}_{what}": n for part in ("encoder", "decoder")
              for what, n in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))}  # fmt: skip
    finder = hub.GroundingDinoForObjectDetection(hub.GroundingDinoConfig(
        backbone_config=hub.SwinConfig(image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2,
                                       out_features=["stage2", "stage3", "stage4"]),
        text_config=hub.BertConfig(vocab_size=40, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                                   intermediate_size=32),
        d_model=32, num_queries=12, max_text_len=32, **layers,
    ))  # fmt: skip
    outliner = hub.Sam2Model(hub.Sam2Config(
        vision_config=hub.Sam2VisionConfig(
            backbone_config=hub.Sam2HieraDetConfig(
                hidden_size=8, num_attention_heads=1, blocks_per_stage=[1, 2, 2, 1],
                embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 4],
                global_attention_blocks=[4], window_size_per_stage=[2] * 4, image_size=[128, 128],
                window_positional_embedding_background_size=[7, 7],
            ),
            backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
            backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        ),
        prompt_encoder_config={"hidden_size": 32, "image_size": 128, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                             "iou_head_hidden_dim": 32},
    ))  # fmt: skip
    finder.save_pretrained(folder)
    if task == "segment":
        outliner.save_pretrained(folder / "sam2")
    return folder


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_things_named_in_words_are_found_and_outlined_by_mounted_models(tmp_path, task):
    grounded(tmp_path, task)
    model = shelf_of(tmp_path).load(f"{task}-words")
    found = model.predict(PICTURES)
    assert len(found) == 3
    assert {one["label"] for one in found[0]} <= {"red cat", "dog"}
    assert found[0]
    assert model.predict(PICTURES) == found
    for one in found[0]:
        x, y, width, height = one["box"]
        assert min(x, y) >= 0
        assert x + width <= 50.01
        assert y + height <= 30.01
        if task == "segment":
            assert 0 < one["area"] <= (width + 2) * (height + 2)


def test_a_missing_outliner_is_told(tmp_path):
    folder = grounded(tmp_path, "segment")
    (folder / "sam2" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        shelf_of(tmp_path).load("segment-words")
