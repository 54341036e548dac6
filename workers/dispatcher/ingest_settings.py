"""Settings of the ingest duty, mixed into the dispatcher's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workers.addresses import Network
from workers.remote_request import FetchRules

Words = Annotated[tuple[str, ...], NoDecode]
Port = Annotated[int, Field(ge=1, le=65535)]
Ports = Annotated[tuple[Port, ...], NoDecode]
Networks = Annotated[tuple[Network, ...], NoDecode]


class IngestSettings(BaseSettings):
    """Where inputs may be copied from, and how patiently."""

    model_config = SettingsConfigDict(
        env_prefix="FQ_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    ingest_max_bytes: int = Field(16 * 1024**3, gt=0, description="Largest remote input that is copied in, in bytes.")
    ingest_concurrency: int = Field(4, ge=1, le=64, description="Remote inputs copied at once by one dispatcher.")
    ingest_patience_seconds: float = Field(
        3600.0, gt=0, description="How long a source that does not answer is tried again before its job fails."
    )
    ingest_total_seconds: float = Field(6 * 3600.0, gt=0, description="Longest one copy of a remote input may take.")
    ingest_ports: Ports = Field((80, 443), description="Ports that http(s) inputs are fetched from.")
    ingest_private_hosts: Words = Field(
        (), description="Hosts inside your network that inputs may be fetched from, as `host` or `host:port`."
    )
    ingest_denied_networks: Networks = Field(
        (), description="Public networks closed to fetching and webhooks all the same, such as `203.0.113.0/24`."
    )
    ingest_buckets: Words = Field(
        (), description="Buckets that `s3://` inputs may come from: `[tenant=]bucket[/prefix]`; none unless listed."
    )

    @field_validator("ingest_ports", "ingest_private_hosts", "ingest_denied_networks", "ingest_buckets", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        # .env.example shows an empty list as []
        return tuple(word.strip() for word in value.removeprefix("[]").split(",") if word.strip())

    @property
    def fetch_rules(self) -> FetchRules:
        """What the URL fetcher keeps to."""
        return FetchRules(
            max_bytes=self.ingest_max_bytes,
            ports=frozenset(self.ingest_ports),
            private_hosts=frozenset(host.lower() for host in self.ingest_private_hosts),
            denied_networks=self.ingest_denied_networks,
            total_seconds=self.ingest_total_seconds,
        )
