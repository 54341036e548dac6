"""What a local folder needs to behave like an object store: safe paths, durable renames, listing in key order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

#: a concurrent delete may take an empty parent folder away between its making and the rename
RENAME_TRIES = 20


def path_of(root: Path, key: str) -> Path:
    """Return the file of a key. Raises: ValueError for a key that names no file strictly below ``root``."""
    parts = key.split("/")
    if "\0" in key or any(part in {"", ".", ".."} for part in parts):
        raise ValueError(f"not an object key: {key!r}")
    return root.joinpath(*parts)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, durably; one that exists is fine."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
        sync_folder(folder.parent)


def place(source: Path, target: Path, *, durable: bool = True) -> None:
    """Move a synced file to ``target``, replacing what is there; if durable, its name is on disk at the return."""
    for attempt in range(RENAME_TRIES):
        try:
            make_folder(target.parent)
            source.rename(target)
            if durable:
                sync_folder(target.parent)
            return
        except FileNotFoundError:
            if attempt == RENAME_TRIES - 1 or not source.exists():
                raise


def remove_file(path: Path, root: Path) -> None:
    """Delete a file, if it is there, and the folders up to ``root`` that this leaves empty."""
    path.unlink(missing_ok=True)
    folder = path.parent
    # stops at the first folder that still holds something
    with suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def remove_older(folder: Path, older_than: datetime, limit: int) -> int:
    """Delete up to ``limit`` entries of a folder, files or whole folders, last changed before ``older_than``."""
    removed = 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if removed == limit:
            break
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < older_than.timestamp():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed


def walk_keys(root: Path, prefix: str, after: str | None) -> Iterator[str]:
    """Yield keys that start with ``prefix``, in order of their characters, after the key ``after``."""
    folder, _, _ = prefix.rpartition("/")
    yield from _walk(root / folder, f"{folder}/" if folder else "", prefix, after or "")


def _walk(folder: Path, base: str, prefix: str, after: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            # the slash puts a folder where its keys belong: "a-b" < "a/b" < "a0"
            names = sorted(
                base + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in entries
            )
    except (FileNotFoundError, NotADirectoryError):
        return  # deleted since its name was read
    for name in names:
        if not name.startswith(prefix):
            continue
        if not name.endswith("/"):
            if name > after:
                yield name
        elif name > after or after.startswith(name):
            yield from _walk(folder / name[len(base) : -1], name, prefix, after)
