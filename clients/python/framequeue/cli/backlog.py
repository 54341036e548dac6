"""``framequeue backlog``: a folder, a manifest or a prefix into one batch; look at it, fetch it, end it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click

from framequeue.backlog import Backlog, Journal, News, Terms
from framequeue.batches import Batch
from framequeue.cli.connect import Connect
from framequeue.cli.params import read_metadata, read_params
from framequeue.cli.progress import Bars, bars
from framequeue.cli.render import one_line, print_json, print_rows
from framequeue.cli.submit import accepted, kind_of
from framequeue.client import Client
from framequeue.manifest import Source, source_of_backlog

BATCH_COLUMNS = ("id", "state", "progress", "name", "items")
#: refused items that are told one by one; the others are counted
TOLD_MOST = 50

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_id = click.argument("batch_id", metavar="BATCH")


@click.group()
def backlog() -> None:
    """Put thousands of inputs into the queue, and follow them as one batch."""


def _order_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--metadata", multiple=True, metavar="K=V", help="A label of every job."),
        click.option(
            "--priority", type=click.Choice(["low", "normal", "high", "urgent"]), help="Share of the machine."
        ),
        click.option("--params", metavar="JSON", help="All parameters as a JSON object, or @file."),
        click.option(
            "--param", "single", multiple=True, metavar="K=V", help="One parameter; such as sampler.stride=5."
        ),
        click.option("-p", "--pipeline", help="What to run; lines of a manifest may name their own."),
    ):
        command = option(command)
    return command


def _pace_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--fresh", is_flag=True, help="Begin anew, whatever an earlier start left."),
        click.option("--resume", is_flag=True, help="Go on where an earlier start was stopped; nothing is sent twice."),
        click.option("-c", "--concurrency", type=click.IntRange(1, 32), default=4, help="Files sent at once.  [4]"),
        click.option("--max-queue", type=click.IntRange(min=1), help="At most so many of its jobs unfinished at once."),
        click.option("--glob", "pattern", default="*", help="Files of a folder, by name.  [*]"),
        click.option("--name", help="Name of the batch; that of the source unless given."),
    ):
        command = option(command)
    return command


@backlog.command()
@click.argument("source", metavar="DIR|PREFIX|MANIFEST")
@_order_options
@_pace_options
@click.option("--wait/--no-wait", "waits", default=False, help="Wait until every item has ended.")
@_json_option
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@click.pass_obj
def enqueue(
    connect: Connect,
    /,
    source: str,
    *,
    waits: bool,
    as_json: bool,
    quiet: bool,
    resume: bool,
    fresh: bool,
    **given: Any,
) -> int:
    """Put all files of a folder, all lines of a manifest or all objects under s3://bucket/prefix/ into the queue.

    Safe to kill and to start again with --resume. A manifest has one JSON object per line:
    {"file"|"url"|"object"|"prefix": ..., "key": ..., "params": ..., "metadata": ...}.
    """
    terms = _terms(source, given)
    with connect() as client:
        found = _source(client, source, given)
        journal = Journal(client.base_url, source, terms)
        if fresh:
            journal.forget()
        work = Backlog(client, terms, journal)
        batch = work.open_batch(resume=resume)
        with bars(wanted=not quiet) as shown:
            try:
                _show(shown, work.fill(batch, found))
                batch = _watch(client, batch, shown) if waits else client.batches.get(batch.id)
            except KeyboardInterrupt:
                client.close()
                shown.say(f"batch {batch.id} stands; the same command with --resume goes on")
                raise
        print_batches([batch], as_json=as_json)
        _tell_rejected(batch)
    if waits and not batch.ok:
        return 1
    return 2 if work.tally.refused or batch.errors else 0


def _terms(source: str, given: Mapping[str, Any]) -> Terms:
    members = {
        "pipeline": given["pipeline"],
        "params": read_params(given["params"], given["single"]) or None,
        "priority": given["priority"],
        "metadata": read_metadata(given["metadata"]) or None,
    }
    defaults = {key: value for key, value in members.items() if value is not None}
    return Terms(defaults, given["name"] or Path(source).name or source, given["max_queue"], given["concurrency"])


def _source(client: Client, source: str, given: Mapping[str, Any]) -> Source:
    pipeline = given["pipeline"]
    takes = cache(lambda: accepted(client, pipeline) if pipeline else ("image", "video", "sensor"))
    return source_of_backlog(source, wanted=lambda file: kind_of(file) in takes(), pattern=given["pattern"])


def _show(shown: Bars, news: Any) -> None:
    told = 0
    for item in news:
        _tell(shown, item, quiet=told >= TOLD_MOST)
        told += item.refused is not None
    if told > TOLD_MOST:
        shown.say(f"framequeue: {told - TOLD_MOST} more were refused")
    shown.drop("backlog")


def _tell(shown: Bars, news: News, *, quiet: bool) -> None:
    tally = news.tally
    if news.refused is not None and not quiet:
        reason = f": {one_line(news.error)}" if news.error else ""
        shown.say(f"framequeue: {news.refused}{reason}")
    ready = tally.added + tally.known + tally.refused
    note = f"{tally.added} sent, {tally.known} there before, {tally.refused} refused"
    shown.show("backlog", "enqueue", ready / max(1, tally.seen), note)


def _watch(client: Client, batch: Batch, shown: Bars) -> Batch:
    def show(now: Batch) -> None:
        shown.show("batch", now.name or now.id, now.progress, counts_of(now))

    return client.batches.wait(batch.id, on_update=show)


@backlog.command("status")
@_id
@_json_option
@click.pass_obj
def status(connect: Connect, batch_id: str, *, as_json: bool) -> int:
    """Show how a batch stands."""
    with connect() as client:
        batch = client.batches.get(batch_id)
    print_batches([batch], as_json=as_json)
    _tell_rejected(batch)
    return 0


def _tell_rejected(batch: Batch) -> None:
    for refused in batch.errors:
        error = refused.get("error") or {}
        click.echo(f"framequeue: {refused.get('key')}: {error.get('code')}: {error.get('message')}", err=True)


@backlog.command("wait")
@_id
@_json_option
@click.pass_obj
def wait_batch(connect: Connect, batch_id: str, *, as_json: bool) -> int:
    """Wait until every item has ended; exit 1 unless all succeeded."""
    with connect() as client, bars() as shown:
        batch = _watch(client, client.batches.get(batch_id), shown)
    print_batches([batch], as_json=as_json)
    return 0 if batch.ok else 1


@backlog.command("list")
@click.option("-n", "--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Batches at most.")
@_json_option
@click.pass_obj
def list_batches(connect: Connect, *, limit: int, as_json: bool) -> int:
    """List batches, newest first."""
    with connect() as client:
        print_batches(client.batches.page(limit=limit).items, as_json=as_json)
    return 0


@backlog.command("results")
@_id
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write to this file instead of stdout.")
@click.pass_obj
def results(connect: Connect, batch_id: str, *, output: str | None) -> int:
    """Fetch the results: one JSON line per item, in the order of the items."""
    with connect() as client:
        if output:
            size = client.batches.save_results(batch_id, output)
            click.echo(f"{output}: {size} bytes", err=True)
            return 0
        for row in client.batches.results(batch_id):
            print_json(row)
        sys.stdout.flush()
    return 0


@backlog.command("cancel")
@_id
@_json_option
@click.pass_obj
def cancel_batch(connect: Connect, batch_id: str, *, as_json: bool) -> int:
    """End a batch: its unfinished jobs are canceled, what is not in the queue yet never comes there."""
    with connect() as client:
        print_batches([client.batches.cancel(batch_id)], as_json=as_json)
    return 0


@backlog.command("replay-failed")
@_id
@click.option("--param", "single", multiple=True, metavar="K=V", help="A parameter of the new runs.")
@click.option("--params", metavar="JSON", help="All parameters of the new runs, or @file.")
@click.option("--state", "states", multiple=True, type=click.Choice(["failed", "dead"]), help="Only those.")
@_json_option
@click.pass_obj
def replay_failed(
    connect: Connect,
    batch_id: str,
    *,
    single: Sequence[str],
    params: str | None,
    states: Sequence[str],
    as_json: bool,
) -> int:
    """Run the items that ended failed or dead once more."""
    changed = read_params(params, single) if params or single else None
    with connect() as client:
        print_batches([client.batches.replay_failed(batch_id, changed, states=states)], as_json=as_json)
    return 0


def counts_of(batch: Batch) -> str:
    """Return the counts that are not zero, as one line."""
    return ", ".join(f"{count} {name}" for name, count in batch.counts.items() if count and name != "total")


def print_batches(batches: Sequence[Batch], *, as_json: bool) -> None:
    """Print batches, one line each."""
    if as_json:
        for batch in batches:
            print_json(batch.raw)
        return
    rows = [[one.id, one.state, f"{one.progress:.0%}", one.name or "", counts_of(one)] for one in batches]
    print_rows(BATCH_COLUMNS, rows)
