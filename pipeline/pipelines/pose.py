"""Pose: how a known object is turned and where it stands, from one picture and the camera's intrinsics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np

from pipeline.errors import ParamsError
from pipeline.frame import Frame
from pipeline.marks import Mark
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.modelled import Modelled
from pipeline.pipelines.schemas import ARTIFACTS, model_name, number, params_schema
from pipeline.pose.box import EDGES, Box
from pipeline.pose.camera import Camera
from pipeline.pose.estimator import ASSUMED_FOV_DEGREES
from pipeline.pose.finder import MIN_CONFIDENCE, Network, find_pose, object_of
from pipeline.pose.pose import Pose
from pipeline.spec import PipelineSpec

#: fields of a row that make the pose; null where no object was found
POSE_FIELDS = ("rotation_6d", "rotation_matrix", "translation", "distance", "corners", "axes")

SUMMARY_FIELDS = {
    "found": "Whether the object is seen: confidence is at least min_confidence. If not, its pose is unknown (null).",
    "confidence": "0 to 1: share of the network's places that agree with the pose, times how much of the picture's "
    "variation under the object its textures explain; 0 where nothing like it is seen.",
    "rotation_6d": "First column of the rotation matrix, then the second (Zhou et al. 2019).",
    "rotation_matrix": "R, three rows: a point X of the object stands at R X + translation before the camera "
    "(x right, y down, z away).",
    "translation": "Of the object's centre from the camera, metres along x, y, z; as good as the intrinsics.",
    "distance": "Metres from the camera to the object's centre.",
    "corners": "The object's eight corners in pixels of the source: x, y each, in the order of the signs of its axes, "
    "--- to +++, the last changing first.",
    "axes": "Where the object's centre and the ends of its half axes x, y, z are seen, in pixels of the source.",
    "camera": "Intrinsics used, in pixels of the source: fx, fy, cx, cy, and from: params, fov_degrees or assumed.",
}


class PoseOfObject(Modelled):
    """Find the object that the model was trained for in a picture, and tell its pose; stills only."""

    spec = PipelineSpec(
        name="pose",
        description="Rotation, translation and confidence of a known object in a picture, given the camera's "
        "intrinsics.",
        accepts=("image",),
        params_schema=params_schema(
            sampled=False,
            model=model_name(
                "pose-box", "Model that knows the object: pose-box, or one trained by pipeline.pose.train."
            ),
            fx=number(None, 1.0, 1e6, "Focal length across, in pixels of the source, upright; null: by fov_degrees."),
            fy=number(None, 1.0, 1e6, "Focal length down; null: as fx."),
            cx=number(None, -1e6, 1e6, "Principal point across, pixel centres at whole numbers; null: the middle."),
            cy=number(None, -1e6, 1e6, "Principal point down; null: the middle."),
            fov_degrees=number(
                None, 1.0, 170.0, "Field of view across the picture, where fx is null; null: 56.1 is assumed, and told."
            ),
            min_confidence=number(
                MIN_CONFIDENCE, 0.0, 1.0, "Under it the object counts as not found, and its pose as unknown."
            ),
            artifacts=ARTIFACTS,
        ),
        lane="cpu",
        summary_fields=SUMMARY_FIELDS,
        models={"model": ("tensors",)},
    )

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Raises: ParamsError for a model that does not fit, or intrinsics of which only some are given."""
        super().check(params, shelf)
        if params["fx"] is None and any(params[name] is not None for name in ("fy", "cx", "cy")):
            raise ParamsError("fy, cx and cy mean nothing without fx", advice="Give fx, or fov_degrees alone.")
        if params["fx"] is not None and params["fov_degrees"] is not None:
            raise ParamsError("fx and fov_degrees both tell the focal length", advice="Give one of them.")

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[Row]:
        """Return what is seen on each frame, in source pixels.

        Raises: DeviceOutOfMemory, ModelError, ModelUnavailable, ParamsError.
        """
        network = cast(Network, shelf.load(params["model"]))
        box = object_of(network)
        return [_seen(network, box, frame, params) for frame in frames]

    def observe(self, state: Any, frame: Frame, inferred: Row, params: Params) -> Row:
        """Return the frame's pose."""
        return inferred

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the pose on the picture; see ``spec.summary_fields``."""
        row = next(iter(rows))
        return {name: row[name] for name in SUMMARY_FIELDS}

    def marks(self, row: Row, params: Params) -> Sequence[Mark]:
        """Return the object's edges and its axes, nothing where it was not found."""
        if not row["found"]:
            return []
        corners = [(x, y) for x, y in row["corners"]]
        centre, *ends = [(x, y) for x, y in row["axes"]]
        edges = [Mark("line", (corners[one], corners[other]), group="object") for one, other in EDGES]
        axes = [Mark("line", (centre, end), name, name) for name, end in zip("xyz", ends, strict=True)]
        return [*edges, *axes]


def camera_of(params: Params, width: int, height: int) -> tuple[Camera, str]:
    """Return the intrinsics of a source of this size, and where they are from: params, fov_degrees or assumed."""
    middle = ((width - 1) / 2, (height - 1) / 2)
    if params["fx"] is not None:
        given = [params["fx"], params["fy"], params["cx"], params["cy"]]
        usual = [params["fx"], params["fx"], *middle]
        return Camera(*(float(b if a is None else a) for a, b in zip(given, usual, strict=True))), "params"
    if params["fov_degrees"] is not None:
        return Camera.from_fov(width, height, params["fov_degrees"]), "fov_degrees"
    return Camera.from_fov(width, height, ASSUMED_FOV_DEGREES), "assumed"


def _seen(network: Network, box: Box, frame: Frame, params: Params) -> Row:
    height, width = frame.image.shape[:2]
    camera, origin = camera_of(params, round(width / frame.scale), round(height / frame.scale))
    pose = find_pose(network, frame.image, camera.scaled(frame.scale))
    told = {name: round(getattr(camera, name), 3) for name in ("fx", "fy", "cx", "cy")}
    found = pose is not None and pose.confidence >= params["min_confidence"]
    return {
        "found": found,
        "confidence": 0.0 if pose is None else round(pose.confidence, 4),
        **(_told(pose, box, camera) if pose is not None and found else dict.fromkeys(POSE_FIELDS)),
        "camera": {**told, "from": origin},
    }


def _told(pose: Pose, box: Box, camera: Camera) -> Row:
    ends = np.concatenate([np.zeros((1, 3)), np.diag(box.half)])
    corners, axes = (camera.project(pose.apply(points)) for points in (box.vertices, ends))
    return {
        **{name: value for name, value in pose.as_json().items() if name != "confidence"},
        "distance": round(pose.distance, 5),
        "corners": np.round(corners, 2).tolist(),
        "axes": np.round(axes, 2).tolist(),
    }
