"""Settings of ``python -m pipeline``; the library itself takes arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.pipelines.catalog import BUILT_IN


class PipelineSettings(BaseSettings):
    """What the command line reads from the environment."""

    model_config = SettingsConfigDict(env_prefix="FQ_", extra="ignore", env_ignore_empty=True)

    pipelines: str = Field(default=",".join(BUILT_IN), description="Pipelines served: names, or module:Class.")
    model_dir: Path | None = Field(default=None, description="Your own model packages: <name>/model.toml and weights.")
    model_mirror: str | None = Field(
        default=None, description="Folder or URL prefix with weights, asked before the cards' URLs."
    )
    model_cache: Path | None = Field(
        default=None, description="Where fetched weights are kept; ~/.cache/framequeue/models unless set."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:<n>.")
    precision: Literal["fp32", "fp16", "bf16"] = Field(
        default="fp32", description="Arithmetic of models that allow a choice."
    )
    default_stride: int | None = Field(
        default=None, ge=1, le=1_000_000,
        description="Every how many-th frame is looked at where a job does not say; unset: as each pipeline has it.",
    )  # fmt: skip
    default_width: int | None = Field(
        default=None, ge=16, le=4096,
        description="Pixels that frames are shrunk to where a job does not say; unset: as each pipeline has it.",
    )  # fmt: skip
    batch_size: int = Field(default=8, ge=1, le=1024, description="Frames in one model batch.")
    model_threads: int = Field(
        default=0, ge=0, le=256, description="Threads of one model call; 0: the cores of this process, at most 8."
    )

    @property
    def default_params(self) -> dict[str, int]:
        """Defaults of this installation, by their place in a pipeline's parameters."""
        named = {"sampler/stride": self.default_stride, "width": self.default_width}
        return {place: value for place, value in named.items() if value is not None}
