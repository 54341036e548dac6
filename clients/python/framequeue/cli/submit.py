"""``framequeue submit``: files, folders and addresses in; job ids, or results of waiting, out."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import click

from framequeue.cli.connect import Connect
from framequeue.cli.crew import work
from framequeue.cli.params import read_metadata, read_params
from framequeue.cli.progress import Bars, bars
from framequeue.cli.render import JobPrinter, note_of, one_line
from framequeue.client import Client
from framequeue.errors import FramequeueError, WaitTimeoutError
from framequeue.job import Job

#: how sensor recordings are called
_SENSOR_SUFFIXES = frozenset({".csv", ".json"})


@dataclass(frozen=True, slots=True)
class Item:
    """One input of the command line."""

    number: int
    source: str

    @property
    def label(self) -> str:
        """Its last name, to show beside a bar."""
        return self.source.rstrip("/").rpartition("/")[2] or self.source


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-p", "--pipeline", required=True, help="What to run; see `framequeue pipelines`.")
@click.option("--param", "single", multiple=True, metavar="K=V", help="One parameter; such as sampler.stride=5.")
@click.option("--params", metavar="JSON", help="All parameters as a JSON object, or @file.")
@click.option("--priority", type=click.Choice(["low", "normal", "high", "urgent"]), help="Share of the machine.")
@click.option("--metadata", multiple=True, metavar="K=V", help="A label of your own; `list --metadata` finds by it.")
@click.option("--wait/--no-wait", "waits", default=False, help="Wait until the jobs have ended.")
@click.option("--wait-timeout", type=click.FloatRange(min=0), help="Seconds to wait at most; the jobs go on.")
@click.option("-r", "--recursive", is_flag=True, help="Take what is in folders, as far as the pipeline takes it.")
@click.option("-c", "--concurrency", type=click.IntRange(1, 32), default=4, show_default=True, help="Inputs at once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document per job on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
@click.pass_obj
def submit(
    connect: Connect,
    paths: Sequence[str],
    *,
    pipeline: str,
    single: Sequence[str],
    params: str | None,
    priority: str | None,
    metadata: Sequence[str],
    waits: bool,
    wait_timeout: float | None,
    recursive: bool,
    concurrency: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Submit files, folders (with --recursive), http(s):// or s3:// addresses.

    Prints the id of each job, or with --wait how it ended. Ctrl-C leaves the jobs running.
    """
    order: dict[str, Any] = {
        "params": read_params(params, single),
        "priority": priority,
        "metadata": read_metadata(metadata),
    }
    with connect() as client:
        sources = expand(paths, recursive=recursive, accepts=cache(lambda: accepted(client, pipeline)))
        items = [Item(number, source) for number, source in enumerate(sources)]
        if not items:
            raise click.UsageError(f"nothing that pipeline {pipeline} takes was found")
        send = partial(client.submit, pipeline=pipeline, **order)
        return _run(client, items, send, Manner(waits, wait_timeout, concurrency, as_json, quiet))


@dataclass(frozen=True, slots=True)
class Manner:
    """How a submission goes about it."""

    waits: bool
    wait_timeout: float | None
    concurrency: int
    as_json: bool
    quiet: bool


def _run(client: Client, items: Sequence[Item], send: Callable[..., Job], manner: Manner) -> int:
    """Submit, wait if so asked, and return the exit code."""
    printer = JobPrinter(as_json=manner.as_json)
    try:
        with bars(wanted=not manner.quiet) as shown:
            run = Batch(client, shown, printer, concurrency=manner.concurrency)
            try:
                run.submit(items, send, waits=manner.waits)
                if manner.waits:
                    run.wait(manner.wait_timeout)
            except KeyboardInterrupt:
                run.leave()
                raise
    finally:
        printer.end()
    if run.failed:
        return 1
    return 2 if run.refused else 0


