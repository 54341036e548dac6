"""Model cards: what is known of a model without loading it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.errors import ModelError
from pipeline.models.card_faults import cross_faults

CARD_FILE = "model.toml"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Triple = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]


class CardError(ModelError):
    """A card that does not fit; the message names every fault."""

    code = "model.card_invalid"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        texts = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else [value]
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise ValueError("must not hold the character NUL")  # PostgreSQL keeps none
        return value


class Weights(_Part):
    """The weights file: beside the card, or fetched from ``url`` and known by its digest."""

    file: FileName
    url: Annotated[str, Field(pattern=r"^https://")] | None = None
    sha256: Digest | None = None
    bytes: Annotated[int, Field(ge=1)] | None = None


class Input(_Part):
    """What the model is fed: value = (pixel x scale - mean) / std, per channel in the order of ``colour``."""

    width: Annotated[int, Field(ge=1, le=8192)]
    height: Annotated[int, Field(ge=1, le=8192)]
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colour: Literal["RGB", "BGR", "GREY"] = "RGB"
    scale: Annotated[float, Field(gt=0)] = 1 / 255
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    #: stretch: to the size; letterbox: keep aspect, pad right and below; letterbox_centre: pad all round;
    #: crop: keep aspect, fill, cut the middle
    resize: Literal["stretch", "letterbox", "letterbox_centre", "crop"] = "stretch"
    pad: Annotated[int, Field(ge=0, le=255)] = 114

    @field_validator("std")
    @classmethod
    def _no_zero(cls, std: Triple) -> Triple:
        if 0 in std:
            raise ValueError("must not be 0")
        return std


class PriorMap(_Part):
    """The prior boxes of one feature map of an SSD: ``sizes`` (width, height in input pixels) around each cell."""

    stride: Annotated[int, Field(ge=1, le=8192)]
    sizes: Annotated[tuple[tuple[Positive, Positive], ...], Field(min_length=1, max_length=64)]


class Output(_Part):
    """How findings are read from the model's outputs.

    Which decoder takes which of the options below the line is in ``card_faults.OPTIONS``.
    """

    decoder: str
    labels: tuple[str, ...] = ()
    labels_file: FileName | None = None
    #: findings under this score are never reported, whatever a job asks for
    score_floor: Annotated[float, Field(ge=0, le=1)] = 0.05
    #: the score a job gets that asks for none
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.5
    #: None: 0.45, or 1 (no suppression) where the export suppresses by itself
    nms_iou: Annotated[float, Field(gt=0, le=1)] | None = None
    #: suppress boxes of different classes by each other too: for models that name one thing twice
    nms_across_classes: bool = False
    max_findings: Annotated[int, Field(ge=1, le=1000)] = 300
    #: outputs by the decoder's name for them, where the model calls them otherwise: {boxes = "loc", scores = "conf"}
    names: dict[str, str] = {}
    #: the class that means "nothing here", left out of ``labels``
    background: Annotated[int, Field(ge=0)] | None = None
    #: false for exports of one picture whose outputs have no batch axis (torchvision's detectors)
    batched: bool = True
    # -- options of some decoders
    #: how raw values become scores; None: as the decoder usually does
    activation: Literal["none", "sigmoid", "softmax", "classes"] | None = None
    box_format: Literal["xyxy", "xywh", "cxcywh", "yxyx"] | None = None
    #: parts: of the input's width and height
    box_units: Literal["pixels", "parts", "strides"] | None = None
    strides: Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(max_length=16)] = ()
    #: where in a cell its point lies, in cells: 0.5 is the middle
    cell_offset: Annotated[float, Field(ge=0, le=1)] = 0.5
    priors: Annotated[tuple[PriorMap, ...], Field(max_length=32)] = ()
    #: factors of an SSD's offsets: of the centre, of the size
    variances: tuple[Positive, Positive] = (0.1, 0.2)
    #: what an instance's mask covers: the whole picture, or its box
    masks: Literal["picture", "box"] = "picture"
    mask_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    #: semantic: one finding per connected piece, not one per label
    split_parts: bool = False


class Check(_Part):
    """What the self-check must find: on a picture beside the card, a label with at least this score."""

    picture: FileName
    label: str
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.5


class ModelCard(_Part):
    """One ``model.toml``. ``cost_seconds`` is the declared cost of one picture on the lane's usual machine."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")] = "1"
    #: tensors: the pipeline that uses it prepares the input and reads the outputs by itself
    task: Literal["detect", "classify", "segment", "text", "tensors"]
    runtime: Literal["onnx", "torchscript", "export", "python", "transformers"]
    #: python: what makes the network of the weights, ``package.module:function``, or ``file.py:function`` of a file
    #: beside the card; called with (weights file, device, threads), returns a Forward
    entry: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    lane: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,31}$")] = "cpu"
    licence: str = "unstated"
    source: str = ""
    description: str = ""
    #: fp16, bf16: what a torch network computes in on a GPU; of an ONNX file it tells what is in the file, as int8 does
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32"
    #: pictures in one call; 1 for exports with a fixed batch, which are then called once per picture
    max_batch: Annotated[int, Field(ge=1, le=1024)] = 1
    cost_seconds: Annotated[float, Field(gt=0, le=3600)] = 0.05
    weights: Weights
    input: Input
    output: Output
    check: Check | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return self.model_dump(mode="json")


def load_card(folder: Path) -> ModelCard:
    """Read ``folder``/model.toml, with the labels of its labels file.

    Raises: CardError naming all faults at once.
    """
    path = folder / CARD_FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise CardError(f"{path}: {error}") from error
    if data.get("task") == "text":
        data.setdefault("input", {"width": 384, "height": 384})  # of the warm-up only: its own processor prepares
    faults = _take_labels(folder, data) + cross_faults(data)
    try:
        card = ModelCard.model_validate(data)
    except ValidationError as error:
        faults += [_fault(item) for item in error.errors()]
    if faults:
        raise CardError(f"{path}: " + "; ".join(faults), advice="See docs/howto/add-a-model.md.")
    return card


def _take_labels(folder: Path, data: dict[str, Any]) -> list[str]:
    """Put the lines of the labels file into ``data``; return faults."""
    output = data.get("output")
    if not isinstance(output, dict) or not isinstance(output.get("labels_file"), str):
        return []
    if output.get("labels"):
        return ["output: give labels or labels_file, not both"]
    name = output["labels_file"]
    if "/" in name or name.startswith("."):
        return [f"output.labels_file: {name!r} is not a plain file name"]
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        output["labels"] = ["?"]  # so that its absence is not told twice
        return [f"output.labels_file: {error}"]
    output["labels"] = [line.strip() for line in text.splitlines() if line.strip()]
    return []


def _fault(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    text = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {text}" if where else text
