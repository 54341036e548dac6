"""``python -m pipeline models list|pull|check``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from pipeline.errors import PipelineError
from pipeline.models.card import ModelCard
from pipeline.models.shelf import FolderShelf, open_shelf
from pipeline.settings import PipelineSettings


def run(arguments: Sequence[str], settings: PipelineSettings) -> int:
    """Return the exit code: 0 all well, 1 something is missing or broken."""
    options = _parser().parse_args(arguments)
    shelf = open_shelf(
        model_dir=settings.model_dir,
        cache_dir=settings.model_cache,
        mirror=getattr(options, "mirror", None) or settings.model_mirror,
        device=settings.device,
    )
    names = getattr(options, "names", None) or [card.name for card in shelf.cards()]
    if options.action == "list":
        return _list(shelf)
    if options.action == "pull":
        return _each(names, lambda name: f"{name}: {shelf.pull(name)}")
    code = _each(names, lambda name: _checked(shelf, name))
    for name, fault in sorted(shelf.faults.items()):
        print(f"{name}: {fault.message}", file=sys.stderr)
    shelf.close()
    return 1 if shelf.faults else code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline models", description="Model cards and their weights.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="cards on offer and whether their weights are here")
    pull = actions.add_parser("pull", help="fetch weights by digest into the cache (all, or those named)")
    check = actions.add_parser("check", help="validate every card, load each model and run it once")
    for action in (pull, check):
        action.add_argument("names", nargs="*", metavar="NAME")
        action.add_argument("--mirror", help="folder or URL prefix that holds the weights")
    return parser


def _list(shelf: FolderShelf) -> int:
    rows = [("NAME", "VERSION", "TASK", "RUNTIME", "LANE", "LICENCE", "WEIGHTS")]
    rows += [
        (card.name, card.version, card.task, card.runtime, card.lane, card.licence, _state(shelf, card))
        for card in shelf.cards()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for name, fault in sorted(shelf.faults.items()):
        print(f"{name}: broken card, {fault.message}", file=sys.stderr)
    return 0


def _state(shelf: FolderShelf, card: ModelCard) -> str:
    try:
        return "here" if shelf.weights(card.name) else "to be pulled"
    except PipelineError as error:
        return f"broken: {error.message}"


def _checked(shelf: FolderShelf, name: str) -> str:
    """Load a model, run it on a grey picture and say that it works. Raises: PipelineError."""
    import numpy as np  # noqa: PLC0415 - `list` and `pull` need no arrays

    model = shelf.load(name)
    shape = (model.card.input.height, model.card.input.width, 3)
    found = model.predict([np.full(shape, 128, dtype=np.uint8)])
    shelf.evict(name)
    return f"{name}: ok ({len(found[0])} findings on a grey picture, sha256 {shelf.digest(name)})"


def _each(names: Sequence[str], act: Callable[[str], str]) -> int:
    code = 0
    for name in names:
        try:
            print(act(name))
        except PipelineError as error:
            code = 1
            print(f"error {error.code}: {error.message}", file=sys.stderr)
            if error.advice:
                print(f"  {error.advice}", file=sys.stderr)
    return code
