"""A small disk is full when told, has space again when told, and is seen by nobody but us and what we start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.home import REPOSITORY

#: in a process of its own, since a mount namespace is left only by ending
PROGRAM = """
import errno, json, subprocess, sys
from pathlib import Path
from bench.faults.small_disk import NoMounts, SmallDisk

folder, seen = Path(sys.argv[1]), {}
try:
    with SmallDisk(folder, 1 << 20) as disk:
        seen["moved"] = (folder / "a" / "kept").read_text()
        disk.fill()
        seen["free"] = disk.free_bytes
        try:
            (folder / "more").write_bytes(b"x" * 5000)
        except OSError as error:
            seen["full"] = errno.errorcode[error.errno]
        shell = f"echo more > {folder}/shell && echo wrote || echo refused"
        seen["child"] = subprocess.run(["sh", "-c", shell], capture_output=True, text=True).stdout.strip()
        disk.clear()
        (folder / "more").write_bytes(b"x" * 5000)
        seen["wrote"] = (folder / "more").stat().st_size
except NoMounts as error:
    seen["why"] = str(error)
print(json.dumps(seen))
"""


def test_small_disk_fills_up_empties_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "kept").write_text("kept")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    if "why" in seen:
        pytest.skip(seen["why"])
    assert seen == {"moved": "kept", "free": 0, "full": "ENOSPC", "child": "refused", "wrote": 5000}
    assert list(folder.iterdir()) == []
    assert str(folder) not in Path("/proc/mounts").read_text()
