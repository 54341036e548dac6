"""The ``framequeue`` command: what it takes, and what it exits with.

Exit codes: 0 all is well; 1 a job did not succeed; 2 wrong usage, or the API refused or is away; 130 interrupted.
"""

from __future__ import annotations

import sys

import click

from framequeue.cli.artifacts import artifacts
from framequeue.cli.backlog import backlog
from framequeue.cli.connect import Connect
from framequeue.cli.dead import dead
from framequeue.cli.jobs import cancel, history, list_jobs, replay, result, status, wait
from framequeue.cli.models import models
from framequeue.cli.ping import ping, pipelines
from framequeue.cli.submit import submit
from framequeue.cli.webhooks import webhooks
from framequeue.errors import FramequeueError, JobFailedError
from framequeue.version import __version__

EXIT_OK = 0
EXIT_JOB_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", help="Address of the API.  [env: FRAMEQUEUE_URL]")
@click.option("--api-key", help="API key; better given as FRAMEQUEUE_API_KEY.  [env: FRAMEQUEUE_API_KEY]")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds without a byte."
)
@click.option("--retries", type=click.IntRange(0, 10), default=2, show_default=True, help="Further tries of a call.")
@click.version_option(__version__, prog_name="framequeue")
@click.pass_context
def cli(context: click.Context, url: str | None, api_key: str | None, timeout: float, retries: int) -> None:
    """Submit images and videos to a Framequeue, watch them, fetch results.

    Without an address and a key, the embedded stack that `make up` started in this folder is used.
    """
    context.obj = Connect(url=url, api_key=api_key, timeout=timeout, retries=retries)


for command in (
    submit,
    status,
    wait,
    result,
    artifacts,
    cancel,
    replay,
    history,
    list_jobs,
    backlog,
    dead,
    models,
    webhooks,
    pipelines,
    ping,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        found = cli.main(args=arguments, prog_name="framequeue", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_REFUSED
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `framequeue list | head`
        sys.stderr.close()
        return EXIT_OK
    except JobFailedError as error:
        tell(error)
        return EXIT_JOB_FAILED
    except (FramequeueError, OSError) as error:
        tell(error)
        return EXIT_REFUSED
    return found if isinstance(found, int) else EXIT_OK


def tell(error: Exception) -> None:
    """Say on one line what went wrong: code, sentence, advice, request id."""
    from framequeue.cli.render import one_line  # noqa: PLC0415 - rich is slow to load

    click.echo(f"framequeue: {one_line(error)}", err=True)
