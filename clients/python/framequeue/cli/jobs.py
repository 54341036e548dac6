"""Commands that look at jobs or change them: status, wait, result, cancel, replay, list."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import click

from framequeue.cli.connect import Connect
from framequeue.cli.params import read_metadata, read_params
from framequeue.cli.progress import bars
from framequeue.cli.render import note_of, one_line, print_jobs, print_json
from framequeue.errors import APIError, FramequeueError
from framequeue.job import Job

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document per job on stdout.")
_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")

FORMATS = ("json", "jsonl", "csv", "coco", "mot")


@click.command()
@_ids
@_json_option
@click.pass_obj
def status(connect: Connect, ids: Sequence[str], *, as_json: bool) -> int:
    """Show how jobs stand."""
    with connect() as client:
        return _each(ids, client.get, as_json=as_json)


@click.command()
@_ids
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds at most; the jobs go on.")
@_json_option
@click.pass_obj
def wait(connect: Connect, ids: Sequence[str], *, timeout: float | None, as_json: bool) -> int:
    """Wait until jobs have ended; exit 1 unless all succeeded."""
    ended: list[Job] = []
    with connect() as client, bars() as shown:

        def one(job_id: str) -> Job:
            def show(job: Job) -> None:
                shown.show(job_id, job.filename or job.id, job.progress, f"{job.state} {note_of(job)}")

            job = client.wait(job_id, timeout, on_update=show, check=False)
            shown.drop(job_id)
            ended.append(job)
            return job

        refused = _each(ids, one, as_json=as_json)
    return 1 if not all(job.ok for job in ended) else refused


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("-f", "--format", "format_", type=click.Choice(FORMATS), default="json", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write to this file instead of stdout.")
@click.pass_obj
def result(connect: Connect, job_id: str, *, format_: str, output: str | None) -> int:
    """Fetch the result of a job that has ended."""
    with connect() as client:
        try:
            if output:
                size = client.save_result(job_id, output, format=format_)
                click.echo(f"{output}: {size} bytes", err=True)
                return 0
            for piece in client.iter_result(job_id, format=format_):
                sys.stdout.buffer.write(piece)
        except APIError as error:
            if error.code != "result.unavailable":
                raise
            click.echo(f"framequeue: {one_line(error)}", err=True)
            return 1
        sys.stdout.buffer.flush()
    return 0


@click.command()
@_ids
@_json_option
@click.pass_obj
def cancel(connect: Connect, ids: Sequence[str], *, as_json: bool) -> int:
    """End jobs at once; those that have ended stay as they are."""
    with connect() as client:
        return _each(ids, client.cancel, as_json=as_json)


@click.command()
@_ids
@click.option("--param", "single", multiple=True, metavar="K=V", help="A parameter of the new run.")
@click.option("--params", metavar="JSON", help="All parameters of the new run, or @file.")
@_json_option
@click.pass_obj
def replay(connect: Connect, ids: Sequence[str], *, single: Sequence[str], params: str | None, as_json: bool) -> int:
    """Run jobs that have ended once more; without parameters, what is done is kept."""
    changed = read_params(params, single) if params or single else None
    with connect() as client:
        return _each(ids, lambda job_id: client.replay(job_id, changed), as_json=as_json)


@click.command()
@click.argument("job_id", metavar="ID")
@_json_option
@click.pass_obj
def history(connect: Connect, job_id: str, *, as_json: bool) -> int:
    """Show what happened to a job, event by event."""
    with connect() as client:
        for event in client.history(job_id):
            if as_json:
                print_json(event)
                continue
            facts = {name: value for name, value in event.items() if value is not None}
            at, run, kind = (str(facts.pop(name, "")) for name in ("at", "run", "kind"))
            rest = "  ".join(f"{name}={_flat(value)}" for name, value in facts.items() if name != "id")
            click.echo(f"{at}  run {run}  {kind}  {rest}".rstrip())
    return 0


def _flat(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


@click.command("list")
@click.option("--state", help="One state, or several with commas.")
@click.option("-p", "--pipeline", help="Only jobs of this pipeline.")
@click.option("--metadata", multiple=True, metavar="K=V", help="Only jobs with this label.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Jobs at most.")
@_json_option
@click.pass_obj
def list_jobs(
    connect: Connect,
    *,
    state: str | None,
    pipeline: str | None,
    metadata: Sequence[str],
    limit: int,
    as_json: bool,
) -> int:
    """List jobs, newest first."""
    labels = read_metadata(metadata)
    with connect() as client:
        found = client.list(state=state, pipeline=pipeline, metadata=labels, page_size=min(limit, 100))
        jobs = list(islice(found, limit))
    if not jobs:
        click.echo("no jobs", err=True)
    print_jobs(jobs, as_json=as_json)
    return 0


def _each(ids: Iterable[str], do: Callable[[str], Job], *, as_json: bool) -> int:
    """Do it for each id; what is refused is told and does not stop the others."""
    refused = False
    jobs: list[Job] = []
    for job_id in ids:
        try:
            job = do(job_id)
        except FramequeueError as error:
            click.echo(f"framequeue: {job_id}: {one_line(error)}", err=True)
            refused = True
            continue
        if as_json:
            print_jobs([job], as_json=True)
        jobs.append(job)
    if not as_json:
        print_jobs(jobs, as_json=False)
    return 2 if refused else 0
