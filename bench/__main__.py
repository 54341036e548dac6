"""Measurements, each with its machine and date: ``python -m bench`` prints a table, then one JSON line."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import queue_rate


def machine() -> str:
    """What the figures were taken on: processor, cores, load before the start."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores ({model}), load {os.getloadavg()[0]:.1f} before, Python {platform.python_version()}"


def main() -> int:
    """Run every bench and print it."""
    taken_on, taken_at = machine(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"{taken_at}, {taken_on}")
    print(f"queue: jobs a second, one connection, batches of {queue_rate.BATCH}, fsync on (median, lowest to highest)")
    rates = queue_rate.measure()
    for step, rate in rates.items():
        print(f"  {step:<24} {rate['jobs_per_second']:>8}   {rate['lowest']} to {rate['highest']}")
    print(json.dumps({"taken_at": taken_at, "machine": taken_on, "queue": rates}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
