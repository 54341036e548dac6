"""Deepfake: which faces look manipulated, over time; any face detector and any classifier of the shelf."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.deepfake.crops import MESONET_CROP, Crop, crop_face, is_crop, weigh, whole
from pipeline.deepfake.summary import SUMMARY_FIELDS, label_of, summarize_faces
from pipeline.errors import ModelError, ParamsError
from pipeline.frame import Frame
from pipeline.marks import Mark, Moment, box_mark
from pipeline.media import MediaInfo
from pipeline.models.base import Model, ModelShelf
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.modelled import Modelled, findings_of
from pipeline.pipelines.schemas import ARTIFACTS, WIDTH, integer, model_name, number, params_schema
from pipeline.spec import PipelineSpec

PARAMS_SCHEMA = params_schema(
    width=WIDTH | {"default": 1280},
    artifacts=ARTIFACTS,
    detector=model_name("yunet", "Face detector; null: every picture is the crop of one face already.", nullable=True),
    classifier=model_name(
        "mesonet", "Classifier of face crops: mesonet, or one of your own that has the label fake_label."
    ),
    fake_label={
        "type": "string",
        "default": "fake",
        "maxLength": 200,
        "description": "The classifier's label whose score is P(fake).",
    },
    face_label={
        "type": "string",
        "default": "face",
        "maxLength": 200,
        "description": "The detector's label for a face.",
    },
    min_score=number(None, 0.0, 1.0, "Faces under this score of the detector are left out; null: as its card says."),
    max_faces=integer(20, 1, 200, "At most this many faces per frame, largest first."),
    crop=number(
        MESONET_CROP, 1.5, 6.0, "Side of a face's crop, in units of the larger of eye to eye and eyes to mouth."
    ),
    whole_below=number(
        1.7, 0.0, 4.0,
        "A nearly square picture, of longer side at most so many times that of its only face, is a face crop already "
        "and judged whole; 0: never.",
    ),
    fake_above=number(0.6, 0.0, 1.0, "Label fake: P(fake) at least this."),
    real_below=number(0.4, 0.0, 1.0, "Label real: P(fake) at most this; uncertain in between."),
    min_quality=number(
        0.1, 0.0, 1.0,
        "A face of less quality is uncertain: share of the detail the classifier takes that its picture holds, times "
        "sharpness up to 20.",
    ),
    track_gap_seconds=number(1.0, 0.1, 60.0, "A face not found for longer is followed as another one."),
    track_iou=number(0.3, 0.05, 1.0, "Least overlap (intersection over union) with where a face was before."),
)  # fmt: skip


class Deepfake(Modelled):
    """Find faces, cut and align them, and let a classifier judge each; frames are independent, so no lead-in."""

    spec = PipelineSpec(
        name="deepfake",
        description="Faces that look manipulated: P(fake) of each face, followed over time, with a curve.",
        accepts=("image", "video"),
        params_schema=PARAMS_SCHEMA,
        lane="cpu",
        summary_fields=SUMMARY_FIELDS,
        models={"detector": ("detect",), "classifier": ("classify",)},
    )

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Raises: ParamsError as ``Modelled``, and for labels that the models do not have or thresholds that cross."""
        super().check(params, shelf)
        for name, label in (("detector", "face_label"), ("classifier", "fake_label")):
            card = shelf.card(params[name]) if params[name] is not None else None
            if card is not None and params[label] not in card.output.labels:
                raise ParamsError(
                    f"{card.name} has no label {params[label]!r} ({label}).",
                    advice=f"Its labels: {', '.join(card.output.labels[:20])}.",
                )
        if params["real_below"] > params["fake_above"]:
            raise ParamsError("real_below must not be above fake_above.", advice="The defaults are 0.4 and 0.6.")

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[list[dict[str, Any]]]:
        """Return the faces of each frame, largest first; all faces of the batch go to the classifier together.

        Boxes and keypoints are in pixels of the frame. Raises: DeviceOutOfMemory, ModelError, ModelUnavailable.
        """
        found = _faces(frames, params, shelf)
        if not any(found):  # the classifier, and torch with it, is loaded for the first face
            return found
        classifier = shelf.load(params["classifier"])
        crops = [
            _crop(frame, faces, place, params, classifier)
            for frame, faces in zip(frames, found, strict=True)
            for place in range(len(faces))
        ]
        judged = iter(zip(crops, classifier.predict([crop.image for crop in crops]), strict=True))
        return [[{**face, **_judgement(*next(judged), params)} for face in faces] for faces in found]

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Return the frame's faces in source pixels, each with the label of its own score."""
        labels = [label_of(face["score"], face["weight"], params) for face in inferred]
        faces = [_in_source(face, frame.scale) for face in inferred]
        return {"faces": [{"label": label, **face} for label, face in zip(labels, faces, strict=True)]}

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the job's summary; see ``spec.summary_fields``."""
        return summarize_faces(rows, media, params)

    def marks(self, row: Row, params: Params) -> Sequence[Mark]:
        """Return each face's box and landmarks, coloured by its label on this frame."""
        drawn = []
        for face in row["faces"]:
            drawn.append(box_mark(face["box"], f"{face['label']}, P(fake) {face['score']:.2f}", face["label"]))
            if "keypoints" in face:
                drawn.append(Mark("points", tuple((x, y) for x, y in face["keypoints"]), group=face["label"]))
        return drawn

    def moments(self, summary: Mapping[str, Any], params: Params) -> Sequence[Moment]:
        """Return the worst moments, each cut out around its face."""
        return [
            Moment(one["index"], f"P(fake) {one['score']:.2f} at {one['seconds']:.2f} s", tuple(one["box"]))
            for one in summary["worst"]
        ]


