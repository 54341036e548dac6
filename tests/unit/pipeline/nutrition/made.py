"""Rows as ``observe`` makes them, and summaries of them."""

from __future__ import annotations

from pipeline.media import MediaInfo
from pipeline.pipelines.nutrition import Nutrition
from pipeline.spec import canonical_params

PLAIN = [100] * 48
OTHER = [160] * 48


def params(**given):
    return canonical_params(Nutrition.spec.params_schema, given)


def item(label, box=(10, 10, 40, 40), score=0.9, **more):
    area = more.pop("area", None)
    masked = area is not None
    return {
        "label": label, "score": score, "box": list(box), "masked": masked,
        "area": area if masked else box[2] * box[3], **more,
    }  # fmt: skip


def plate(side=100, named=True):
    return {"label": "plate", "score": 0.9, "box": [0, 0, side, side * 0.9], "named": named}


def row(place, *items, containers=(), unknown=(), look=PLAIN, step=0.2):
    return {
        "index": place, "pts": place, "pts_seconds": round(place * step, 6), "sampler": "stride:1",
        "items": list(items), "containers": list(containers), "unknown": list(unknown), "look": list(look),
    }  # fmt: skip


def media(seconds=10.0):
    return MediaInfo(
        kind="video", format="f", codec="c", width=640, height=480, rotation=0, duration_seconds=seconds,
        frame_rate=5.0, frames=50, size_bytes=1,
    )  # fmt: skip


def summary(rows, **given):
    return Nutrition().summarize(iter(rows), media(), params(**given))


def by_label(found):
    return {one["label"]: one for one in found["items"]}
