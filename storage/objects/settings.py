"""Settings of the object store, mixed into the settings class of each process that uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.objects.s3_access import S3Access
from storage.objects.signing import SECRET_MIN_BYTES


class ObjectStoreSettings(BaseSettings):
    """Where objects lie and how clients reach them."""

    model_config = SettingsConfigDict(
        env_prefix="FQ_", extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    store: str = Field(description="Object store: `s3://bucket`, or `file:///absolute/path` for a local folder.")
    store_secret: SecretStr | None = Field(
        default=None,
        description=f"HMAC key of the local store's signed URLs, at least {SECRET_MIN_BYTES} bytes; not used with S3.",
    )
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        description="Base of the API as clients reach it; signed URLs of the local store are built on it.",
    )
    s3_endpoint_url: str | None = Field(default=None, description="S3 server as we reach it; empty for AWS.")
    s3_public_endpoint_url: str | None = Field(
        default=None, description="The same S3 server as clients reach it, for presigned URLs; empty: the same."
    )
    s3_access_key: str | None = Field(default=None, description="S3 access key; empty: boto3's own ways to find one.")
    s3_secret_key: SecretStr | None = Field(default=None, description="S3 secret key.")
    s3_region: str = Field(default="us-east-1", description="S3 region; most servers that are not AWS take any.")

    @model_validator(mode="after")
    def _check_store(self) -> Self:
        place = urlsplit(self.store)
        if place.scheme == "s3":
            if not place.netloc or place.path.strip("/"):
                raise ValueError("FQ_STORE must be s3://bucket, without a path")
            if bool(self.s3_access_key) != bool(self.s3_secret_key):
                raise ValueError("FQ_S3_ACCESS_KEY and FQ_S3_SECRET_KEY go together")
        elif place.scheme == "file":
            if place.netloc or not place.path.startswith("/"):
                raise ValueError("FQ_STORE must be file:///absolute/path")
            if self.store_secret is None or len(self.store_secret.get_secret_value().encode()) < SECRET_MIN_BYTES:
                raise ValueError(f"FQ_STORE_SECRET must have at least {SECRET_MIN_BYTES} bytes for a local store")
        else:
            raise ValueError("FQ_STORE must start with s3:// or file://")
        return self

    @property
    def store_folder(self) -> Path:
        """Root of the local store; means nothing with S3."""
        return Path(unquote(urlsplit(self.store).path))

    @property
    def store_bucket(self) -> str | None:
        """Bucket of the S3 store, None with a local one."""
        place = urlsplit(self.store)
        return place.netloc if place.scheme == "s3" else None

    @property
    def s3_access(self) -> S3Access:
        """Where the S3 server is and how to enter."""
        return S3Access(
            endpoint_url=self.s3_endpoint_url or None,
            public_endpoint_url=self.s3_public_endpoint_url or None,
            access_key=self.s3_access_key or None,
            secret_key=self.s3_secret_key.get_secret_value() if self.s3_secret_key else None,
            region=self.s3_region,
        )
