"""Settings of ``python -m pipeline``; the library itself takes arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pipeline.default_settings import DefaultSettings
from pipeline.device import DECODE_DEVICE
from pipeline.models.shelf import FolderShelf, open_shelf
from pipeline.pipelines.catalog import BUILT_IN


class PipelineSettings(DefaultSettings):
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
    decode_device: str = Field(
        default="cpu", pattern=DECODE_DEVICE,
        description="cpu, or cuda or cuda:<n>: a GPU that decodes where a trial finds it exact and cheaper.",
    )  # fmt: skip
    precision: Literal["fp32", "fp16", "bf16"] = Field(
        default="fp32", description="Arithmetic of models that allow a choice."
    )
    batch_size: int = Field(default=8, ge=1, le=1024, description="Frames in one model batch.")
    model_threads: int = Field(
        default=0, ge=0, le=256, description="Threads of one model call; 0: the cores of this process, at most 8."
    )

    def open_shelf(self, *, mirror: str | None = None) -> FolderShelf:
        """Return the shelf of built-in and own packages; loads nothing. mirror: in place of ``model_mirror``."""
        return open_shelf(
            model_dir=self.model_dir,
            cache_dir=self.model_cache,
            mirror=mirror or self.model_mirror,
            device=self.device,
            threads=self.model_threads,
            precision=self.precision,
        )
