"""Resident memory of a worker's shelf: every model of the project loaded, then swapped one for another.

    python -m bench.model_memory [--swaps 50] [--mirror ../shared/models]

Weights that are not in the repository come from the mirror by digest. Each swap drops the model before, loads the next
and runs its self-check, so that every buffer is used.
"""

from __future__ import annotations

import argparse
import logging
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil
import structlog

from pipeline.errors import PipelineError
from pipeline.models.check import self_check
from pipeline.models.shelf import BUILT_IN, FolderShelf
from storage.model_rows import ModelVersion
from tests.fakes.memory_store import MemoryObjectStore
from workers.model_files import ModelFiles, Package
from workers.model_shelf import VersionShelf

MIB = 2**20
#: swaps whose memory is compared with that of as many at the end
COMPARED = 10


class NoVersions:
    """A database without versions: everything is in the folder."""

    def version(self, name: str, version: str) -> ModelVersion | None:
        """There is none."""


def held_mib() -> float:
    """Return the resident MiB of this process."""
    return float(psutil.Process().memory_info().rss) / MIB


def load_all(shelf: VersionShelf, folders: FolderShelf) -> list[Package]:
    """Load every model that can be had, one beside the other, and print what is resident after each."""
    packages = []
    for card in folders.cards():
        package = shelf.files.package(card.name, None)
        try:
            report = self_check(shelf.open(package), package.folder)
        except PipelineError as error:
            print(f"{card.name:<20} not here: {error.message}")
            continue
        packages.append(package)
        print(f"{card.name:<20} {card.runtime:<12} {held_mib():6.0f} MiB  {report.seconds * 1000:7.1f} ms a picture")
    shelf.close()
    return packages


def swap(shelf: VersionShelf, packages: list[Package], count: int) -> list[float]:
    """Load one model after the other, never two at once; return the resident MiB after each."""
    held = []
    for place in range(count):
        package = packages[place % len(packages)]
        self_check(shelf.open(package), package.folder)
        held.append(held_mib())
    return held


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--mirror", default="../shared/models")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as cache:
        folders = FolderShelf([BUILT_IN], cache_dir=Path(cache), mirror=options.mirror, device="cpu", threads=1)
        files = ModelFiles(folders, NoVersions(), MemoryObjectStore(), cache_dir=Path(cache))
        print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, one thread; at start {held_mib():.0f} MiB")
        packages = load_all(VersionShelf(files, device="cpu", threads=1, max_bytes=1024 * MIB), folders)
        one_at_a_time = VersionShelf(files, device="cpu", threads=1, max_bytes=0)
        held = swap(one_at_a_time, packages, COMPARED + options.swaps)
        grown = median(held[-COMPARED:]) - median(held[:COMPARED])
        print(f"{options.swaps} swaps: {min(held):.0f} to {max(held):.0f} MiB, grown by {grown:+.1f} MiB")
        one_at_a_time.close()


if __name__ == "__main__":
    main()
