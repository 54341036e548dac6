"""Bring the schema to the head revision: ``python -m storage.migrate``."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from pydantic import ValidationError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from storage.database import driver_url, means_unavailable
from storage.errors import DatabaseUnavailable
from storage.settings import DatabaseSettings

#: key of the advisory lock that lets one migration run at a time ("fq" in ASCII, then 1)
_LOCK_KEY = 0x667101


def upgrade(database_url: str) -> None:
    """Apply what is missing, all or nothing; a second caller waits for the first, then finds nothing to do.

    Raises: DatabaseUnavailable when PostgreSQL does not answer.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    connect_args = {"application_name": "framequeue-migrate"}
    engine = create_engine(driver_url(database_url), poolclass=NullPool, connect_args=connect_args)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        if not means_unavailable(error):
            raise
        raise DatabaseUnavailable(str(error.orig).strip()) from error


def main() -> int:
    """Read ``FQ_DATABASE_URL`` and migrate; 2 for wrong settings, 1 when PostgreSQL does not answer."""
    try:
        settings = DatabaseSettings()  # type: ignore[call-arg]  # filled from the environment
        upgrade(settings.database_url.get_secret_value())
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            print(f"FQ_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}", file=sys.stderr)
        return 2
    except DatabaseUnavailable as error:
        print(f"PostgreSQL does not answer: {error}", file=sys.stderr)
        return 1
    print("the schema is at the head revision")
    return 0


if __name__ == "__main__":
    sys.exit(main())
