"""The command that shows the pictures of a result, or fetches them."""

from __future__ import annotations

from pathlib import Path

import click

from framequeue.cli.connect import Connect
from framequeue.cli.render import print_json, print_rows


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), help="Write them into this folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document per artifact on stdout.")
@click.pass_obj
def artifacts(connect: Connect, job_id: str, *, out: Path | None, as_json: bool) -> int:
    """List the pictures and films of a result, or write them into a folder.

    A job has them if its parameter `artifacts` asked for them: --params '{"artifacts": ["annotated", "thumbnails"]}'.
    """
    with connect() as client:
        found = client.artifacts.list(job_id)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        places = [one.name if out is None else str(client.artifacts.save(job_id, one, out)) for one in found]
    named = list(zip(found, places, strict=True))
    if as_json:
        for one, place in named:
            print_json(one.raw if out is None else {**one.raw, "path": place})
    else:
        rows = [[place, one.content_type, str(one.size_bytes), one.caption] for one, place in named]
        print_rows(("file", "type", "bytes", "caption"), rows)
    if not found:
        click.echo("no artifacts", err=True)
    return 0
