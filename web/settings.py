"""Settings of the HTTP front end, read once at start; every fault is told at once."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from pipeline.default_settings import DefaultSettings
from storage.objects.settings import ObjectStoreSettings
from storage.settings import DatabaseSettings


class WebSettings(DatabaseSettings, ObjectStoreSettings, DefaultSettings):
    """Environment variables ``FQ_*`` of the web process."""

    model_config = SettingsConfigDict(env_prefix="FQ_", frozen=True, extra="ignore", hide_input_in_errors=True)

    redis_url: SecretStr = Field(description="Redis: doorbells and hints; losing it loses nothing.")
    max_upload_bytes: int = Field(default=16 * 1024**3, ge=1, description="Largest input that is taken, in bytes.")
    max_model_bytes: int = Field(
        default=4 * 1024**3, ge=1, description="Largest weights of a model that are taken over HTTP, in bytes."
    )
    upload_part_bytes: int = Field(
        default=16 * 1024**2,
        ge=5 * 1024**2,
        description="Part size of resumable uploads; it grows where 10,000 parts would be too few.",
    )
    upload_url_seconds: int = Field(
        default=3600, ge=60, le=604_800, description="How long the signed URL of an upload part is good."
    )
    batch_items_max: int = Field(
        default=200_000, ge=1, le=5_000_000, description="Most items of a batch, those of its prefixes counted."
    )
    manifest_max_bytes: int = Field(
        default=1024**3, ge=1, description="Largest manifest of a batch that one request may bring, in bytes."
    )
    max_wait_seconds: float = Field(
        default=60.0, ge=0, le=300, description="Longest `?wait=` and `Prefer: wait=` that is honoured."
    )
    recheck_seconds: float = Field(
        default=3.0,
        ge=0.1,
        description="How often a waiting client's row is looked at anyway, in case a hint was lost.",
    )
    max_events_seconds: float = Field(
        default=600.0, ge=1, description="Longest life of one event stream; clients connect again by themselves."
    )
    web_bind: str = Field(default="127.0.0.1:8000", description="Address and port that gunicorn listens on.")
    web_workers: int = Field(default=2, ge=1, description="Web processes.")
    web_threads: int = Field(
        default=16, ge=2, description="Threads per web process; at most half of them wait for jobs."
    )
    web_graceful_seconds: int = Field(default=20, ge=1, description="How long requests may go on after SIGTERM.")
    proxy_hops: int = Field(
        default=0,
        ge=0,
        le=5,
        description="Proxies in front whose X-Forwarded-* headers are trusted: their exact number.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description='Origins whose pages may call the API, as a JSON list such as ["https://example.org"].'
    )
    metrics_public: bool = Field(
        default=False, description="Serve /metrics without a key; only where a proxy keeps it off the internet."
    )
    log_format: Literal["json", "console"] = Field(default="json", description="Shape of log lines.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged."
    )

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError("must be an absolute http(s) URL")
        return value.rstrip("/")

    @field_validator("cors_origins")
    @classmethod
    def _no_wildcard(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("*" in origin or urlsplit(origin).scheme not in {"http", "https"} for origin in value):
            raise ValueError("each must be one origin such as https://example.org; no wildcards")
        return value
