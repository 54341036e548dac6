"""Commands about the installation: ping and pipelines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from framequeue.cli.connect import Connect
from framequeue.cli.render import print_json, print_rows
from framequeue.documents import as_mapping
from framequeue.errors import ServerError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def ping(connect: Connect, *, as_json: bool) -> int:
    """Say whether the API answers, takes the key, and what of it is broken."""
    with connect() as client:
        began = time.monotonic()
        client.health()
        milliseconds = (time.monotonic() - began) * 1000
        try:
            ready: Mapping[str, Any] = client.ready()
        except ServerError as error:
            ready = error.document
        count = len(list(client.pipelines()))
    parts = as_mapping(ready.get("parts"))
    well = ready.get("status") == "ok" or all(state == "ok" for state in parts.values())
    if as_json:
        print_json({"url": client.base_url, "milliseconds": round(milliseconds, 1), "pipelines": count, **ready})
        return 0 if well else 2
    click.echo(f"{client.base_url} answers in {milliseconds:.0f} ms and takes the key; {count} pipelines")
    for name, state in parts.items():
        click.echo(f"  {name}: {state}")
    return 0 if well else 2


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document per pipeline on stdout.")
@click.pass_obj
def pipelines(connect: Connect, *, as_json: bool) -> int:
    """List what this installation can run."""
    with connect() as client:
        found = list(client.pipelines())
    if as_json:
        for pipeline in found:
            print_json(pipeline.raw)
        return 0
    columns = ("name", "takes", "lane", "workers", "description")
    rows = [
        [item.name, ", ".join(item.accepts), item.lane or "", str(item.raw.get("live_workers", "")), item.description]
        for item in found
    ]
    print_rows(columns, rows)
    if not found:
        click.echo("no pipelines: has a worker or `migrate` registered them?", err=True)
    return 0
