"""Write the example recording: ``python -m pipeline.steps.example examples/walk.csv``; the same bytes every time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.steps.synthetic import Made, Part, make

SEED = 20
PARTS = (
    Part("still", 3),
    Part("walk", 20, cadence=1.8, strength=0.25),
    Part("still", 4),
    Part("shake", 4, strength=0.4),
    Part("walk", 25, cadence=2.0, strength=0.3),
    Part("still", 4),
)


def example() -> Made:
    """Return a minute at 25 readings a second: two walks, 86 steps, with a rest and a shaken hand between."""
    return make(PARTS, seed=SEED, rate=25.0)


def as_csv(made: Made) -> str:
    """Return a recording as CSV: t in s, ax, ay, az in m/s^2, gx, gy, gz in deg/s."""
    recording = made.recording
    assert recording.rotation is not None
    lines = ["t,ax,ay,az,gx,gy,gz"]
    for row in np.column_stack([recording.seconds, recording.acceleration, recording.rotation]):
        lines.append(
            ",".join([f"{row[0]:.2f}", *(f"{value:.3f}" for value in row[1:4]), *(f"{v:.1f}" for v in row[4:])])
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the file; return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m pipeline.steps.example FILE", file=sys.stderr)
        return 2
    made = example()
    Path(arguments[0]).write_text(as_csv(made))
    print(f"{arguments[0]}: {len(made.recording)} readings, {len(made.steps)} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
