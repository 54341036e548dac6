"""Progress bars: on a terminal and on stderr alone, so that stdout stays what was asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """One bar for each thing under way; does nothing without a terminal."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._tasks: dict[Any, TaskID] = {}

    def show(self, key: Any, label: str, part: float, note: str = "") -> None:
        """Show how far something is (0 to 1); the first call adds its bar."""
        if self._progress is None:
            return
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(label, total=1.0, note="")
        self._progress.update(self._tasks[key], completed=part, description=label, note=note)

    def say(self, text: str) -> None:
        """Print a line on stderr, above the bars."""
        if self._progress is None:
            click.echo(text, err=True)
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def drop(self, key: Any) -> None:
        """Take a bar away."""
        if self._progress is not None and key in self._tasks:
            self._progress.remove_task(self._tasks.pop(key))


@contextmanager
def bars(*, wanted: bool = True) -> Iterator[Bars]:
    """Show bars as long as the block runs."""
    if not (wanted and sys.stderr.isatty()):
        yield Bars(None)
        return
    from rich.console import Console  # noqa: PLC0415 - only for terminals
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(max_width=40, no_wrap=True)),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False, style="dim"),
    )
    # stdout is left alone: redirecting it would send what a program reads to stderr
    progress = Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )
    with progress:
        yield Bars(progress)
