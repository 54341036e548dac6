"""``framequeue dead``: an operator's morning - what died, why, again or away with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import click

from framequeue.cli.connect import Connect
from framequeue.cli.params import read_params
from framequeue.cli.render import print_json, print_rows
from framequeue.dead import ReplayOrder

GROUP_COLUMNS = ("fingerprint", "jobs", "code", "last", "message")
ORDER_COLUMNS = ("id", "state", "replayed", "skipped", "refused")

_json_option = click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--until", metavar="TIME", help="Dead before this instant (ISO 8601)."),
        click.option("--since", metavar="TIME", help="Dead at or after this instant (ISO 8601)."),
        click.option("-p", "--pipeline", help="Only of this pipeline."),
        click.option("--code", help="Only with this error code."),
        click.option("--fingerprint", help="Only of this group."),
    ):
        command = option(command)
    return command


def _where(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("fingerprint", "code", "pipeline", "since", "until")
    return {name: given[name] for name in names if given.get(name)}


def _chosen(ids: Sequence[str], given: Mapping[str, Any], *, everything: bool) -> dict[str, Any]:
    """Return the filter of a change; one must be given, lest a slip replays all."""
    where = _where(given)
    if sum((bool(ids), bool(where), everything)) != 1:
        raise click.UsageError("give either job ids, or options that narrow, or --all")
    return {"job_ids": list(ids)} if ids else where or {"all": True}


@click.group()
def dead() -> None:
    """Look at dead letters, replay them or discard them (scope operate sees every tenant's)."""


@dead.command("list")
@_filters
@_json_option
@click.pass_obj
def list_groups(connect: Connect, /, *, as_json: bool, **given: Any) -> int:
    """Show dead jobs grouped by their error."""
    with connect() as client:
        groups = client.dead.groups(_where(given))
    if as_json:
        for group in groups:
            print_json(group.raw)
        return 0
    if not groups:
        click.echo("no dead letters", err=True)
        return 0
    rows = [
        [group.fingerprint, str(group.jobs), group.code, str(group.raw.get("last_at") or ""), group.message]
        for group in groups
    ]
    print_rows(GROUP_COLUMNS, rows)
    return 0


@dead.command("show")
@_filters
@click.option("-n", "--limit", type=click.IntRange(min=1), default=5, show_default=True, help="Jobs at most.")
@_json_option
@click.pass_obj
def show(connect: Connect, /, *, limit: int, as_json: bool, **given: Any) -> int:
    """Show dead jobs with their last errors and the segment that broke."""
    with connect() as client:
        jobs = list(islice(client.dead.jobs(_where(given), page_size=min(limit, 100)), limit))
    for job in jobs:
        if as_json:
            print_json(job)
        else:
            _print_job(job)
    return 0


def _print_job(job: Mapping[str, Any]) -> None:
    click.echo(f"{job.get('id')}  run {job.get('run')}  {job.get('pipeline')}")
    segment = job.get("segment")
    if isinstance(segment, Mapping):
        click.echo("  " + "  ".join(f"{name} {value}" for name, value in segment.items() if value is not None))
    if job.get("replayable") is False:
        click.echo(f"  cannot be replayed: {job.get('why_not')}")
    for error in job.get("errors") or []:
        worker = f"  [{error['worker']}]" if error.get("worker") else ""
        click.echo(f"  {error.get('code')}: {error.get('message')}{worker}")
        for line in str(error.get("stack") or "").splitlines():
            click.echo(f"    {line}")


@dead.command("replay")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@_filters
@click.option("--all", "everything", is_flag=True, help="All that are dead.")
@click.option("--param", "single", multiple=True, metavar="K=V", help="A parameter of the new runs.")
@click.option("--params", metavar="JSON", help="All parameters of the new runs, or @file.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Jobs per second at most.")
@click.option("--force", is_flag=True, help="Also those that died three times in a row of the same error.")
@_json_option
@click.pass_obj
def replay(
    connect: Connect,
    /,
    ids: Sequence[str],
    *,
    everything: bool,
    single: Sequence[str],
    params: str | None,
    rate: float | None,
    force: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Run dead jobs once more, at a limited rate; prints the order that the dispatcher carries out."""
    changed = read_params(params, single) if params or single else None
    where = _chosen(ids, given, everything=everything)
    with connect() as client:
        print_orders([client.dead.replay(where, params=changed, per_second=rate, force=force)], as_json=as_json)
    return 0


@dead.command("replays")
@click.argument("order_id", required=False, metavar="[ORDER]")
@click.option("--cancel", "cancels", is_flag=True, help="Replay nothing more by this order.")
@_json_option
@click.pass_obj
def replays(connect: Connect, order_id: str | None, *, cancels: bool, as_json: bool) -> int:
    """Show orders to replay and how far they are, or one with what it refused."""
    if cancels and not order_id:
        raise click.UsageError("--cancel needs the id of an order")
    with connect() as client:
        if order_id is None:
            print_orders(client.dead.replays(), as_json=as_json)
            return 0
        order = client.dead.cancel_replay(order_id) if cancels else client.dead.replay_order(order_id)
    print_orders([order], as_json=as_json)
    if not as_json:
        for refusal in order.refusals:
            click.echo("  " + "  ".join(str(value) for value in refusal.values()), err=True)
    return 0


@dead.command("discard")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@_filters
@click.option("--all", "everything", is_flag=True, help="All that are dead.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def discard(connect: Connect, /, ids: Sequence[str], *, everything: bool, yes: bool, **given: Any) -> int:
    """Take dead jobs off the list for good; their inputs go by the ordinary retention."""
    where = _chosen(ids, given, everything=everything)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Discard {where}?", abort=True, err=True)
    with connect() as client:
        click.echo(f"{client.dead.discard(where)} discarded")
    return 0


def print_orders(orders: Sequence[ReplayOrder], *, as_json: bool) -> None:
    """Print replay orders, one line each."""
    if as_json:
        for order in orders:
            print_json(order.raw)
        return
    rows = [[one.id, one.state, str(one.replayed), str(one.skipped), str(len(one.refusals))] for one in orders]
    print_rows(ORDER_COLUMNS, rows)
