"""The cage: a child process that opens untrusted media, so that this one never does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from pipeline.frame import Frame
from pipeline.media import MediaInfo, MediaLimits, PacketIndex


class Cage:
    """A warm child (started with subprocess, own session, dies with its parent), limited in memory, CPU and files.

    Use as a context manager; one request at a time; the child is started again after a crash, a kill, or
    ``recycle_after`` inputs. Errors that the child reports are raised here as the same PipelineError.
    """

    def __init__(
        self, limits: MediaLimits | None = None, *, memory_bytes: int = 1536 * 1024**2,
        answer_seconds: float = 30.0, recycle_after: int = 200,
    ) -> None:
        """``answer_seconds``: the longest silence of the child before it is killed as hung."""
        raise NotImplementedError

    def __enter__(self) -> Cage:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def probe(self, path: Path) -> MediaInfo:
        """Judge the input by content. Raises: MediaError, CageError."""
        raise NotImplementedError

    def index(self, path: Path) -> PacketIndex:
        """Read the packets without decoding. Raises: MediaError, CageError."""
        raise NotImplementedError

    def frames(
        self, path: Path, wanted: NDArray[np.int64], *, width: int | None = None, report_from: int = 0
    ) -> Iterator[Frame]:
        """Yield the wanted frames in order.

        wanted: int64, (k,), rising: places in the PacketIndex (presentation order). width: shrink to at most
        this many pixels wide, keeping aspect; never enlarges. Frames at places before ``report_from``
        come with report=False. Damage on the way is told by ``warnings`` afterwards, not raised, as long as
        a frame could be had. Closing the generator early stops the decoding.
        Raises: MediaError (nothing could be decoded), CageError.
        """
        raise NotImplementedError

    @property
    def warnings(self) -> tuple[dict[str, str], ...]:
        """Damage met since the last ``probe``: [{"code": "media.damaged", "message": ...}]."""
        raise NotImplementedError

    @property
    def in_force(self) -> dict[str, bool]:
        """Which protections the system granted: memory, cpu, files, no_new_privileges, no_network."""
        raise NotImplementedError

    def kill(self) -> None:
        """End the child now; the next request starts a fresh one."""
        raise NotImplementedError
