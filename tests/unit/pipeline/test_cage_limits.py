"""Each protection of the cage is broken into, from a process that has taken it on; what must go on working does."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cage_calls

ROOT = Path(__file__).parents[3]

START = """
import ctypes, errno, fcntl, json, os, resource, signal, socket, sys, threading
sys.path.insert(0, sys.argv[1])
from pipeline import cage_calls, cage_limits
libc = ctypes.CDLL(None, use_errno=True)
parent, outbox = os.getppid(), os.memfd_create("outbox")
control, other = socket.socketpair()
def call(*numbers):
    if libc.syscall(*numbers) < 0:
        raise OSError(ctypes.get_errno(), "refused")
def number(name):
    return cage_calls._DENIED[name][sys.argv[2] != "x86_64"] if name in cage_calls._DENIED else \
        {"tgkill": cage_calls._TGKILL, "clone": cage_calls._CLONE}[name][sys.argv[2] != "x86_64"]
def barred(attempt):
    try:
        attempt()
    except (PermissionError, MemoryError, ValueError):
        return True
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.EFBIG)
    return False
def fork():
    if not os.fork():
        os._exit(0)
"""

ATTEMPTS = """
attempts = {
    "kill the parent": lambda: os.kill(parent, 0),
    "signal the parent's thread": lambda: call(number("tgkill"), parent, parent, 0),
    "queue a signal for the parent": lambda: call(number("rt_sigqueueinfo"), parent, 0, bytes(128)),
    "have the kernel signal the parent": lambda: fcntl.fcntl(control, fcntl.F_SETOWN, parent),
    "choose the kernel's signal": lambda: fcntl.fcntl(control, fcntl.F_SETSIG, signal.SIGKILL),
    "have a socket signal the parent": lambda: fcntl.ioctl(control, 0x8901, parent.to_bytes(4, sys.byteorder)),
    "limit the parent": lambda: resource.prlimit(parent, resource.RLIMIT_CPU, (1, 1)),
    "slow the parent down": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "pin the parent": lambda: os.sched_setaffinity(parent, {0}),
    "trace the parent": lambda: call(number("ptrace"), 16, parent, 0, 0),
    "read the parent": lambda: call(number("process_vm_readv"), parent, 0, 0, 0, 0, 0),
    "fork": fork,
    "clone": lambda: call(number("clone"), signal.SIGCHLD, 0, 0, 0, 0),
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "keep memory after death": lambda: call(number("shmget"), 0, 4096, 0o1600),
    "have memory without limit": lambda: os.memfd_create("more"),
    "open a socket": lambda: socket.socket(),
    "read a file": lambda: open("/etc/passwd").close(),
    "write a file": lambda: open("/tmp/framequeue-escape", "w").close(),
    "look into a folder": lambda: os.listdir("/"),
    "remove a file": lambda: os.unlink("/tmp/framequeue-none"),
    "make a folder": lambda: os.mkdir("/tmp/framequeue-folder"),
    "change the root": lambda: os.chroot("/tmp"),
}
"""

LIMITED = """
network_left = cage_limits.leave_network()
in_force = cage_limits.restrict(1 << 30, network_left=network_left)
attempts |= {
    "raise the memory limit": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
    "raise the descriptor limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
    "have much memory": lambda: bytearray(2 << 30),
    "write much": lambda: os.pwrite(outbox, b"x", 1 << 21),
    "have many descriptors": lambda: [os.dup(0) for _ in range(100)],
    "gain a capability": lambda: call({"x86_64": 105, "aarch64": 146}[sys.argv[2]], 65534),
}
"""

#: a device's driver: reserves far more than there is, holds many descriptors, opens its device and facts by name
WITH_DEVICE = """
import concurrent.futures
import concurrent.futures.thread
network_left = cage_limits.leave_network()
allowed = ["/dev/zero", "/proc/self", "/none"]
opened, driver = [], concurrent.futures.ThreadPoolExecutor(1)
def open_device():  # it takes memory, and its thread lives on
    opened.append(bytearray(300 << 20))
    driver.submit(int).result()
