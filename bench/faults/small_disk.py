"""A small disk over a folder: a tmpfs that can be filled to the last page and emptied again.

It is mounted in a mount namespace of this process and of what it starts from then on, so the machine never sees it
and nothing is left behind, however the process ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_NOSUID = 2
MS_NODEV = 4
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
BALLAST = ".ballast"
CHUNK = b"\0" * 65536

_entered = False


class NoMounts(Exception):
    """This machine does not let us mount; the message says why."""


def enter_own_mounts() -> None:
    """Move this process into a mount namespace of its own; once, from the main thread, before what shall see it starts.

    Root may at any time; another user only while the process has a single thread. Raises: NoMounts.
    """
    global _entered  # noqa: PLW0603 - a process has one mount namespace
    if _entered:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNS if uid == 0 else CLONE_NEWNS | CLONE_NEWUSER
    if libc.unshare(flags):
        raise NoMounts(f"no mount namespace for this user: {os.strerror(ctypes.get_errno())}")
    if uid:
        # the same numbers inside as outside: PostgreSQL refuses to run as root, even as one of a namespace
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    if libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        raise NoMounts(f"mounts cannot be kept to this process: {os.strerror(ctypes.get_errno())}")
    _entered = True


class SmallDisk:
    """A tmpfs over a folder; what the folder holds moves onto it, with owner and times. Use as a context manager."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        """The folder must exist. ``size_bytes``: of the whole disk. Nothing may use the folder meanwhile."""
        self.folder = folder
        self._size_bytes = size_bytes
        self._ballast = folder / BALLAST

    def __enter__(self) -> SmallDisk:
        """Raises: NoMounts."""
        enter_own_mounts()
        self.mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unmount()

    def mount(self) -> None:
        """Lay the disk over the folder. Raises: NoMounts."""
        about = self.folder.stat()
        beside = self.folder.with_name(f"{self.folder.name}.before-the-disk")
        self.folder.rename(beside)
        self.folder.mkdir()
        options = f"size={self._size_bytes},mode={about.st_mode & 0o7777:o},uid={about.st_uid},gid={about.st_gid}"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", os.fsencode(self.folder), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode()):
            why = os.strerror(ctypes.get_errno())
            self.folder.rmdir()
            beside.rename(self.folder)
            raise NoMounts(f"tmpfs cannot be mounted: {why}")
        for path in beside.iterdir():
            _move(path, self.folder / path.name)
        beside.rmdir()

    def unmount(self) -> None:
        """Throw the disk away with all that is on it; at the latest the end of this process does."""
        ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(self.folder), MNT_DETACH)

    @property
    def free_bytes(self) -> int:
        """What may still be written."""
        about = os.statvfs(self.folder)
        return about.f_bavail * about.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Take all space but so much."""
        with self._ballast.open("ab", buffering=0) as file:
            with suppress(OSError):
                while (room := self.free_bytes - leave_bytes) > 0:
                    file.write(CHUNK[: min(room, len(CHUNK))])

    def clear(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """Copy with owners, then delete: a rename does not reach across disks, and shutil.move forgets who owned it."""
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        for path in source.iterdir():
            _move(path, target / path.name)
        _keep_owner(source, target)
        source.rmdir()
    else:
        shutil.copy2(source, target, follow_symlinks=False)
        _keep_owner(source, target)
        source.unlink()


def _keep_owner(source: Path, target: Path) -> None:
    about = source.lstat()
    os.chown(target, about.st_uid, about.st_gid, follow_symlinks=False)
    if not target.is_symlink():
        shutil.copystat(source, target)
