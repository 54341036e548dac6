"""Spoils sound media in thousands of seeded ways and opens the result in a cage: ``python -m bench.mutations``.

Nothing may reach the process that uses the cage: it neither dies nor waits without end nor grows, and nothing but the
input is read. ``--only N --keep FOLDER`` writes mutation N as a file, to look at.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.__main__ import machine
from bench.hostile.crew import Event, trials
from bench.hostile.lures import CANARY, Watch, lures
from bench.hostile.mutating import mutated
from bench.hostile.trial import BOUND_SECONDS, attempt, new_cage
from tests import barcodes
from tests.media import Clip, Picture, barcode

REPOSITORY = Path(__file__).resolve().parent.parent
PROCESSES = 2
#: larger sources are left out: their decoding would take most of the time and try nothing else
MAX_SOURCE_BYTES = 400 << 10
#: what a using process may grow by between the second quarter of its run and the last
MAX_GROWTH_MIB = 8.0
#: colour of the film that must not be seen
_MAGENTA = (200, 40, 200)


def main(arguments: Sequence[str]) -> int:
    """Run it; 0 where nothing untrusted hurt."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutations", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", type=Path, default=Path())
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = sources(Path(name))
        if chosen.only is not None:
            _, done, data = mutated(chosen.seed, chosen.only, [path.read_bytes() for path in sorted(folder.iterdir())])
            (chosen.keep / f"{chosen.seed}-{chosen.only}.bin").write_bytes(data)
            print(", ".join(done))
            return 0
        taken_on, taken_at, began = machine(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), time.monotonic()
        print(f"{taken_at}, {taken_on}", flush=True)
        report = measure(Path(name), folder, chosen.seed, chosen.count)
    report |= {"taken_at": taken_at, "machine": taken_on, "seconds": round(time.monotonic() - began)}
    print(table(report))
    print(json.dumps(report))
    return 0 if report["ok"] else 1


def measure(scratch: Path, folder: Path, seed: int, count: int, data: Path | None = None) -> dict[str, Any]:
    """Try every mutation, every malformed file and every lure; return the report, with ``"ok"``.

    folder: the sources. data: the shared media, for their malformed files.
    """
    report = judged(trials(folder, seed, count, PROCESSES))
    report |= {"seed": seed, "count": count, "sources": len(list(folder.iterdir()))}
    report |= try_malformed(data or shared_data()) | try_lures(scratch)
    faults = ("died", "silent", "unexpected", "slow", "malformed_slow", "reads_outside")
    report["ok"] = (
        sum(report["outcomes"].values()) == count and not any(report[fault] for fault in faults)
        and report["rss_growth_mib"] <= MAX_GROWTH_MIB and all(report["in_force"].values())
    )  # fmt: skip
    return report


def shared_data() -> Path:
    """Return the folder of shared media: ``$FQ_SHARED`` or ``../shared`` beside the checkout."""
    return Path(os.environ.get("FQ_SHARED") or REPOSITORY.parent / "shared") / "data"


