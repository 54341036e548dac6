"""Settings of retention, mixed into the dispatcher's."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.retention import Keep

DAY_SECONDS = 86400.0


class RetentionSettings(BaseSettings):
    """How long what is kept after a job has ended; 0 is for ever."""

    model_config = SettingsConfigDict(
        env_prefix="FQ_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    keep_inputs_days: float = Field(
        30.0, ge=0, description="Inputs of jobs that have ended, in days; 0: for ever. Later no replay is possible."
    )
    keep_results_days: float = Field(90.0, ge=0, description="Result rows, in days; 0: for ever.")
    keep_dead_days: float = Field(
        90.0, ge=0, description="Input and results of a dead job that nobody discarded, in days; 0: for ever."
    )
    keep_jobs_days: float = Field(
        365.0,
        ge=0,
        description="Jobs with their history and idempotency keys, in days, at least 1; 0: for ever."
        " Nothing of a job outlives it.",
    )

    @field_validator("keep_jobs_days")
    @classmethod
    def _a_day_at_least(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError("must be 0 or at least 1: clients rely on idempotency keys for a day")
        return value

    @property
    def keep(self) -> Keep:
        """The times in seconds."""
        return Keep(
            inputs=self.keep_inputs_days * DAY_SECONDS,
            results=self.keep_results_days * DAY_SECONDS,
            dead=self.keep_dead_days * DAY_SECONDS,
            jobs=self.keep_jobs_days * DAY_SECONDS,
        )
