"""What the command prints: tables for people, tab-separated lines for pipes, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from framequeue.errors import APIError, FramequeueError
from framequeue.job import Job

_COLOURS = {"succeeded": "green", "failed": "red", "dead": "red", "canceled": "yellow", "running": "cyan"}
JOB_COLUMNS = ("id", "state", "progress", "pipeline", "input", "note")


def one_line(error: BaseException) -> str:
    """Return an error as one line: code, sentence, advice, request id."""
    parts = [str(error) or type(error).__name__]
    if isinstance(error, FramequeueError):
        parts = [f"{error.code}: {parts[0]}"]
        if error.advice:
            parts.append(f"- {error.advice}")
    if isinstance(error, APIError) and error.request_id:
        parts.append(f"[request {error.request_id}]")
    return " ".join(" ".join(parts).split())


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on one line of stdout."""
    click.echo(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal, else tab-separated lines without a head."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console  # noqa: PLC0415 - only for terminals
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in {"id", "state", "progress"})
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(table)


def job_row(job: Job) -> list[str]:
    """Return the cells of a job under ``JOB_COLUMNS``."""
    return [job.id, job.state, f"{job.progress:.0%}", job.pipeline, job.filename or "", note_of(job)]


def note_of(job: Job) -> str:
    """Return the one thing to know about a job in its state."""
    if job.error is not None:
        advice = f" - {job.error.advice}" if job.error.advice else ""
        return f"{job.error.code}: {job.error.message}{advice}"
    if job.terminal:
        count = f"{job.frames_count} frames" if job.frames_count is not None else ""
        warned = ", ".join(warning.code for warning in job.warnings)
        return count + (f", warnings: {warned}" if warned else "")
    parts = [job.stage] if job.stage else []
    if job.waiting_for:
        parts.append(f"waits for {job.waiting_for}")
    if job.queue_position:
        parts.append(f"{job.queue_position} before it")
    if job.eta_seconds is not None:
        parts.append(f"about {job.eta_seconds:.0f} s")
    return ", ".join(parts)


def print_jobs(jobs: Sequence[Job], *, as_json: bool) -> None:
    """Print jobs, one line each."""
    if as_json:
        for job in jobs:
            print_json(job.raw)
    elif jobs:
        print_rows(JOB_COLUMNS, [job_row(job) for job in jobs])


class JobPrinter:
    """Prints jobs as they come; on a terminal all at the end, as one table, when no bar is in the way."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._kept: list[Job] = []

    def add(self, job: Job) -> None:
        """Print a job, now or at the end."""
        if sys.stdout.isatty():
            self._kept.append(job)
        else:
            print_jobs([job], as_json=self._as_json)

    def end(self) -> None:
        """Print what was kept."""
        print_jobs(self._kept, as_json=self._as_json)
        self._kept.clear()
