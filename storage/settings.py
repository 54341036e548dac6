"""Where PostgreSQL is: the part of every process's settings that this package needs."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.database import Database, driver_url


class DatabaseSettings(BaseSettings):
    """Fields that each process's settings class inherits; only entry points make one."""

    # A refused URL may hold a password: errors name the field, never its value.
    model_config = SettingsConfigDict(env_prefix="FQ_", extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr = Field(
        description="PostgreSQL, as postgresql://user:password@host:port/database; masked in logs."
    )
    database_pool_size: int = Field(default=5, ge=1, le=100, description="Connections each process may hold open.")
    database_statement_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="PostgreSQL ends a statement that runs longer."
    )

    @field_validator("database_url")
    @classmethod
    def _must_be_postgresql(cls, value: SecretStr) -> SecretStr:
        driver_url(value.get_secret_value())
        return value


def open_database(settings: DatabaseSettings, *, pool_size: int | None = None) -> Database:
    """The database of a process, as its settings say; make it after a fork."""
    return Database(
        settings.database_url.get_secret_value(),
        pool_size=pool_size or settings.database_pool_size,
        statement_timeout_seconds=settings.database_statement_timeout_seconds,
    )