class Batch:
    """The jobs of one command: submits, waits, and knows what to say when it is interrupted."""

    def __init__(self, client: Client, shown: Bars, printer: JobPrinter, *, concurrency: int) -> None:
        self._client = client
        self._shown = shown
        self._concurrency = concurrency
        self._printer = printer
        self._open: dict[str, tuple[Item, Job]] = {}
        #: jobs that ended otherwise than well
        self.failed = 0
        #: inputs that could not be submitted, and jobs that could not be waited for
        self.refused = 0

    def submit(self, items: Sequence[Item], send: Callable[..., Job], *, waits: bool) -> None:
        """Submit all, and print each unless it is waited for; one that is refused does not stop the others."""

        def do(item: Item, tell: Callable[[Any], None]) -> Job:
            return send(item.source, on_progress=lambda sent, total: tell((sent, total)))

        for said in work(items, self._concurrency, do):
            key = ("submit", said.item.number)
            if not said.ended:
                sent, total = said.value
                self._shown.show(key, said.item.label, sent / max(1, total), "sending")
                continue
            self._shown.drop(key)
            if said.error is not None:
                self._refuse(said.item.source, said.error)
                continue
            self._open[said.value.id] = (said.item, said.value)
            if not waits:
                self._printer.add(said.value)

    def wait(self, timeout: float | None) -> None:
        """Wait for all that were submitted; each is printed as it ends."""
        jobs = dict(self._open.values())

        def do(item: Item, tell: Callable[[Any], None]) -> Job:
            return self._client.wait(jobs[item], timeout, on_update=tell, check=False)

        for said in work(list(jobs), self._concurrency, do):
            if said.error is not None:
                self._shown.drop(said.item)
                self._refuse(said.item.source, said.error)
                continue
            job: Job = said.value
            if not said.ended:
                self._shown.show(said.item, said.item.label, job.progress, f"{job.state} {note_of(job)}")
                continue
            self._shown.drop(said.item)
            del self._open[job.id]
            self.failed += not job.ok
            self._printer.add(job)

    def leave(self) -> None:
        """Say which jobs go on without us, and stop sending."""
        self._client.close()
        ids = list(self._open)
        if ids:
            self._shown.say(f"these jobs go on: {' '.join(ids)}")
            self._shown.say(f"look: framequeue status {ids[0]}   stop: framequeue cancel {ids[0]}")

    def _refuse(self, source: str, error: Exception) -> None:
        if not isinstance(error, FramequeueError | OSError):
            raise error
        self.refused += 1
        place = "" if isinstance(error, WaitTimeoutError) else f"{source}: "
        self._shown.say(f"framequeue: {place}{one_line(error)}")


def expand(paths: Sequence[str], *, recursive: bool, accepts: Callable[[], Collection[str]]) -> Iterator[str]:
    """Yield inputs; folders only with ``recursive``, then what in them looks like something the pipeline takes, sorted.

    ``accepts`` tells what that is (image, video, sensor) and is asked only when there is a folder.
    Raises: click.UsageError for a folder without ``recursive``.
    """
    for text in paths:
        if "://" in text or not Path(text).is_dir():
            yield text
        elif recursive:
            yield from _media_in(Path(text), accepts())
        else:
            raise click.UsageError(f"{text} is a folder; --recursive takes what is in it")


def accepted(client: Client, pipeline: str) -> Collection[str]:
    """Return what a pipeline takes; all there is if it is unknown: then the server says so."""
    found = [item.accepts for item in client.pipelines() if item.name == pipeline]
    return found[0] if found else ("image", "video", "sensor")


def _media_in(folder: Path, accepts: Collection[str]) -> Iterator[str]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and kind_of(name) in accepts:
                yield os.path.join(here, name)


def kind_of(name: str) -> str:
    """Return image, video or sensor by a file name, or something else."""
    if Path(name).suffix.lower() in _SENSOR_SUFFIXES:
        return "sensor"
    return (mimetypes.guess_type(name)[0] or "").partition("/")[0]
