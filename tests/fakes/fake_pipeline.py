"""A pipeline whose faults are scripted: it reads the level of grey pictures and remembers what it saw."""

from __future__ import annotations

from typing import Any

from pipeline.spec import PipelineSpec


class FakePipeline:
    """Rows tell the picture's level and those before it; ``on_infer(levels)`` may raise."""

    def __init__(
        self,
        *,
        lead_in_seconds=0.0,
        lead_in_frames=0,
        cost=0.1,
        on_infer=None,
        on_observe=None,
        accepts=("image", "video"),
    ):
        self.spec = PipelineSpec(
            name="fake",
            description="",
            accepts=accepts,
            params_schema={
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "sampler": {"type": "object", "default": {"policy": "stride", "stride": 1}},
                    "shift": {"type": "integer", "default": 0},
                },
            },
        )
        self.lead_in_seconds = lead_in_seconds
        self.lead_in_frames = lead_in_frames
        self.cost = cost
        self.batches: list[list[int]] = []
        self.on_infer = on_infer
        self.on_observe = on_observe

    def check(self, params, shelf):
        pass

    def cost_seconds(self, params, shelf):
        return self.cost

    def start(self, media, params):
        return []

    def infer(self, frames, params, shelf) -> list[Any]:
        levels = [int(frame.image[0, 0, 0]) for frame in frames]
        self.batches.append(levels)
        if self.on_infer is not None:
            changed = self.on_infer(levels)
            if changed is not None:
                return changed
        return [level + params["shift"] for level in levels]

    def observe(self, state, frame, inferred, params):
        if self.on_observe is not None:
            self.on_observe(inferred)
        before = list(state)
        state.append(inferred)
        return {"level": inferred, "before": before}

    def summarize(self, rows, media, params):
        return {"frames": sum(1 for _ in rows)}

    def models_used(self, params, shelf):
        return []
