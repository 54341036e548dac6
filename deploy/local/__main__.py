"""``python -m deploy.local``: up, down, status, doctor, demo, and stop/start/restart of one part."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from deploy.local import leftovers
from deploy.local.child import Identity, StartError
from deploy.local.home import AlreadyRunning, Home, State
from deploy.local.launcher import Launcher
from deploy.local.layout import Layout
from deploy.local.reach import stand_in_data_dir


@click.group()
@click.pass_context
def main(context: click.Context) -> None:
    """The embedded stack: PostgreSQL, Redis, web, worker, dispatcher and Flower on this machine alone."""
    context.obj = Home.of(os.environ)


@main.command()
@click.option("--random-ports", is_flag=True, help="Do not try 8080 and 5555 first.")
@click.pass_obj
def up(home: Home, random_ports: bool) -> None:
    """Start everything and stay in the foreground until Ctrl-C."""
    try:
        code = Launcher(home, Layout.of(os.environ), random_ports=random_ports).run()
    except AlreadyRunning as error:
        state = home.state()
        at = f" at {state.api_url} (pid {state.launcher_pid})" if state else ""
        raise click.ClickException(f"{error}{at}; `make down` stops it") from error
    except (StartError, PermissionError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


@main.command()
@click.option("--timeout", default=90.0, show_default=True, help="Seconds to wait for an end in order.")
@click.pass_obj
def down(home: Home, timeout: float) -> None:
    """Stop what `up` started, also after its launcher was killed."""
    state = home.state()
    if state is None:
        click.echo("nothing is running")
        return
    if state.launcher.alive():
        os.kill(state.launcher_pid, signal.SIGTERM)
        if not state.launcher.gone_within(timeout):
            raise click.ClickException(f"the launcher (pid {state.launcher_pid}) did not end within {timeout:.0f} s")
    try:
        with home.owned():
            left = home.state()
            ended = leftovers.clean(left) if left is not None else []
            home.forget_state()
    except AlreadyRunning as error:
        raise click.ClickException(f"{error}: it was started while the old one ended") from error
    click.echo(f"stopped; ended what a killed launcher had left: {', '.join(ended)}" if ended else "stopped")


@main.command()
@click.pass_obj
def status(home: Home) -> None:
    """Tell what runs, where, and for how long; exit code 3 when nothing does."""
    state = home.state()
    if state is None:
        click.echo("nothing is running; `make up` starts it")
        sys.exit(3)
    if not state.launcher.alive():
        click.echo("the launcher was killed; the next `make up` cleans what it left")
    click.echo(f"{state.status}  {state.api_url}  since {state.started_at}")
    for name, part in state.parts.items():
        alive = part.identity is not None and part.identity.alive()
        word = part.status if alive or part.status in ("held", "down") else "gone"
        again = f"  restarted {part.restarts} times" if part.restarts else ""
        click.echo(f"  {name:<13}{word:<9}pid {part.pid or '-':<9}{_resident(part.identity)}{again}")
    if not state.launcher.alive():
        sys.exit(3)


@main.command()
@click.pass_obj
def env(home: Home) -> None:
    """Print `export` lines for a shell: eval "$(python -m deploy.local env)"."""
    state = _running(home)
    for name, value in (("FRAMEQUEUE_URL", state.api_url), ("FRAMEQUEUE_API_KEY", state.api_key or "")):
        click.echo(f"export {name}={shlex.quote(value)}")


@main.command()
@click.argument("part")
@click.pass_obj
def stop(home: Home, part: str) -> None:
    """Stop one part and leave it stopped."""
    _command(home, "stop", part, ("held",))


@main.command()
@click.argument("part")
@click.pass_obj
def start(home: Home, part: str) -> None:
    """Start a part that was stopped."""
    _command(home, "start", part, ("up",))


@main.command()
@click.argument("part")
@click.pass_obj
def restart(home: Home, part: str) -> None:
    """Stop and start one part, after a change of its code."""
    _command(home, "restart", part, ("up",))


@main.command()
@click.pass_obj
def doctor(home: Home) -> None:
    """Tell what is found here, and what to do about what is missing."""
    from deploy.local.doctor import examine  # noqa: PLC0415

    findings = examine(home)
    for finding in findings:
        click.echo(str(finding))
    sys.exit(1 if any(finding.level == "bad" for finding in findings) else 0)


@main.command()
@click.pass_obj
def demo(home: Home) -> None:
    """Send the bundled sample through the API and print what came of it."""
    from deploy.local.demo import run_demo  # noqa: PLC0415

    sys.exit(run_demo(home))


@main.command()
@click.pass_obj
def clean(home: Home) -> None:
    """Throw away data, logs and keys of the stopped stack."""
    try:
        with home.owned():
            left = home.state()
            if left is not None:
                leftovers.clean(left)
            for folder in (home.root, stand_in_data_dir(home.root / "postgres")):
                shutil.rmtree(folder, ignore_errors=True)
    except AlreadyRunning as error:
        raise click.ClickException(f"{error}; `make down` first") from error


def _running(home: Home) -> State:
    state = home.running()
    if state is None:
        raise click.ClickException("nothing is running; `make up` starts it")
    return state


def _command(home: Home, verb: str, part: str, until: Sequence[str], timeout_seconds: float = 90.0) -> None:
    """Hand a command to the launcher and wait until the state file tells that it was done."""
    parts = _running(home).parts
    if part not in parts:
        raise click.BadParameter(f"there is no {part}; there are {', '.join(parts)}", param_hint="PART")
    before = parts[part]
    if verb == "start" and before.status == "up":
        click.echo(f"{part} runs")
        return
    with home.control.open("w") as control:
        control.write(f"{verb} {part}\n")
    deadline = time.monotonic() + timeout_seconds
    while True:
        now = _running(home).parts[part]
        if now.status in until and (verb == "stop" or now.restarts > before.restarts):
            click.echo(f"{part}: {now.status}" + (f", pid {now.pid}" if now.pid else ""))
            return
        if time.monotonic() > deadline:
            raise click.ClickException(f"{part} is {now.status} after {timeout_seconds:.0f} s; see {now.log}")
        time.sleep(0.05)


def _resident(process: Identity | None) -> str:
    """Memory of a process group, as people read it."""
    from deploy.local.child import group_members  # noqa: PLC0415

    if process is None or not process.alive():
        return ""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for member in group_members(process.pid):
        try:
            total += int(Path(f"/proc/{member.pid}/statm").read_text().split()[1]) * page
        except OSError:
            continue
    return f"{total / 2**20:6.0f} MiB"


if __name__ == "__main__":
    main()
