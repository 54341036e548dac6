"""Letting an unprivileged server run for root: who it runs as, and places that this user can reach.

Root's checkouts lie in private folders, and PostgreSQL refuses to run as root. Where ``nobody`` cannot pass the
folders on the way, the data moves to ``REACHABLE_ROOT`` and the programs are copied there; opening up root's
folders is not ours to do.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.child import Account, StartError

#: where root keeps what ``nobody`` must reach when the checkout lies in a private folder; survives a reboot
REACHABLE_ROOT = Path("/var/lib/framequeue-local")


@contextmanager
def service_folder(kind: str) -> Iterator[Path]:
    """A throwaway folder that any user can pass; the usual temporary ones are private."""
    folder = Path(tempfile.mkdtemp(prefix=f"fq-{kind}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged(data_dir: Path) -> Account | None:
    """The user that a server started by root runs as; None when we are an ordinary user.

    An ordinary user's data stays theirs when root starts the server. Raises: StartError.
    """
    if os.geteuid() != 0:
        return None
    if data_dir.exists() and data_dir.stat().st_uid != 0:
        return Account(data_dir.stat().st_uid, data_dir.stat().st_gid)
    try:
        entry = pwd.getpwnam("nobody")  # initdb needs a uid that has a name
    except KeyError:
        raise StartError(
            "PostgreSQL refuses to run as root and there is no user `nobody`; run as another user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def stand_in_data_dir(wanted: Path) -> Path:
    """Where the data lies when the server's user cannot reach the wanted folder."""
    return REACHABLE_ROOT / hashlib.sha256(str(wanted.absolute()).encode()).hexdigest()[:16]


def reachable_data_dir(wanted: Path, account: Account | None) -> Path:
    """The wanted folder, or a stand-in under ``REACHABLE_ROOT`` when the server's user cannot get there."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if account is None or _can_reach(wanted.parent, account):
        return wanted
    _reachable_root()
    return stand_in_data_dir(wanted)


def reachable_programs(programs: Path, account: Account | None) -> Path:
    """The programs of the wheel, or a copy of them when the server's user cannot get there."""
    if account is None or _can_reach(programs / "bin" / "postgres", account):
        return programs
    stamp = hashlib.sha256(f"{programs}{(programs / 'bin' / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:16]
    copy = _reachable_root() / f"programs-{stamp}"
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(dir=_reachable_root()))
        # the same places, seen from each other, as in the wheel: programs find their libraries by them
        for folder in (programs, *programs.parent.parent.glob(f"{programs.parent.name}.libs")):
            shutil.copytree(folder, fresh / folder.relative_to(programs.parent.parent), symlinks=True)
        fresh.chmod(0o755)
        fresh.rename(copy)
    return copy / programs.relative_to(programs.parent.parent)


def _reachable_root() -> Path:
    REACHABLE_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    if REACHABLE_ROOT.stat().st_uid != 0:
        raise StartError(f"{REACHABLE_ROOT} belongs to another user")
    return REACHABLE_ROOT


def _can_reach(path: Path, account: Account) -> bool:
    """Whether a user can pass every folder on the way to a path, asked of the kernel rather than of mode bits."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0
