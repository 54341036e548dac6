"""The cage's child itself: it dies with its parent, holds nothing of it, and may do nothing but decode."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cage import Cage
from tests.media import Clip
from tests.unit.pipeline.test_cage import ended

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip("clip.mp4", frames=60).write(tmp_path_factory.mktemp("child"))


@pytest.fixture
def cage() -> Iterator[Cage]:
    with Cage(answer_seconds=20) as cage:
        yield cage


PARENT = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pipeline.cage import Cage
cage = Cage()
def start():
    cage.probe(Path(sys.argv[2]))
if sys.argv[3] == "thread":
    thread = threading.Thread(target=start); thread.start(); thread.join()
else:
    start()
assert cage.probe(Path(sys.argv[2])).frames == 60
print(cage.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("starter", ["main", "thread"])
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_the_child_dies_with_its_killed_parent(clip: Path, starter: str, stopped: bool) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(ROOT), str(clip), starter],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if stopped:
            os.kill(child, signal.SIGSTOP)
        parent.kill()
        assert ended(child)


def test_the_parent_never_loads_a_decoder_and_the_child_never_torch() -> None:
    parent = "import sys, pipeline.cage; print({'av', 'PIL', 'cv2', 'torch'} & set(sys.modules))"
    child = (
        "import sys, pipeline.cage_service, pipeline.cage_preload as p; p.preload();"
        "print({'torch', 'onnxruntime', 'tkinter'} & set(sys.modules))"
    )
    for code in (parent, child):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"


ATTACK = """
import ctypes, json, os, socket, subprocess, sys
sys.path.insert(0, sys.argv[1])
from pipeline import cage_limits
network_left = cage_limits.leave_network()
in_force = cage_limits.restrict(1 << 30, network_left=network_left)
def barred(call):
    try:
        call()
    except (OSError, MemoryError):
        return True
    return False
def connect():
    with socket.socket() as sock:
        sock.settimeout(2)
        sock.connect(("127.0.0.1", int(sys.argv[2])))
print(json.dumps({"in_force": in_force, "barred": {
    "read": barred(lambda: open("/etc/passwd").close()),
    "write": barred(lambda: open("/tmp/framequeue-escape", "w").close()),
    "list": barred(lambda: os.listdir("/proc")),
    "connect": barred(connect),
    "run": barred(lambda: subprocess.run(["/bin/true"])),
    "signal": barred(lambda: os.kill(os.getppid(), 0)),
    "memory": barred(lambda: bytearray(2 << 30)),
}}))
"""


def test_what_is_said_to_be_in_force_holds_against_an_attempt() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        command = [sys.executable, "-c", ATTACK, str(ROOT), str(listener.getsockname()[1])]
        said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    in_force, barred = said["in_force"], said["barred"]
    assert in_force["memory"] == barred["memory"] is True
    assert in_force["no_new_privileges"] is in_force["cpu"] is True
    assert in_force["files"] == barred["read"] == barred["write"] == barred["list"]
    assert in_force["no_network"] == barred["connect"]
    assert not Path("/tmp/framequeue-escape").exists()


def test_the_cage_reports_what_its_child_reported(cage: Cage) -> None:
    assert set(cage.in_force) == {
        "memory", "cpu", "file_size", "descriptors", "files", "no_processes", "no_capabilities", "no_new_privileges",
        "no_network",
    }  # fmt: skip
    assert cage.in_force["memory"]


def test_the_child_holds_no_descriptor_and_no_environment_of_ours(
    cage: Cage, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FQ_STORE_SECRET", "canary-of-the-environment")
    with (tmp_path / "secret").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        cage.kill()
        cage.probe(clip)
        folder = Path(f"/proc/{cage.pid}")
        try:
            environment = (folder / "environ").read_bytes()
            targets = [os.readlink(entry) for entry in (folder / "fd").iterdir()]
        except PermissionError:
            return  # the kernel does not even let its parent look
    assert b"canary" not in environment
    assert len(targets) <= 8  # three standard ones, a socket, three pipes, perhaps still the last request's input
    assert not [target for target in targets if target.endswith("secret")]
