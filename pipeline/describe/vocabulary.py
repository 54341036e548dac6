"""Words for things: synonyms, plurals and kinds, to the labels a detector knows."""

from __future__ import annotations

from collections.abc import Sequence

#: the eleven basic colour terms
COLOURS = ("black", "grey", "white", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
#: flat shapes that are found without a detector
SHAPES = ("circle", "triangle", "square", "rectangle")
#: how people say it -> the label as COCO's detectors have it, both spellings
SYNONYMS = {
    "airplane": "aeroplane", "plane": "aeroplane", "aircraft": "aeroplane", "motorcycle": "motorbike",
    "bike": "bicycle", "lorry": "truck", "pickup": "truck", "pick-up": "truck", "pickup truck": "truck",
    "automobile": "car", "human": "person", "human being": "person", "tv": "tvmonitor", "television": "tvmonitor",
    "monitor": "tvmonitor", "screen": "tvmonitor", "couch": "sofa", "plant": "pottedplant",
    "potted plant": "pottedplant", "houseplant": "pottedplant", "table": "diningtable", "dining table": "diningtable",
    "phone": "cell phone", "cellphone": "cell phone", "mobile phone": "cell phone", "smartphone": "cell phone",
    "doughnut": "donut", "kitty": "cat", "kitten": "cat", "puppy": "dog", "fridge": "refrigerator", "mug": "cup",
    "purse": "handbag", "hotdog": "hot dog", "hairdryer": "hair drier", "teddy": "teddy bear", "ball": "sports ball",
    "wineglass": "wine glass", "disc": "circle", "disk": "circle", "dot": "circle", "boat": "boat", "ship": "boat",
    "stoplight": "traffic light",
}  # fmt: skip
#: finer than a detector tells: it sees the person, not whether it is a child
FINER = {
    "man": "person", "woman": "person", "child": "person", "boy": "person", "girl": "person", "baby": "person",
    "adult": "person", "lady": "person", "taxi": "car", "ambulance": "truck", "tabby": "cat", "poodle": "dog",
}  # fmt: skip
KINDS = {
    "animal": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "pet": ("cat", "dog"),
    "vehicle": ("bicycle", "car", "motorbike", "aeroplane", "bus", "train", "truck", "boat"),
    "fruit": ("banana", "apple", "orange"),
    "vegetable": ("broccoli", "carrot"),
    "food": (
        "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake",
    ),
    "furniture": ("chair", "sofa", "bed", "diningtable"),
    "shape": SHAPES,
}  # fmt: skip
_IRREGULAR = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse", "knives": "knife",
    "sheep": "sheep", "geese": "goose", "buses": "bus", "sandwiches": "sandwich", "couches": "couch",
    "skis": "skis", "scissors": "scissors", "glasses": "glass", "wine glasses": "wine glass", "loaves": "loaf",
    "people's": "person", "persons": "person", "benches": "bench", "toothbrushes": "toothbrush", "bus": "bus",
}  # fmt: skip
#: how a label is said; the others are said as they are
_SAID = {
    "aeroplane": "airplane", "motorbike": "motorcycle", "tvmonitor": "television", "pottedplant": "potted plant",
    "diningtable": "table",
}  # fmt: skip
_PLURALS = {
    "person": "people", "mouse": "mice", "knife": "knives", "sheep": "sheep", "skis": "skis", "scissors": "scissors",
}  # fmt: skip
COLOUR_WORDS = {**{name: name for name in COLOURS}, "gray": "grey", "violet": "purple", "golden": "yellow"}


def labels_of(noun: str, known: Sequence[str]) -> tuple[str, ...] | None:
    """Return the labels that a noun stands for, of those the detector knows and the shapes; None: it stands for none.

    known: the detector's labels. A kind (animal, vehicle, fruit ...) stands for all of its labels that are known.
    """
    allowed = {*known, *SHAPES}
    for word in _forms(noun):
        if word in ("thing", "object"):
            return tuple(sorted(allowed))
        if word in allowed:
            return (word,)
        spelled = {SYNONYMS.get(word, word), _SAID.get(word, word)} & allowed
        if spelled:
            return (min(spelled),)
        own = {label for label in allowed if SYNONYMS.get(label) == SYNONYMS.get(word, word)}
        if own:
            return (min(own),)
        if word in KINDS:
            members = tuple(label for label in KINDS[word] if label in allowed)
            return members or None
    return None


def coarser(noun: str, known: Sequence[str]) -> str | None:
    """Return the label under which a finer noun would be seen (man: person), None where there is none."""
    for word in _forms(noun):
        if FINER.get(word) in known:
            return FINER[word]
    return None


def said(label: str, count: int = 1) -> str:
    """Return how a label is said, in the plural unless there is one."""
    if count == 1:
        return _SAID.get(label, label)
    if label in _PLURALS:
        return _PLURALS[label]
    word = _SAID.get(label, label)
    return word + ("es" if word.endswith(("s", "sh", "ch", "x")) else "s")


def _forms(noun: str) -> list[str]:
    """Return a noun as it stands and its likely singulars."""
    noun = " ".join(noun.lower().split())
    forms = [noun]
    if noun in _IRREGULAR:
        forms.append(_IRREGULAR[noun])
    if noun.endswith("ies"):
        forms.append(noun[:-3] + "y")
    if noun.endswith("es"):
        forms.append(noun[:-2])
    if noun.endswith("s"):
        forms.append(noun[:-1])
    return list(dict.fromkeys(forms))