def _faces(frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> list[list[dict[str, Any]]]:
    """Return the detector's faces of each frame, largest first; without a detector the whole picture is one."""
    if params["detector"] is None:
        shapes = [frame.image.shape for frame in frames]
        return [[{"box": [0.0, 0.0, float(width), float(height)]}] for height, width, _ in shapes]
    told = []
    for findings in findings_of(shelf, params["detector"], frames, params["min_score"]):
        faces = [one for one in findings if one["label"] == params["face_label"]]
        faces.sort(key=lambda one: -one["box"][2] * one["box"][3])  # stable: equal ones stay best first
        told.append([_face(one) for one in faces[: params["max_faces"]]])
    return told


def _face(finding: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: finding[name] for name in ("box", "keypoints") if name in finding}
    return {**kept, "confidence": finding["score"]}


def _crop(frame: Frame, faces: Sequence[Mapping[str, Any]], place: int, params: Params, classifier: Model) -> Crop:
    """Return what the classifier sees of one face."""
    side = max(classifier.card.input.width, classifier.card.input.height)
    if params["detector"] is None or is_crop(frame.image, faces, params["whole_below"]):
        return whole(frame.image, side)
    return crop_face(frame.image, faces[place], side, params["crop"])


def _judgement(crop: Crop, labels: Sequence[Mapping[str, Any]], params: Params) -> dict[str, Any]:
    score = next((one["score"] for one in labels if one["label"] == params["fake_label"]), None)
    if score is None:
        raise ModelError(f"the classifier told no score for {params['fake_label']!r}")
    sharpness = crop.sharpness
    return {
        "score": score,
        "weight": round(weigh(crop, sharpness), 4),
        "sharpness": round(sharpness, 1),
        "crop_pixels": round(crop.pixels, 1),
    }


def _in_source(face: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a face with box and landmarks taken from frame to source pixels; ``crop_pixels`` stay the frame's."""
    moved = {**face, "box": [round(value / scale, 1) for value in face["box"]]}
    if "keypoints" in face:
        moved["keypoints"] = [[round(value / scale, 1) for value in point] for point in face["keypoints"]]
    return moved
