"""Settings of the webhook duty, mixed into the dispatcher's."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.dispatcher.ingest_settings import Ports, Words


class WebhookSettings(BaseSettings):
    """Where webhooks may be sent, and how patiently."""

    model_config = SettingsConfigDict(
        env_prefix="FQ_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    webhook_concurrency: int = Field(
        32, ge=1, le=256, description="Webhooks sent at once by one dispatcher; a receiver gets a quarter of them."
    )
    webhook_timeout_seconds: float = Field(15.0, gt=0, le=30, description="Longest one attempt to send a webhook.")
    webhook_retry_scale: float = Field(
        1.0, gt=0, le=10, description="Factor of every delay between attempts, and of the 72 h; small for trials."
    )
    webhook_keep_days: float = Field(30.0, gt=0, description="How long settled webhook deliveries are listed.")
    webhook_ports: Ports = Field((80, 443), description="Ports that webhooks are sent to.")
    webhook_private_hosts: Words = Field(
        (), description="Hosts inside your network that webhooks may be sent to, as `host` or `host:port`."
    )

    @field_validator("webhook_ports", "webhook_private_hosts", mode="before")
    @classmethod
    def _split_words(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        # .env.example shows an empty list as []
        return tuple(word.strip() for word in value.removeprefix("[]").split(",") if word.strip())
