"""Processes that try one mutation after another, each with a cage of its own.

``python -m bench.hostile.crew FOLDER SEED FIRST STOP STEP`` is such a process: it says a line of JSON for each number.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.hostile.mutating import mutated
from bench.hostile.trial import BOUND_SECONDS, Outcome, attempt, new_cage

REPOSITORY = Path(__file__).resolve().parents[2]
Event = dict[str, Any]


def trials(folder: Path, seed: int, count: int, processes: int) -> list[Event]:
    """Share the numbers below ``count`` among processes and return an event for each number.

    folder: the sources. code ``died``: the process that used the cage ended; ``silent``: it waited for longer than
    twice the bound and was ended. Either way another goes on with the number after it.
    """
    shares = [range(first, count, processes) for first in range(processes)]
    with ThreadPoolExecutor(processes) as pool:
        events = pool.map(lambda numbers: _share(folder, seed, numbers), shares)
        return [event for share in events for event in share]


def _share(folder: Path, seed: int, numbers: range) -> list[Event]:
    events: list[Event] = []
    while numbers:
        arguments = (folder, seed, numbers.start, numbers.stop, numbers.step)
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.hostile.crew", *map(str, arguments)], cwd=REPOSITORY,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with child:
            assert child.stdout is not None
            said = [json.loads(line) for line in child.stdout if line.endswith("\n")]
        events += said
        numbers = numbers[len(said) :]
        if numbers:
            events.append({"number": numbers[0], "code": "silent" if child.returncode == 1 else "died"})
            numbers = numbers[1:]
    return events


def _main(folder: Path, seed: int, numbers: range) -> None:
    material = [path.read_bytes() for path in sorted(folder.iterdir())]
    gc.freeze()
    with tempfile.TemporaryDirectory() as scratch, new_cage() as cage:
        for number in numbers:
            faulthandler.dump_traceback_later(2 * BOUND_SECONDS, exit=True)
            source, done, data = mutated(seed, number, material)
            path = Path(scratch) / f"{number}.bin"
            path.write_bytes(data)
            try:
                outcome = attempt(cage, path, salt=number)
            except Exception as error:  # noqa: BLE001 - what is not promised is what is looked for
                outcome = Outcome(f"unexpected {type(error).__name__}", str(error), 0, 0.0)
            path.unlink()
            event = {"number": number, "source": source, "done": done, "code": outcome.code, "frames": outcome.frames,
                     "seconds": outcome.seconds, "resident_mib": _resident_mib(), "process": numbers.start}  # fmt: skip
            print(json.dumps(event), flush=True)


def _resident_mib() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), range(*map(int, sys.argv[3:6])))
