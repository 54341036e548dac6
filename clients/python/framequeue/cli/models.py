"""``framequeue models``: an operator's way with versions of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from framequeue.cli.connect import Connect
from framequeue.cli.render import print_json, print_rows
from framequeue.models import ModelVersion

COLUMNS = ("name", "version", "active", "state", "task", "digest", "note")

_json_option = click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")


@click.group()
def models() -> None:
    """Add versions of models, see what workers measured, switch jobs to one and back (scope operate)."""


@models.command("list")
@_json_option
@click.pass_obj
def list_models(connect: Connect, *, as_json: bool) -> int:
    """Show every version, and which one new jobs use."""
    with connect() as client:
        _print(client.models.list(), as_json=as_json)
    return 0


@models.command("show")
@click.argument("name")
@_json_option
@click.pass_obj
def show(connect: Connect, name: str, *, as_json: bool) -> int:
    """Show one model: its versions, what was measured where, and how good each was found."""
    with connect() as client:
        document = client.models.show(name)
    if as_json:
        print_json(document)
        return 0
    found = [ModelVersion.read(raw) for raw in document.get("versions") or []]
    _print(found, as_json=False)
    for one in found:
        for measured in one.raw.get("measured") or []:
            click.echo(f"  {one.version} on {measured.get('host')}, {measured.get('device')}: {_figures(measured)}")
        if one.raw.get("evaluation"):
            click.echo(f"  {one.version} evaluation: ", nl=False)
            print_json(one.raw["evaluation"])
    return 0


@models.command("add")
@click.argument("card", type=click.Path(exists=True))
@click.option("--weights", type=click.Path(exists=True, dir_okay=False), help="Else the file the card names.")
@click.option("--wait/--no-wait", "waits", default=True, show_default=True, help="Until a worker has checked it.")
@click.option("--timeout", type=click.FloatRange(min=0), default=900.0, show_default=True, help="Seconds to wait.")
@click.option("--activate", is_flag=True, help="Switch new jobs to it once it is checked.")
@_json_option
@click.pass_obj
def add(
    connect: Connect, card: str, *, weights: str | None, waits: bool, timeout: float, activate: bool, as_json: bool
) -> int:
    """Send CARD (a package folder or its model.toml) with its weights; exit 1 when a worker refuses it."""
    if activate and not waits:
        raise click.UsageError("--activate needs --wait: only a checked version can be activated")
    with connect() as client:
        one = client.models.add(card, weights)
        if waits:
            one = client.models.wait(one.name, one.version, timeout)
        if activate and one.state == "checked":
            one = client.models.activate(one.name, one.version)
    _print([one], as_json=as_json)
    if one.state == "refused":
        error = one.error or {}
        advice = f" - {error['advice']}" if error.get("advice") else ""
        click.echo(f"framequeue: {error.get('code')}: {error.get('message')}{advice}", err=True)
    return 1 if one.state == "refused" or (waits and one.state == "added") else 0


@models.command("activate")
@click.argument("name")
@click.argument("version")
@_json_option
@click.pass_obj
def activate(connect: Connect, name: str, version: str, *, as_json: bool) -> int:
    """Switch new jobs to a version; those submitted before keep theirs."""
    with connect() as client:
        _print([client.models.activate(name, version)], as_json=as_json)
    return 0


@models.command("rollback")
@click.argument("name")
@_json_option
@click.pass_obj
def rollback(connect: Connect, name: str, *, as_json: bool) -> int:
    """Switch new jobs to the version that was active before; again, to the one before that."""
    with connect() as client:
        _print([client.models.rollback(name)], as_json=as_json)
    return 0


def _print(found: Sequence[ModelVersion], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            print_json(one.raw)
        return
    rows = [
        [one.name, one.version, "active" if one.active else "", one.state, one.task, one.digest[:12], _note(one)]
        for one in found
    ]
    print_rows(COLUMNS, rows)


def _note(one: ModelVersion) -> str:
    if one.error:
        return str(one.error.get("message") or one.error.get("code") or "")
    measured = one.raw.get("measured") or []
    return f"{measured[0].get('host')}: {_figures(measured[0])}" if measured else ""


def _figures(measured: Mapping[str, Any]) -> str:
    figures = measured.get("figures") or {}
    told = [
        f"{figures[name] * 1000:.1f} ms {what}"
        for name, what in (("seconds", "a picture"), ("load_seconds", "to load"))
        if isinstance(figures.get(name), int | float)
    ]
    if isinstance(figures.get("pictures_per_second"), int | float):
        told.append(f"{figures['pictures_per_second']:.1f}/s in batches of {figures.get('batch')}")
    return ", ".join(told)
