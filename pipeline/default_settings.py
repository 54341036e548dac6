"""Defaults of an installation where a job does not say, for whoever fills in parameters: web and the command line."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class DefaultSettings(BaseSettings):
    """What goes over every pipeline's own defaults."""

    default_stride: int | None = Field(
        default=None, ge=1, le=1_000_000,
        description="Every how many-th frame is looked at where a job does not say; unset: as each pipeline has it.",
    )  # fmt: skip
    default_width: int | None = Field(
        default=None, ge=16, le=4096,
        description="Pixels that frames are shrunk to where a job does not say; unset: as each pipeline has it.",
    )  # fmt: skip

    @property
    def default_params(self) -> dict[str, int]:
        """Those that are set, by their place in a pipeline's parameters; see ``spec.with_defaults``."""
        named = {"sampler/stride": self.default_stride, "width": self.default_width}
        return {place: value for place, value in named.items() if value is not None}
