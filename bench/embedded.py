"""A whole embedded stack of its own: started as a user would, watched and hurt from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from deploy.local.child import Child, Command, tail
from deploy.local.home import REPOSITORY, Home, PartState, State
from deploy.local.reach import service_folder, stand_in_data_dir

UP_SECONDS = 240.0


class EmbeddedStack:
    """``python -m deploy.local up`` over a folder of its own, on random ports."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.home = Home(folder / "local")
        self.environment = {**os.environ, **settings, "FQ_LOCAL_DIR": str(self.home.root)}
        self._log = self.home.logs / "up.log"
        self.launcher: Child | None = None

    def up(self) -> State:
        """Start it and return once every part is ready; fails with the log when that takes too long."""
        self.close()
        argv = [sys.executable, "-m", "deploy.local", "up", "--random-ports"]
        self.launcher = Child(Command("up", argv, env=self.environment, log_path=self._log, cwd=REPOSITORY))
        launcher = self.launcher

        def is_up() -> bool:
            if launcher.ended() is not None:
                raise AssertionError(f"`up` ended with {launcher.ended()}:\n{tail(self._log, 60)}")
            state = self.home.running()
            return state is not None and state.status == "up" and state.launcher == launcher.identity

        eventually(is_up, UP_SECONDS, lambda: f"`up` is not ready:\n{tail(self._log, 60)}")
        return self.state

    def close(self) -> None:
        """Stop everything, as Ctrl-C would; nothing to do when it has ended."""
        if self.launcher is not None:
            self.launcher.stop(90.0)
            self.launcher = None

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``python -m deploy.local ...`` against this stack."""
        argv = [sys.executable, "-m", "deploy.local", *words]
        done = subprocess.run(
            argv, env=self.environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=150, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    @property
    def state(self) -> State:
        """What ``state.json`` says."""
        state = self.home.state()
        assert state is not None, "the stack has ended"
        return state

    @property
    def api_url(self) -> str:
        return self.state.api_url

    @property
    def api_key(self) -> str:
        return str(self.state.api_key)

    def part(self, name: str) -> PartState:
        return self.state.parts[name]

    def replicas(self, kind: str) -> list[str]:
        """The names of all parts of a kind: ``worker``, ``worker-2``, ..."""
        return [name for name in self.state.parts if name.partition("-")[0] == kind]

    def pid(self, name: str) -> int:
        """The pid of a part, which must be there."""
        pid = self.part(name).pid
        assert pid is not None, f"{name} does not run"
        return pid

    def log(self, name: str) -> str:
        return (self.home.logs / f"{name}.log").read_text(errors="replace")

    def log_names(self) -> list[str]:
        """Every log there is, the launcher's first."""
        names = sorted(path.stem for path in self.home.logs.glob("*.log"))
        return sorted(names, key=lambda name: name != "up")

    def log_tail(self, name: str, lines: int = 40) -> str:
        return tail(self.home.logs / f"{name}.log", lines)

    def client(self, web: int = 0, timeout_seconds: float = 70.0) -> httpx2.Client:
        """An HTTP client with the key of this stack, at one of its webs."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        url = self.state.api_urls[web]
        return httpx2.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)

    def worker_children(self, part: str = "worker") -> list[int]:
        """Pids of the processes of a worker that run inference."""
        with self.client() as client:
            workers = client.get("/v1/workers").raise_for_status().json()["workers"]
        tree = {process.pid for process in psutil.Process(self.pid(part)).children(recursive=True)}
        return [worker["pid"] for worker in workers if worker["pid"] in tree and worker["state"] == "live"]

    def order(self, verb: str, name: str, timeout_seconds: float = 90.0) -> None:
        """Stop, start or restart a part by the launcher's control pipe, and wait until it was done."""
        before = self.part(name).pid
        with self.home.control.open("w") as control:
            control.write(f"{verb} {name}\n")

        def done() -> bool:
            part = self.part(name)
            if verb == "stop":
                return part.status == "held"
            runs = part.status == "up" and part.identity is not None and part.identity.alive()
            return runs and (verb == "start" or part.pid != before)

        eventually(done, timeout_seconds, lambda: f"{verb} {name}: it is {self.part(name).status}", every=0.02)

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """A part is stopped while the block runs, and ready again after it."""
        self.command("stop", name)
        try:
            yield
        finally:
            self.command("start", name)


@contextmanager
def running_stack(settings: Mapping[str, str]) -> Iterator[EmbeddedStack]:
    """A stack for as long as the block runs; nothing is left of it afterwards."""
    with service_folder("stack") as folder:
        stack = EmbeddedStack(folder, settings)
        try:
            stack.up()
            yield stack
        finally:
            stack.close()
            stack.command("down", check=False)  # the block may have killed the launcher and then failed
            shutil.rmtree(stand_in_data_dir(stack.home.root / "postgres"), ignore_errors=True)


def eventually(
    holds: Callable[[], bool], timeout_seconds: float, otherwise: Callable[[], str] | str, *, every: float = 0.05
) -> float:
    """Wait until a condition holds and return how long that took; fail when the time is over."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > timeout_seconds:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(every)
    return time.monotonic() - begun
