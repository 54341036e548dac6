"""The folder ``.local``: what the embedded stack keeps between starts, and who owns it now."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from deploy.local.child import Identity, identify

REPOSITORY = Path(__file__).resolve().parent.parent.parent


class AlreadyRunning(Exception):
    """Another launcher owns this folder."""


@dataclass(frozen=True, slots=True)
class PartState:
    """One process of the stack as the state file tells it."""

    status: str  # starting | up | down | held
    pid: int | None = None
    started: int | None = None
    log: str = ""
    restarts: int = 0

    @property
    def identity(self) -> Identity | None:
        """The process, if there was one."""
        return None if self.pid is None or self.started is None else Identity(self.pid, self.started)


@dataclass(frozen=True, slots=True)
class State:
    """``state.json``: how to reach the stack, and which processes it consists of."""

    status: str  # starting | up | stopping
    launcher_pid: int
    launcher_started: int
    #: in the environment of every process of this start, so that strays can be told from strangers
    run_id: str
    api_url: str
    api_key: str | None
    database_url: str
    redis_url: str
    flower_url: str
    flower_user: str
    flower_password: str
    started_at: str
    parts: Mapping[str, PartState] = field(default_factory=dict)
    #: of every web, the first one's before the others
    api_urls: Sequence[str] = ()

    @property
    def launcher(self) -> Identity:
        """The process that runs ``up``."""
        return Identity(self.launcher_pid, self.launcher_started)

    def with_part(self, name: str, part: PartState) -> State:
        """The same with one part changed."""
        return replace(self, parts=dict(self.parts) | {name: part})


@dataclass(frozen=True, slots=True)
class Secrets:
    """Random, made once, kept in a file that the owner alone can read."""

    postgres_password: str
    redis_password: str
    store_secret: str
    flower_password: str
    api_key: str | None = None


class Home:
    """Paths and files of one embedded stack."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.logs = self.root / "logs"
        self.objects = self.root / "objects"
        self.scratch = self.root / "scratch"
        self.control = self.root / "control"
        self._state = self.root / "state.json"
        self._secrets = self.root / "secrets.json"
        self._ports = self.root / "ports.json"
        self._lock = self.root / "lock"

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Home:
        """``$FQ_LOCAL_DIR``, else ``.local`` in the checkout."""
        return cls(Path(env.get("FQ_LOCAL_DIR") or REPOSITORY / ".local"))

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the folder while the block runs; the kernel gives it up for us however we end.

        Raises: AlreadyRunning.
        """
        # traversable, not readable: PostgreSQL may run as another user and must pass through
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)
        with open(self._lock, "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(f"a stack already runs from {self.root}") from None
            for folder in (self.logs, self.objects, self.scratch):
                folder.mkdir(mode=0o700, exist_ok=True)
            yield

    def state(self) -> State | None:
        """What the last start wrote; None when it ended in order or there was none."""
        data = _read(self._state)
        if data is None:
            return None
        parts = {name: PartState(**part) for name, part in data.pop("parts").items()}
        return State(**data, parts=parts)

    def running(self) -> State | None:
        """The state, if the launcher that wrote it still runs."""
        state = self.state()
        return state if state is not None and state.launcher.alive() else None

    def write_state(self, state: State) -> None:
        """Replace ``state.json`` (0600)."""
        _write(self._state, asdict(state))

    def forget_state(self) -> None:
        """After an end in order."""
        self._state.unlink(missing_ok=True)

    def secrets(self) -> Secrets:
        """Read them, or make them at the first start."""
        data = _read(self._secrets)
        if data is not None:
            return Secrets(**data)
        made = Secrets(*(secrets.token_urlsafe(32) for _ in range(4)))
        self.write_secrets(made)
        return made

    def write_secrets(self, value: Secrets) -> None:
        """Replace ``secrets.json`` (0600)."""
        _write(self._secrets, asdict(value))

    def ports(self) -> dict[str, int]:
        """The ports of the last start, by part."""
        return _read(self._ports) or {}

    def write_ports(self, ports: Mapping[str, int]) -> None:
        """Remember them for the next start."""
        _write(self._ports, dict(ports))


def own_identity() -> Identity:
    """This process."""
    return identify(os.getpid()) or Identity(os.getpid(), 0)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def _write(path: Path, data: Mapping[str, Any]) -> None:
    fresh = path.with_suffix(".tmp")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        json.dump(data, file, indent=2)
        file.write("\n")
    fresh.replace(path)
