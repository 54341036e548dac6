"""API keys from the shell: ``python -m web.keys issue|list|revoke``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from pydantic import ValidationError

from storage.access import SCOPES, KeyStore
from storage.database import Database
from storage.errors import StorageUnavailable
from storage.settings import DatabaseSettings


@click.group()
def main() -> None:
    """Issue, list and revoke API keys in the database of FQ_DATABASE_URL."""


@contextmanager
def key_store() -> Iterator[KeyStore]:
    """The keys of the database that the environment names. Raises: ClickException when it names none."""
    try:
        settings = DatabaseSettings()  # type: ignore[call-arg]  # the environment gives them
    except ValidationError as error:
        raise click.ClickException(f"set FQ_DATABASE_URL: {error.errors()[0]['msg']}") from None
    database = Database(settings.database_url.get_secret_value(), pool_size=1)
    try:
        yield KeyStore(database)
    except StorageUnavailable as error:
        raise click.ClickException(f"the database does not answer: {error}") from None
    finally:
        database.close()


@main.command()
@click.option("--tenant", default="default", show_default=True, help="Whose jobs the key sees.")
@click.option("--name", required=True, help="What the key is for, to tell it from others.")
@click.option(
    "--scopes", default="submit,read", show_default=True, help=f"Comma-separated: {', '.join(SCOPES)}; admin is all."
)
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Days until it stops working; never without.")
def issue(tenant: str, name: str, scopes: str, expires_days: int | None) -> None:
    """Make a key and print it: it is shown this once."""
    chosen = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    if not chosen or not set(chosen) <= set(SCOPES):
        raise click.BadParameter(f"scopes are {', '.join(SCOPES)}", param_hint="--scopes")
    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    with key_store() as keys:
        key, secret = keys.issue(tenant=tenant, name=name, scopes=chosen, expires_at=expires_at)
    click.echo(f"key {key.id} for tenant {tenant}, scopes {', '.join(sorted(key.scopes))}", err=True)
    click.echo(secret)


@main.command("list")
@click.option("--tenant", help="Only this tenant's.")
def list_keys(tenant: str | None) -> None:
    """List keys, newest first; never the keys themselves."""
    with key_store() as keys:
        found = keys.list(tenant)
    for key in found:
        state = "revoked" if key.revoked_at else "expired" if _expired(key.expires_at) else "valid"
        ends = f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "without end"
        click.echo(
            f"{key.id}  {state:8}{key.tenant:16} ...{key.last4}  {','.join(sorted(key.scopes)):20} {ends}  {key.name}"
        )


@main.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Make a key useless at once."""
    with key_store() as keys:
        if not keys.revoke(key_id):
            raise click.ClickException("no such valid key")
    click.echo(f"revoked {key_id}", err=True)


def _expired(expires_at: datetime | None) -> bool:
    return expires_at is not None and expires_at <= datetime.now(UTC)


if __name__ == "__main__":
    main(prog_name="python -m web.keys")
