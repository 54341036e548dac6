"""``framequeue webhooks``: secrets, deliveries, endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import click

from framequeue.cli.connect import Connect
from framequeue.cli.render import print_json, print_rows

DELIVERY_COLUMNS = ("id", "state", "type", "attempts", "last", "url")
ENDPOINT_COLUMNS = ("id", "state", "url", "why")

_json_option = click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")


@click.group()
def webhooks() -> None:
    """Look at what was sent to your webhooks, and rotate the secret that signs it."""


@webhooks.command("secret")
@click.option("--overlap", type=click.IntRange(min=0), metavar="SECONDS", help="Earlier secrets sign so much longer.")
@click.option("--list", "lists", is_flag=True, help="Show which secrets there are; not the secrets themselves.")
@click.option("--delete", "doomed", metavar="ID", help="Sign with this one no more.")
@_json_option
@click.pass_obj
def secret(connect: Connect, *, overlap: int | None, lists: bool, doomed: str | None, as_json: bool) -> int:
    """Make a new secret and print it; it is shown this once."""
    with connect() as client:
        if lists:
            for known in client.webhooks.secrets():
                print_json(known)
        elif doomed:
            client.webhooks.delete_secret(doomed)
        else:
            made = client.webhooks.create_secret(overlap_seconds=overlap)
            if as_json:
                print_json(made)
            else:
                click.echo(made.get("secret"))
    return 0


@webhooks.command("deliveries")
@click.option("--state", type=click.Choice(["pending", "delivered", "failed", "disabled"]), help="Only those.")
@click.option("--job", "job_id", metavar="ID", help="Only of this job.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@_json_option
@click.pass_obj
def deliveries(connect: Connect, *, state: str | None, job_id: str | None, limit: int, as_json: bool) -> int:
    """List deliveries, newest first."""
    with connect() as client:
        found = client.webhooks.deliveries(state=state, job_id=job_id, page_size=min(limit, 100))
        _print(DELIVERY_COLUMNS, [_delivery_row(raw) for raw in _keep(islice(found, limit), as_json=as_json)])
    return 0


@webhooks.command("resend")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.pass_obj
def resend(connect: Connect, ids: Sequence[str]) -> int:
    """Send deliveries again, under their event ids."""
    with connect() as client:
        for event_id in ids:
            print_json(client.webhooks.resend(event_id))
    return 0


@webhooks.command("endpoints")
@click.option("--enable", "enabled", metavar="ID", help="Send to this disabled endpoint again.")
@_json_option
@click.pass_obj
def endpoints(connect: Connect, *, enabled: str | None, as_json: bool) -> int:
    """List the addresses that are told, and which are disabled and why."""
    with connect() as client:
        if enabled:
            client.webhooks.enable(enabled)
        found = _keep(client.webhooks.endpoints(), as_json=as_json)
    rows = [
        [str(raw.get("id")), "disabled" if raw.get("disabled_at") else "enabled", str(raw.get("url")),
         str(raw.get("disabled_why") or "")]
        for raw in found
    ]  # fmt: skip
    _print(ENDPOINT_COLUMNS, rows)
    return 0


def _delivery_row(raw: Mapping[str, Any]) -> list[str]:
    last = raw.get("last_status") or raw.get("last_error") or ""
    return [
        str(raw.get("id")), str(raw.get("state")), str(raw.get("type") or raw.get("kind") or ""),
        str(raw.get("attempts") if not isinstance(raw.get("attempts"), list) else len(raw["attempts"])), str(last),
        str(raw.get("url")),
    ]  # fmt: skip


def _keep(found: Any, *, as_json: bool) -> list[Mapping[str, Any]]:
    """Return what was found, or print it all and return nothing."""
    rows = list(found)
    if not as_json:
        return rows
    for raw in rows:
        print_json(raw)
    return []


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        print_rows(columns, rows)