in_force = cage_limits.restrict(
    256 << 20, network_left=network_left, device_files=allowed, open_device=open_device
)
libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, *[ctypes.c_size_t] * 5]
assert libc.mmap(None, 1 << 41, 0, 0x4022, 2**64 - 1, 0) != 2**64 - 1, "two tebibytes cannot be reserved"
with open("/dev/zero", "r+b", buffering=0) as device:
    assert device.read(4) == bytes(4) and device.write(b"x") == 1
with open("/proc/self/status") as facts:
    assert facts.read(5) == "Name:"
held = [os.dup(0) for _ in range(200)]
for descriptor in held: os.close(descriptor)
attempts |= {
    "raise the memory limit": lambda: resource.setrlimit(resource.RLIMIT_DATA, (-1, -1)),
    "have much memory": lambda: bytearray(300 << 20),
    "have many descriptors": lambda: [os.dup(0) for _ in range(600)],
    "open another device": lambda: open("/dev/full", "rb").close(),
    "write its facts": lambda: open("/proc/self/comm", "w").close(),
    "read another process": lambda: open(f"/proc/{parent}/status").close(),
    "have the driver's thread open a file": lambda: driver.submit(open, "/etc/passwd").result(),
    "have the driver's thread open a socket": lambda: driver.submit(socket.socket).result(),
    "leave by a link": lambda: open("/proc/self/root/etc/passwd").close(),
}
"""

END = """
gone, heard, ran = {name: barred(attempt) for name, attempt in attempts.items()}, [], []
for descriptor in range(20, 64):
    try: os.close(descriptor)
    except OSError: pass
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
signal.raise_signal(signal.SIGUSR1)
thread = threading.Thread(target=lambda: ran.append(1)); thread.start(); thread.join()
resource.setrlimit(resource.RLIMIT_CPU, (50, resource.getrlimit(resource.RLIMIT_CPU)[1]))
control.send(b"x"); os.pwrite(outbox, b"x", 0); os.dup(0)
print(json.dumps({"in_force": locals().get("in_force"), "gone": gone, "heard": heard, "ran": ran}))
"""


def attacked(*parts: str) -> dict:
    command = [sys.executable, "-c", "".join((START, ATTEMPTS, *parts, END)), str(ROOT), platform.machine()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_process_that_took_on_all_limits_breaks_out_of_none() -> None:
    said = attacked(LIMITED)
    assert [name for name, held in said["in_force"].items() if not held] == []
    assert [name for name, gone in said["gone"].items() if not gone] == []
    assert (said["heard"], said["ran"]) == ([1], [1]), "its own signals and threads go on working"


def test_the_filter_of_calls_holds_alone_where_the_kernel_has_nothing_else() -> None:
    alone = "libc.prctl(38, 1, 0, 0, 0)\nassert cage_calls.filter_calls(libc, os.getpid())\n"
    said = attacked(alone)
    assert [name for name, gone in said["gone"].items() if not gone] == []
    assert (said["heard"], said["ran"]) == ([1], [1])


def test_with_a_device_only_its_own_files_can_be_opened_and_only_written_memory_counts() -> None:
    said = attacked(WITH_DEVICE)
    assert [name for name, held in said["in_force"].items() if not held] == []
    assert [name for name, gone in said["gone"].items() if not gone] == []
    assert (said["heard"], said["ran"]) == ([1], [1])


@pytest.mark.parametrize("column", [0, 1], ids=["x86_64", "aarch64"])
def test_every_jump_of_the_filter_fits_and_each_call_is_named_once(column: int) -> None:
    numbers = [numbers[column] for numbers in cage_calls._DENIED.values() if numbers[column] is not None]
    assert len(set(numbers)) == len(numbers)
    steps = cage_calls._steps(1, column, 1)
    assert len(cage_calls._assembled(steps)) == 8 * (len(steps) + 3)


def test_the_numbers_are_those_of_this_machines_headers() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if platform.machine() != "x86_64" or not header.is_file():
        pytest.skip("no headers here to compare with")
    lines = [line.split() for line in header.read_text().splitlines() if line.startswith("#define __NR_")]
    known = {name.removeprefix("__NR_"): int(number) for _, name, number in lines}
    own = {name: numbers[0] for name, numbers in cage_calls._DENIED.items()}
    assert {name: known.get(name) for name in own if name in known} == {n: v for n, v in own.items() if n in known}
    assert (known["clone"], known["clone3"], known["tgkill"]) == (56, 435, 234)
