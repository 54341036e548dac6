"""What tests of the HTTP API share: the app on real PostgreSQL and a local store, callers, and work done by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipeline.spec import SPEC_VERSION, PipelineSpec
from storage.claims import Claims
from storage.fleet import Fleet
from storage.ids import new_id
from storage.job import Claim, Done, Outcome, Rows, SegmentPlan
from storage.objects.port import ObjectStore
from storage.sql_claims import SqlClaims
from web.app import create_app
from web.services import Services, build_services
from web.settings import WebSettings

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc330000"
    "000049454e44ae426082"
)
MP4 = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + b"\0\0\0\x08free" + bytes(2000)

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "width": {"type": "integer", "minimum": 16, "maximum": 4096, "default": 640},
        "sampler": {
            "type": "object",
            "additionalProperties": False,
            "default": {},
            "properties": {
                "policy": {"enum": ["stride", "fps", "keyframes"], "default": "stride"},
                "stride": {"type": "integer", "minimum": 1, "default": 5},
            },
        },
    },
}
MOTION = PipelineSpec(name="motion", description="What moves.", accepts=("image", "video"), params_schema=SCHEMA)
STEPS = PipelineSpec(
    name="steps",
    description="Steps of a walk.",
    accepts=("sensor",),
    params_schema={"type": "object", "additionalProperties": False, "properties": {}},
)


def settings_for(database_url: str, redis_url: str, folder: object, **changes: Any) -> WebSettings:
    """Settings of a web process for tests."""
    values: dict[str, Any] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "store": f"file://{folder}",
        "store_secret": "a secret of at least thirty-two bytes",
        "public_url": "http://localhost",
    }
    return WebSettings(**(values | changes))


@dataclass
class Api:
    """The app, and a caller with all scopes; ``as_caller`` gives another."""

    app: APIFlask
    services: Services
    secret: str
    tenant: str = "acme"
    opened: list[TestResponse] = field(default_factory=list)

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        """Call with this caller's key unless headers say otherwise."""
        headers = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        response = self.client.open(path, method=method, headers=headers | options.pop("headers", {}), **options)
        self.opened.append(response)
        return response

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.call("POST", path, **options)

    def submit(self, body: bytes = PNG, *, name: str = "a.png", **fields: Any) -> TestResponse:
        """Submit a file as a form; ``headers`` apart, fields become form fields."""
        headers = fields.pop("headers", {})
        form = {"pipeline": "motion", **fields, "file": (io.BytesIO(body), name)}
        return self.post("/v1/jobs", data=form, headers=headers)

    def submitted(self, body: bytes = PNG, **fields: Any) -> dict[str, Any]:
        """Submit a file and return the job document; fails unless it was accepted."""
        response = self.submit(body, **fields)
        assert response.status_code == 202, response.get_data(as_text=True)
        return dict(response.get_json())

    def as_caller(self, tenant: str = "other", scopes: Sequence[str] = ("submit", "read", "operate")) -> Api:
        """The same app with another caller."""
        _, secret = self.services.keys.issue(tenant=tenant, name="test", scopes=scopes)
        return replace(self, secret=secret, tenant=tenant)

    def worker(self) -> HandWorker:
        """A registered worker whose work is done by the test."""
        worker_id = f"worker-{new_id()}"
        Fleet(self.services.database).register(
            worker_id, host="test", pid=1, lanes=["cpu"], size_classes=["short", "long"],
            pipelines=["motion", "steps"], device={"kind": "cpu"},
        )  # fmt: skip
        return HandWorker(worker_id, SqlClaims(self.services.database), self.services.objects)


@dataclass
class HandWorker:
    """Claims and finishes as a worker would, with rows that the test chose."""

    id: str
    claims: Claims
    objects: ObjectStore

    def take(self, limit: int = 1) -> Claim:
        """Claim; fails when there is nothing."""
        serves = [("motion", SPEC_VERSION), ("steps", SPEC_VERSION)]
        claim = self.claims.claim(self.id, lanes=["cpu"], size_classes=["short", "long"], serves=serves, limit=limit)
        assert claim is not None, "nothing to claim"
        return claim

    def finish(self, claim: Claim, outcome: Outcome) -> None:
        """Write an outcome; fails when it is refused."""
        assert all(self.claims.finish(claim, [outcome]).values())

    def run(self, rows: Sequence[dict[str, Any]] = (), *, summary: dict[str, Any] | None = None) -> str:
        """Run the next job as one segment to its end; return its id."""
        claim = self.take()
        plan = [SegmentPlan(frames=len(rows))]
        segment = self.claims.plan(claim, claim.segments[0].id, plan, media={"width": 64, "height": 48})
        assert segment is not None
        self.finish(claim, Done(segment.id, rows=packed(rows), summary=summary or {"frames": len(rows)}))
        return segment.job_id

    def cut(self, count: int) -> str:
        """Plan the next job as several segments; return its id."""
        claim = self.take()
        plans = [SegmentPlan(start_pts=place * 10, end_pts=place * 10 + 10, frames=2) for place in range(count)]
        assert self.claims.plan(claim, claim.segments[0].id, plans, media={}) is None
        return claim.segments[0].job_id

    def stored(self, claim: Claim, rows: Sequence[dict[str, Any]]) -> Rows:
        """Put rows into the store, as a worker does with many."""
        kept = packed(rows)
        assert kept.inline is not None
        key = f"results/{claim.segments[0].job_id}/1/{claim.segments[0].id}/{claim.id}.jsonl.gz"
        self.objects.put(key, kept.inline)
        return replace(kept, inline=None, key=key)


def packed(rows: Sequence[dict[str, Any]]) -> Rows:
    """Rows as they lie in a segment's row."""
    data = gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows), mtime=0)
    return Rows(count=len(rows), size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), inline=data)


def frame_rows(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Rows of a detector: one object in each frame."""
    return [
        {
            "index": place * 5, "pts": place * 500, "pts_seconds": place / 2, "sampler": "stride:5", "activity": 0.25,
            "objects": [{"label": "cup", "score": 0.9, "box": [1, 2, 30, 40]}],
        }
        for place in range(first, first + count)
    ]  # fmt: skip


@contextmanager
def served_app(settings: WebSettings) -> Iterator[Api]:
    """The app with two registered pipelines and a caller of tenant acme."""
    services = build_services(settings)
    try:
        for spec in (MOTION, STEPS):
            services.registry.register_pipeline(
                spec.name, spec_version=spec.spec_version, lane=spec.lane, spec=spec.as_json()
            )
        _, secret = services.keys.issue(tenant="acme", name="test", scopes=["submit", "read", "operate"])
        api = Api(create_app(settings, services), services, secret)
        yield api
        for response in api.opened:
            response.close()
    finally:
        services.close()
