"""``python -m bench.decode [part ...]``: a table, then one JSON line with every figure and ``"ok"``."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from datetime import UTC, datetime
from typing import cast

from bench.__main__ import machine
from bench.decode import methods, peers
from bench.decode.figures import Figure, table
from bench.decode.streams import MissingTool, Streams

#: modules of this package with ``measure(streams, repetitions) -> list[Figure]``
PARTS = ("methods", "cage", "correctness", "ranges", "long_video", "adaptive")


def main(arguments: list[str]) -> int:
    """Measure the named parts; 0 where every gate is reached."""
    chosen = _asked_for(arguments)
    taken_on, taken_at = machine(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"{taken_at}, {taken_on}, medians of {chosen.repetitions}", flush=True)
    figures: list[Figure] = []
    missing: dict[str, str] = {}
    try:
        for part in chosen.parts or PARTS:
            figures += _measured(part, chosen)
        if chosen.peers:
            others, missing = peers.measure(Streams(), chosen.repetitions)
            figures += others
    except MissingTool as tool:
        print(f"bench: {tool}", file=sys.stderr)
        return 2
    ok = all(figure.ok for figure in figures)
    print(table(figures))
    for name, reason in missing.items():
        print(f"missing: {name}: {reason}")
    print(json.dumps(
        {"taken_at": taken_at, "machine": taken_on, "repetitions": chosen.repetitions,
         "figures": [figure.as_json() for figure in figures], "missing": missing, "ok": ok}
    ))  # fmt: skip
    return 0 if ok else 1


def _asked_for(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.decode", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--rows", metavar="PATTERN", default="", help="of methods, only rows that this pattern matches")
    parser.add_argument("--peers", action="store_true", help="also measure other decoders")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if not any(re.search(chosen.rows, case.name) for case in methods.CASES):
        parser.error("no such row; there are: " + ", ".join(case.name for case in methods.CASES))
    return chosen


def _measured(part: str, chosen: argparse.Namespace) -> list[Figure]:
    if part == "methods":
        return methods.measure(Streams(), chosen.repetitions, chosen.rows)
    module = importlib.import_module(f"bench.decode.{part}")
    return cast("list[Figure]", module.measure(Streams(), chosen.repetitions))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
