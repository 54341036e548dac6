"""``up``: brings the embedded stack up, keeps it running in the foreground, stops it in order."""

from __future__ import annotations

import secrets
import sys
from dataclasses import replace
from datetime import UTC, datetime

from deploy.local import leftovers
from deploy.local.child import StartError
from deploy.local.home import Home, PartState, Secrets, State, own_identity
from deploy.local.layout import Layout
from deploy.local.parts import DATABASE, FLOWER_USER, Part, Parts, empty_folder
from deploy.local.supervisor import Seat, Supervisor
from deploy.local.wake import StopRequested, Wake

TENANT = "local"
SAMPLE = "deploy/local/sample.mp4"


class Launcher:
    """One start of the stack."""

    def __init__(self, home: Home, layout: Layout, *, random_ports: bool = False) -> None:
        self._home = home
        self._layout = layout
        self._random_ports = random_ports
        self._state: State | None = None

    def run(self) -> int:
        """Return the exit code: 0 after an asked-for end, 1 when a part did not come up. Raises: AlreadyRunning."""
        with self._home.owned(), Wake(self._home.control) as wake:
            self._clean()
            supervisor = Supervisor(wake, changed=self._part_changed, say=say)
            try:
                self._bring_up(supervisor)
                supervisor.watch()
            except StopRequested:
                say("stopping; once more to kill")
            except StartError as error:
                say(f"FAILED  {error}")
                return 1
            finally:
                self._set_status("stopping")
                supervisor.take_down()
                self._home.forget_state()
        say("all stopped")
        return 0

    def _bring_up(self, supervisor: Supervisor) -> None:
        keys, run_id = self._home.secrets(), secrets.token_hex(8)
        parts = Parts(self._home, keys, self._layout, run_id=run_id, random_ports=self._random_ports)
        empty_folder(self._home.root / "metrics")
        self._write(_first_state(parts, keys, run_id))
        say(f"Framequeue, embedded stack in {self._home.root}")
        supervisor.bring_up(parts.engines(), ready=lambda part, took: self._tell_ready(part, took, parts))
        parts.postgres.create_database(DATABASE)
        supervisor.run_to_end("migrate", parts.migration)
        say("  ok  schema at its newest")
        self._write(replace(self._known(), api_key=self._api_key(parts, keys)))
        supervisor.bring_up(parts.services(), ready=lambda part, took: self._tell_ready(part, took, parts))
        self._set_status("up")
        say(_welcome(self._known(), self._home))

    def _clean(self) -> None:
        left = self._home.state()
        if left is not None:
            ended = leftovers.clean(left)
            if ended:
                say(f"the last start did not end in order; ended what it left: {', '.join(ended)}")
            self._home.forget_state()

    def _api_key(self, parts: Parts, keys: Secrets) -> str:
        """The key of the first start, or a new one when the database does not know it."""
        from storage.access import SCOPES, KeyStore  # noqa: PLC0415 - SQLAlchemy, which `status` need not load
        from storage.database import Database  # noqa: PLC0415

        database = Database(parts.database_url, pool_size=1)
        try:
            store = KeyStore(database)
            if keys.api_key is None or store.find(keys.api_key) is None:
                _, secret = store.issue(tenant=TENANT, name="embedded stack", scopes=SCOPES)
                keys = replace(keys, api_key=secret)
                self._home.write_secrets(keys)
            return str(keys.api_key)
        finally:
            database.close()

    def _tell_ready(self, part: Part, took_seconds: float, parts: Parts) -> None:
        port = parts.addresses.ports.get(part.name)
        where = f"127.0.0.1:{port}" if port else ""
        note = str(parts.redis.program) if part.name == "redis" else ""
        say(f"  ok  {part.name:<13}{where:<17}{took_seconds:5.1f} s  {note}".rstrip())

    def _part_changed(self, seat: Seat) -> None:
        if self._state is not None:
            self._write(self._state.with_part(seat.part.name, seat.as_state()))

    def _set_status(self, status: str) -> None:
        if self._state is not None:
            self._write(replace(self._state, status=status))

    def _write(self, state: State) -> None:
        self._state = state
        self._home.write_state(state)

    def _known(self) -> State:
        if self._state is None:
            raise StartError("the stack has no state yet")
        return self._state


def say(text: str) -> None:
    """Tell the person at the terminal; a closed terminal is no reason to fall."""
    try:
        print(text, flush=True)
    except (BrokenPipeError, OSError):
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - for the rest of our life


def submit_line(state: State, sample: str = SAMPLE) -> str:
    """The curl command that sends the bundled sample."""
    header = f'-H "Authorization: Bearer {state.api_key}"'
    return f"curl -sS {header} -F pipeline=motion -F file=@{sample} {state.api_url}/v1/jobs"


def _first_state(parts: Parts, keys: Secrets, run_id: str) -> State:
    launcher = own_identity()
    return State(
        status="starting",
        launcher_pid=launcher.pid,
        launcher_started=launcher.started,
        run_id=run_id,
        api_url=parts.addresses.api_url,
        api_key=keys.api_key,
        database_url=parts.database_url,
        redis_url=parts.redis.url(),
        flower_url=parts.addresses.flower_url,
        flower_user=FLOWER_USER,
        flower_password=keys.flower_password,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        parts={name: PartState("down") for name in parts.names},
        api_urls=parts.addresses.api_urls,
    )


def _welcome(state: State, home: Home) -> str:
    return f"""
  API         {state.api_url}
  Try it in a browser: {state.api_url}/docs
  Flower      {state.flower_url}   user {state.flower_user}, password {state.flower_password}
  Key         {state.api_key}
  Logs        {home.logs}
  Everything listens on 127.0.0.1 alone. Addresses and key are in {home.root}/state.json.

Send the sample, then poll the address in the answer's Location:

  {submit_line(state)}

Ctrl-C stops everything."""
