"""A shelf of one model whose findings a function makes from the picture."""

from __future__ import annotations

from pipeline.errors import ParamsError
from pipeline.models.card import Input, ModelCard, Output, Weights


def card_of(name="faked", task="detect", **output):
    decoder = {"detect": "yolov8", "classify": "softmax"}[task]
    return ModelCard(
        name=name, task=task, runtime="onnx", version="7", licence="MIT", cost_seconds=0.25,
        weights=Weights(file="m.onnx", sha256="ab" * 32), input=Input(width=8, height=8),
        output=Output(**{"decoder": decoder, "labels": ("a", "b"), "min_score": 0.5} | output),
    )  # fmt: skip


class FakeShelf:
    """Cards given; ``find(image)`` makes the findings of each picture."""

    def __init__(self, *cards, find=lambda image: []):
        self._cards = {card.name: card for card in cards}
        self._find = find
        self.seen = []

    def card(self, name):
        if name not in self._cards:
            raise ParamsError(f"no model {name}", code="model.unknown")
        return self._cards[name]

    def cards(self):
        return list(self._cards.values())

    def digest(self, name):
        return self.card(name).weights.sha256

    def load(self, name):
        return _Loaded(self.card(name), self)

    def close(self):
        pass


class _Loaded:
    def __init__(self, card, shelf):
        self.card = card
        self._shelf = shelf

    def predict(self, images):
        self._shelf.seen.append([image.shape for image in images])
        return [self._shelf._find(image) for image in images]

    def close(self):
        pass