def sources(scratch: Path, names: Sequence[str] = barcodes.NAMES, data: Path | None = None) -> Path:
    """Make the folder of what is mutated: shared clips and images up to a size, a clip of each kind in the corpus."""
    folder, making = scratch / "sources", scratch / "making"
    folder.mkdir()
    found = [path for kind in ("videos", "images") for path in ((data or shared_data()) / kind).rglob("*")]
    media = [path for path in found if path.is_file() and path.suffix not in (".csv", ".json", ".txt", ".md")]
    for name in names:
        (making / name).mkdir(parents=True)
        media.append(barcodes.make(name, making / name))
    for path in media:
        if 0 < path.stat().st_size <= MAX_SOURCE_BYTES:
            (folder / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    return folder


def judged(events: Sequence[Event]) -> dict[str, Any]:
    """Count outcomes by code and name the numbers that must not be: they can be written with ``--only``."""
    tried = [event for event in events if "seconds" in event]
    longest = max(tried, key=lambda event: event["seconds"], default={"seconds": 0.0, "number": None})
    named = {code: [event["number"] for event in events if event["code"] == code] for code in ("died", "silent")}
    ended = Counter(event["code"] for event in events if event["code"].startswith("cage."))
    return named | {
        "outcomes": dict(Counter(event["code"] for event in events).most_common()),
        "unexpected": [event["number"] for event in tried if event["code"].startswith("unexpected")],
        "slow": [event["number"] for event in tried if event["seconds"] > BOUND_SECONDS],
        "cage_ended": {code: [event["number"] for event in tried if event["code"] == code][:50] for code in ended},
        "longest_seconds": round(longest["seconds"], 2), "longest_number": longest["number"],
        "rss_growth_mib": round(max(map(growth, _by_process(tried)), default=0.0), 2),
        "rss_peak_mib": round(max((event["resident_mib"] for event in tried), default=0.0), 1),
    }  # fmt: skip


def growth(resident_mib: Sequence[float]) -> float:
    """Return by how much the last quarter of the samples lies above the second, medians; the first is warming up."""
    quarter = max(1, len(resident_mib) // 4)
    return statistics.median(resident_mib[-quarter:]) - statistics.median(resident_mib[quarter : 2 * quarter] or [0.0])


def _by_process(events: Sequence[Event]) -> list[list[float]]:
    places = sorted({event["process"] for event in events})
    return [[event["resident_mib"] for event in events if event["process"] == place] for place in places]


def try_malformed(data: Path) -> dict[str, Any]:
    """Try the files that others' decoders broke on."""
    counts, slow = Counter[str](), []
    with new_cage() as cage:
        for path in sorted(path for path in (data / "malformed").rglob("*") if path.is_file()):
            outcome = attempt(cage, path)
            counts[outcome.code] += 1
            if outcome.seconds > BOUND_SECONDS:
                slow.append(path.name)
    return {"malformed": dict(counts.most_common()), "malformed_slow": slow}


def try_lures(scratch: Path) -> dict[str, Any]:
    """Try files that name another; count how often that other was touched, told of or shown."""
    options = {"preset": "veryfast"}
    film = Clip("lure.mp4", frames=20, options=options).write(scratch).read_bytes()
    canary = Clip("canary.ts", frames=20, options=options, picture=_canary).write(scratch).read_bytes()
    counts, reads = Counter[str](), 0
    with Watch(scratch, canary) as watch, new_cage() as cage:
        for name, content in lures(film, watch.target, watch.address).items():
            (scratch / name).write_bytes(content)
            outcome = attempt(cage, scratch / name)
            shown = any(colour[1] < 100 < min(colour[0], colour[2]) for colour in outcome.colours)
            reads += watch.touches() + (CANARY in outcome.said) + shown
            counts[outcome.code] += 1
        return {"lures": dict(counts.most_common()), "reads_outside": reads, "in_force": cage.in_force}


def _canary(number: int, width: int, height: int) -> Picture:
    picture = barcode(number, width, height)
    picture[:] = _MAGENTA
    return picture


def table(report: Mapping[str, Any]) -> str:
    """Return the report as lines for people."""
    lines = []
    for title in ("outcomes", "malformed", "lures"):
        lines += [f"{title}: {sum(report[title].values())}"]
        lines += [f"  {code:<28} {count:>7}" for code, count in report[title].items()]
    lines += [
        f"deaths of the using process      {len(report['died'])}",
        f"runs without end                 {len(report['silent'])}, longer than {BOUND_SECONDS:g} s "
        f"{len(report['slow']) + len(report['malformed_slow'])}, longest {report['longest_seconds']} s",
        f"reads outside the input          {report['reads_outside']}",
        f"resident set, using process      {report['rss_growth_mib']:+.2f} MiB from the second quarter to the last, "
        f"peak {report['rss_peak_mib']} MiB",
        f"errors outside the promised tree {len(report['unexpected'])}",
        "in force                         " + ", ".join(name for name, held in report["in_force"].items() if held),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
