"""Get a card's weights by digest: from beside the card, the cache, a mirror, or the card's own address."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, BinaryIO

from pipeline.errors import ModelUnavailable
from pipeline.models.card import ModelCard

#: weights larger than this are refused where the card declares no size
MAX_BYTES = 16 * 1024**3
_CHUNK = 1024 * 1024
_HEADERS = {"User-Agent": "framequeue"}


def find_weights(card: ModelCard, folder: Path, cache_dir: Path) -> Path | None:
    """Return the weights file where it is on this machine already, its digest checked; None where it is not.

    A file beside the card (``folder``) goes before the cache; without a ``sha256`` in the card it is taken as it is.
    Raises: ModelUnavailable when the file beside the card is not the one the card names.
    """
    beside = folder / card.weights.file
    if beside.is_file():
        if card.weights.sha256 and file_digest(beside) != card.weights.sha256:
            raise ModelUnavailable(
                f"{beside} is not the file its card names",
                advice="Put the right file there, or write its sha256 into model.toml.",
            )
        return beside
    cached = cache_path(card, cache_dir)
    if cached is not None and cached.is_file() and file_digest(cached) == card.weights.sha256:
        return cached
    return None


def pull_weights(
    card: ModelCard, folder: Path, cache_dir: Path, *, mirror: str | None = None, timeout_seconds: float = 30.0
) -> Path:
    """Return the weights file, fetching it into the cache if need be.

    mirror: a local folder (searched for the file name, subfolders too) or a URL prefix (``<prefix>/<model>/<file>``,
    then ``<prefix>/<file>``); it goes before the card's URL. The digest is checked whatever the source.
    timeout_seconds: longest wait for the connection and for each piece. Raises: ModelUnavailable.
    """
    found = find_weights(card, folder, cache_dir)
    if found is not None:
        return found
    target = cache_path(card, cache_dir)
    if target is None:
        raise ModelUnavailable(
            f"{card.name}: no file {card.weights.file} beside its card, and the card gives no sha256 to fetch it by",
            advice=f"Put the weights into {folder}.",
        )
    faults = []
    for source in _sources(card, mirror):
        try:
            _fetch(source, target, card, timeout_seconds)
        except (OSError, ValueError) as error:
            faults.append(f"{source}: {error}")
        else:
            return target
    raise ModelUnavailable(
        f"{card.name}: the weights {card.weights.file} cannot be had: " + ("; ".join(faults) or "no source"),
        advice="Run `python -m pipeline models pull` where there is network, or set FQ_MODEL_MIRROR to a folder or "
        f"URL that holds {card.weights.file}, or put that file into {folder}.",
    )


def cache_path(card: ModelCard, cache_dir: Path) -> Path | None:
    """Return where the cache keeps these weights; None for a card without digest."""
    digest = card.weights.sha256
    return cache_dir / digest[:2] / digest / card.weights.file if digest else None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits; an unchanged file is read once per process."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


@lru_cache(maxsize=256)
def _digest(path: Path, *identity: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sources(card: ModelCard, mirror: str | None) -> Iterator[str | Path]:
    if mirror and _is_url(mirror):
        prefix = mirror.rstrip("/")
        yield f"{prefix}/{card.name}/{card.weights.file}"
        yield f"{prefix}/{card.weights.file}"
    elif mirror:
        matches = sorted(Path(mirror).expanduser().rglob(card.weights.file))
        yield from matches or [Path(mirror) / card.weights.file]
    if card.weights.url:
        yield card.weights.url


def _is_url(text: str) -> bool:
    return urllib.parse.urlsplit(text).scheme in {"http", "https"}


def _fetch(source: str | Path, target: Path, card: ModelCard, timeout_seconds: float) -> None:
    """Copy a source to ``target``: whole and with the right digest, or not at all. Raises: OSError, ValueError."""
    limit = card.weights.bytes or MAX_BYTES
    target.parent.mkdir(parents=True, exist_ok=True)
    with _opened(source, timeout_seconds) as stream, _temporary(target) as file:
        digest, size = hashlib.sha256(), 0
        deadline = time.monotonic() + max(600.0, limit / 100_000)  # 100 kB/s: slower than that is stuck
        while piece := stream.read(_CHUNK):
            size += len(piece)
            if size > limit:
                raise ValueError(f"larger than the {limit} bytes expected")
            if time.monotonic() > deadline:
                raise TimeoutError("too slow")
            digest.update(piece)
            file.write(piece)
        if digest.hexdigest() != card.weights.sha256:
            raise ValueError(f"sha256 is {digest.hexdigest()}, not the card's {card.weights.sha256}")


@contextmanager
def _opened(source: str | Path, timeout_seconds: float) -> Iterator[IO[bytes]]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
        return
    request = urllib.request.Request(source, headers=_HEADERS)  # noqa: S310 - http(s) only: card and `_is_url` say so
    with urllib.request.urlopen(request, timeout=timeout_seconds) as reply:  # noqa: S310 - as above
        yield reply


@contextmanager
def _temporary(target: Path) -> Iterator[BinaryIO]:
    """Yield a new file that becomes ``target`` when the block ends well and vanishes otherwise."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".pull-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
