"""What a backlog is made of: the files of a folder, the lines of a manifest, or all objects under a prefix."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from framequeue.errors import ConfigurationError

#: members of an item that say where its input is; exactly one of them
PLACES = ("file", "url", "object", "prefix", "upload_id")


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a backlog: a file that this machine sends, or a place that the server reads."""

    #: its unique name, the same at every start
    key: str
    #: a file to send; None: ``members`` say where it is
    path: Path | None
    #: the item's own members: params, priority, metadata, and the place unless it is a file
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of a manifest that is not an item."""

    number: int
    reason: str


Source = Callable[[], Iterator[Entry | BadLine]]


def source_of_backlog(text: str, *, wanted: Callable[[str], bool], pattern: str = "*") -> Source:
    """Return what yields the items of a folder, a ``s3://bucket/prefix/`` or a manifest (JSON lines).

    wanted: whether a file of a folder is worth sending, by its name. pattern: of file names in a folder.
    Raises: ConfigurationError when there is no such thing.
    """
    if text.startswith("s3://"):
        return lambda: iter([Entry(text, None, {"prefix": text})])
    path = Path(text)
    if path.is_dir():
        return lambda: _files(path, wanted, pattern)
    if path.is_file():
        return lambda: _lines(path)
    raise ConfigurationError(
        f"{text} is neither a folder, a manifest nor s3://bucket/prefix/", code="backlog.source_unknown"
    )


def _files(folder: Path, wanted: Callable[[str], bool], pattern: str) -> Iterator[Entry | BadLine]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or not fnmatch(name, pattern) or not wanted(name):
                continue
            path = Path(here, name)
            yield Entry(path.relative_to(folder).as_posix(), path)


def _lines(path: Path) -> Iterator[Entry | BadLine]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _entry(line, number, path.parent)


def _entry(line: str, number: int, folder: Path) -> Entry | BadLine:
    """Read one line; without a key of its own an item is called by its place, or by its line where that repeats."""
    try:
        item = json.loads(line)
    except ValueError as error:
        return BadLine(number, f"is not JSON: {error}")
    if not isinstance(item, dict):
        return BadLine(number, "is not a JSON object")
    places = [name for name in PLACES if item.get(name) is not None]
    if len(places) != 1 or not isinstance(item[places[0]], str):
        return BadLine(number, f"must have exactly one of {', '.join(PLACES)}")
    key = str(item.pop("key", None) or f"{number}:{item[places[0]]}")
    if places != ["file"]:
        return Entry(key, None, item)
    return Entry(key, folder / item.pop("file"), item)
